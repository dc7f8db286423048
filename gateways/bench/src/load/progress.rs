//! One line on a terminal that tells how far a run is.

use std::io::{IsTerminal as _, Write as _};

/// Nanoseconds between two looks of the line.
const EVERY: u64 = 100_000_000;
/// Characters of the bar.
const WIDTH: u64 = 30;

/// The line on standard error; nothing where that is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
    next_at: u64,
    phase: &'static str,
    since: u64,
    is_drawn: bool,
}

impl Progress {
    pub(crate) fn on_terminal() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), next_at: 0, phase: "", since: 0, is_drawn: false }
    }

    /// Shows that `done` of `total` is through. `now` is in nanoseconds.
    pub(crate) fn show(&mut self, phase: &'static str, done: u64, total: u64, now: u64) {
        if !self.is_shown || (now < self.next_at && phase == self.phase) {
            return;
        }
        if phase != self.phase {
            (self.phase, self.since) = (phase, now);
        }
        self.next_at = now.saturating_add(EVERY);
        self.is_drawn = true;
        // A terminal that takes it no more is no reason to end the run.
        drop(write!(std::io::stderr(), "\r\x1b[2K{}", line(phase, done, total, now.saturating_sub(self.since))));
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            drop(write!(std::io::stderr(), "\r\x1b[2K"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `up       [###---------]  1,200 / 4,800   25 %   600/s   6 s left`. `elapsed` is in nanoseconds.
fn line(phase: &str, done: u64, total: u64, elapsed: u64) -> String {
    let (done, whole) = (done.min(total), total.max(1));
    let filled = usize::try_from(done * WIDTH / whole).unwrap_or(0);
    let width = usize::try_from(WIDTH).unwrap_or(0);
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(width.saturating_sub(filled)));
    let rate = if elapsed == 0 { 0.0 } else { done as f64 * 1e9 / elapsed as f64 };
    let mut line =
        format!("{phase:<10} [{bar}]  {} / {}  {:>3} %", thousands(done), thousands(total), done * 100 / whole);
    if rate > 0.0 {
        let left = (total - done) as f64 / rate;
        line.push_str(&format!("  {rate:.0}/s  {left:.0} s left"));
    }
    line
}

/// 1234567 as 1,234,567.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_share_rate_and_rest() {
        let expected = "up         [#######-----------------------]  1,200 / 4,800   25 %  600/s  6 s left";
        assert_eq!(line("up", 1200, 4800, 2_000_000_000), expected);
        assert!(line("up", 0, 0, 0).ends_with("]  0 / 0    0 %"));
        assert!(line("up", 9, 3, 1).contains("3 / 3  100 %"), "never beyond the whole");
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
