//! Where a password comes from: the terminal, unseen and twice, or the first line of standard input.

use std::io::{self, BufRead, IsTerminal, Read, StdinLock, Write};

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// Asks for the password of `user`. Never empty.
///
/// # Errors
/// If there is none that can be used.
pub(super) fn ask(user: &str) -> Result<Vec<u8>, Failure> {
    let password = if io::stdin().is_terminal() { typed(user)? } else { line(&mut io::stdin().lock(), b"\n")?.0 };
    if password.is_empty() { Err(refused("the password is empty")) } else { Ok(password) }
}

fn typed(user: &str) -> Result<Vec<u8>, Failure> {
    let _unseen = Unseen::begin().map_err(|fault| Failure::Running(format!("cannot hide what is typed: {fault}")))?;
    let mut input = io::stdin().lock();
    let first = prompted(&format!("Password for {user:?}: "), &mut input)?;
    if first.is_empty() || prompted("Again: ", &mut input)? == first {
        Ok(first)
    } else {
        Err(refused("these are two passwords"))
    }
}

fn prompted(prompt: &str, input: &mut StdinLock<'_>) -> Result<Vec<u8>, Failure> {
    let mut screen = io::stderr().lock();
    let shown = write!(screen, "{prompt}").and_then(|()| screen.flush());
    shown.map_err(|fault| Failure::Running(format!("cannot write to standard error: {fault}")))?;
    match line(input, &[b'\n', INTERRUPT])? {
        (_, Some(INTERRUPT)) => Err(Failure::Running("interrupted".to_owned())),
        (line, _) => Ok(line),
    }
}

/// What comes before the first of `ends`, and which one that was.
fn line(input: &mut impl BufRead, ends: &[u8]) -> Result<(Vec<u8>, Option<u8>), Failure> {
    let mut line = Vec::new();
    let mut octets = input.bytes();
    let end = loop {
        match octets.next().transpose().map_err(|fault| Failure::Running(format!("standard input: {fault}")))? {
            Some(octet) if !ends.contains(&octet) => line.push(octet),
            end => break end,
        }
        if line.len() > LONGEST + 1 {
            break None;
        }
    };
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.len() > LONGEST { Err(refused("the password is longer than 65535 bytes")) } else { Ok((line, end)) }
}

fn refused(why: &str) -> Failure {
    Failure::Configuration(vec![why.to_owned()])
}

/// While it lives, the terminal does not show what is typed. Nor does ^C end the process meanwhile, which would leave
/// the terminal so: it ends the line.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn begin() -> nix::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut unseen = before.clone();
        unseen.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        unseen.local_flags.insert(LocalFlags::ICANON | LocalFlags::ECHONL);
        if let Some(end) = unseen.control_chars.get_mut(SpecialCharacterIndices::VEOL as usize) {
            *end = INTERRUPT;
        }
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &unseen)?;
        Ok(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before).unwrap_or_default();
    }
}

/// ^C.
const INTERRUPT: u8 = 3;
/// Octets of a password in MQTT (MQTT 5.0 §3.1.3.6).
const LONGEST: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        for (input, expected) in [
            (&b"s3cret\nmore"[..], &b"s3cret"[..]),
            (b"s3cret\r\n", b"s3cret"),
            (b"no end", b"no end"),
            (b" kept \xff ", b" kept \xff "),
            (b"", b""),
            (b"\n", b""),
        ] {
            assert_eq!(line(&mut &*input, b"\n").map(|(line, _)| line), Ok(expected.to_vec()));
        }
        let longest = vec![b'x'; 65_535];
        let with = |end: &[u8]| line(&mut &*[&longest[..], end].concat(), b"\n").map(|(line, _)| line);
        assert_eq!(with(b"\r\n"), Ok(longest.clone()));
        assert!(with(b"x\n").is_err());
        assert_eq!(line(&mut &b"ab\x03c\n"[..], b"\n\x03"), Ok((b"ab".to_vec(), Some(INTERRUPT))));
    }
}
