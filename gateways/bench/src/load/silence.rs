//! A gateway that owes an answer and gives none to anybody.

/// Notes what was asked and that something was heard. Times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Silence {
    bound: u64,
    /// The first question since anything was heard.
    asked_at: Option<u64>,
    ever_heard: bool,
}

impl Silence {
    pub(crate) const fn new(bound: u64) -> Self {
        Self { bound, asked_at: None, ever_heard: false }
    }

    pub(crate) fn asked(&mut self, now: u64) {
        self.asked_at.get_or_insert(now);
    }

    pub(crate) const fn heard(&mut self) {
        self.asked_at = None;
        self.ever_heard = true;
    }

    /// An answer is owed.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Nothing was heard for longer than the bound, though something was asked for.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.asked_at.is_some_and(|asked_at| now.saturating_sub(asked_at) > self.bound)
    }

    pub(crate) const fn ever_heard(&self) -> bool {
        self.ever_heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_first_question_after_the_last_word() {
        let mut silence = Silence::new(100);
        assert!(!silence.is_over(5000) && !silence.is_waiting(), "nobody asked");
        silence.asked(5000);
        assert!(silence.is_waiting());
        silence.asked(5090);
        assert_eq!((silence.is_over(5100), silence.is_over(5101), silence.ever_heard()), (false, true, false));
        silence.heard();
        assert!(!silence.is_over(9000) && !silence.is_waiting());
        silence.asked(9000);
        assert_eq!((silence.is_over(9100), silence.is_over(9101), silence.ever_heard()), (false, true, true));
    }
}
