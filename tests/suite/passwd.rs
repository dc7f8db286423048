//! `tidegate passwd`: what it asks, what it writes, and what it leaves alone.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::process::{Dir, Outcome, PATIENCE, fed};

fn passwd(input: &str, arguments: &[&str]) -> Outcome {
    fed(&[&["passwd"], arguments].concat(), input)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The hash in the line of `user`.
fn hash(file: &str, user: &str) -> String {
    let line = file.lines().find_map(|line| line.strip_prefix(&format!("{user}:")));
    line.unwrap_or_else(|| panic!("no {user} in\n{file}")).to_owned()
}

#[test]
fn a_user_is_added_changed_and_removed_and_all_else_stays() {
    let dir = Dir::new();
    let path = dir.path("users.txt");
    let file = path.to_str().unwrap();
    let told = |outcome: &Outcome| (outcome.code, outcome.output.clone(), outcome.errors.clone());

    let added = passwd("s3cret\nnot this\n", &[file, "ann"]);
    assert_eq!(told(&added), (Some(0), format!("{file}: \"ann\" added"), String::new()));
    assert_eq!(mode(&path), 0o600, "hashes are the owner's alone");
    let first = hash(&text(&path), "ann");
    assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");

    fs::write(&path, format!("# staff\r\n\r\nann:{first}\r\n# devices")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(passwd("other\r\n", &[file, "urn:imei:1"]).code, Some(0));
    let second = hash(&text(&path), "urn:imei:1");
    assert_eq!(text(&path), format!("# staff\r\n\r\nann:{first}\r\n# devices\r\nurn:imei:1:{second}\r\n"));
    assert_eq!(mode(&path), 0o640, "an existing file keeps its mode");

    let changed = passwd("s3cret", &[file, "ann"]);
    assert_eq!(told(&changed), (Some(0), format!("{file}: \"ann\" changed"), String::new()));
    let anew = hash(&text(&path), "ann");
    assert_ne!(first, anew, "fresh salt each time");
    assert_eq!(text(&path), format!("# staff\r\n\r\nann:{anew}\r\n# devices\r\nurn:imei:1:{second}\r\n"));

    let removed = passwd("", &["-D", file, "ann"]);
    assert_eq!(told(&removed), (Some(0), format!("{file}: \"ann\" removed"), String::new()));
    assert_eq!(text(&path), format!("# staff\r\n\r\n# devices\r\nurn:imei:1:{second}\r\n"));

    let gone = passwd("", &["--delete", file, "ann"]);
    assert_eq!((gone.code, gone.errors), (Some(1), format!("tidegate: {file}: no user \"ann\"")));
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["users.txt"], "nothing is left beside it");
}

#[test]
fn what_cannot_be_a_user_or_a_password_is_refused_before_anything_is_written() {
    let dir = Dir::new();
    let path = dir.path("users.txt");
    let file = path.to_str().unwrap();
    for (user, input, code, told) in [
        ("ann", "", 2, "the password is empty".to_owned()),
        ("ann", "\nx\n", 2, "the password is empty".to_owned()),
        ("", "x\n", 2, "the user name is empty".to_owned()),
        ("a\u{1}", "x\n", 2, "the user name holds a character that MQTT cannot carry".to_owned()),
        (
            "#ann",
            "x\n",
            2,
            "the user name begins with '#', begins or ends with white space, or holds \":$\": no line can say it"
                .to_owned(),
        ),
    ] {
        let outcome = passwd(input, &[file, user]);
        assert_eq!((outcome.code, outcome.errors), (Some(code), told), "{user:?}");
    }
    let outcome = passwd("", &["-D", file, "ann"]);
    assert_eq!((outcome.code, outcome.errors), (Some(1), format!("tidegate: {file}: there is no such file")));
    let nowhere = dir.path("no/users.txt");
    assert_eq!(passwd("x\n", &[nowhere.to_str().unwrap(), "ann"]).code, Some(1));
    assert_eq!(passwd("x\n", &[file]).code, Some(2), "bad usage");
    assert!(!path.exists());
}

#[test]
fn a_file_of_something_else_is_left_as_it_is() {
    let dir = Dir::new();
    let text = "[node]\nname = \"north\"\n";
    let path = dir.write("tidegate.toml", text);
    let file = path.to_str().unwrap();
    let outcome = passwd("x\n", &[file, "ann"]);
    assert_eq!(outcome.code, Some(1));
    let expected = format!("{file}: is no users file, and left as it is: line 1: expected name:$argon2id$…");
    assert!(outcome.errors.contains(&expected), "{}", outcome.errors);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_file_that_a_node_would_refuse_or_all_may_read_is_told() {
    let dir = Dir::new();
    let path = dir.write("users.txt", "bob:$2b$10$abc\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = path.to_str().unwrap();
    let outcome = passwd("x\n", &[file, "ann"]);
    assert_eq!(outcome.code, Some(0));
    let expected = [
        format!("{file}: everybody on this machine can read the hashes: chmod o-r"),
        format!(
            "{file}: line 1: hashes by bcrypt are not in this version: expected $argon2id$… (a node refuses the whole file for it)"
        ),
    ];
    assert_eq!(outcome.errors.lines().collect::<Vec<_>>(), expected);
    assert_eq!(mode(&path), 0o644);
}

#[test]
fn a_link_stays_a_link() {
    let dir = Dir::new();
    let (target, link) = (dir.write("real.txt", ""), dir.path("users.txt"));
    std::os::unix::fs::symlink("real.txt", &link).unwrap();
    assert_eq!(passwd("x\n", &[link.to_str().unwrap(), "ann"]).code, Some(0));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(text(&target).starts_with("ann:$argon2id$"));
}

/// A terminal with `tidegate passwd` at it.
struct Terminal {
    screen: fs::File,
    line: OwnedFd,
    prompts: Receiver<String>,
    child: std::process::Child,
}

impl Terminal {
    fn new(file: &str) -> Self {
        let pair = openpty(None, None).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["passwd", file, "ann"])
            .stdin(Stdio::from(pair.slave.try_clone().unwrap()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = child.stderr.take().unwrap();
        let (sender, prompts) = channel();
        thread::spawn(move || {
            let mut prompt = Vec::new();
            let mut octet = [0];
            while errors.read(&mut octet).is_ok_and(|read| read == 1) {
                prompt.push(octet[0]);
                let asks = prompt.ends_with(b"\": ") || prompt.ends_with(b"Again: ");
                if asks && sender.send(String::from_utf8(std::mem::take(&mut prompt)).unwrap()).is_err() {
                    return;
                }
            }
            drop(sender.send(String::from_utf8(prompt).unwrap()));
        });
        Self { screen: pair.master.into(), line: pair.slave, prompts, child }
    }

    /// Types after the prompt.
    fn answer(&mut self, prompt: &str, typed: &[u8]) {
        assert_eq!(self.prompts.recv_timeout(PATIENCE).unwrap(), prompt);
        assert!(!self.echoes(), "what is typed would be seen");
        self.screen.write_all(typed).unwrap();
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    /// Exit code and last words; the terminal is as it was.
    fn end(mut self) -> (Option<i32>, String) {
        let said = self.prompts.recv_timeout(PATIENCE).unwrap();
        let code = self.child.wait().unwrap().code();
        assert!(self.echoes(), "the terminal stays blind");
        (code, said)
    }
}

#[test]
fn at_a_terminal_the_password_is_asked_twice_and_not_shown() {
    let dir = Dir::new();
    let path = dir.path("users.txt");
    let file = path.to_str().unwrap();
    for (first, again, expected) in [
        (&b"s3cret\n"[..], Some(&b"s3cret\n"[..]), (Some(0), "")),
        (b"s3cret\n", Some(b"sacred\n"), (Some(2), "these are two passwords\n")),
        (b"\n", None, (Some(2), "the password is empty\n")),
        (b"s3c\x03", None, (Some(1), "tidegate: interrupted\n")),
    ] {
        let mut terminal = Terminal::new(file);
        terminal.answer("Password for \"ann\": ", first);
        if let Some(again) = again {
            terminal.answer("Again: ", again);
        }
        assert_eq!(terminal.end(), (expected.0, expected.1.to_owned()), "{first:?} {again:?}");
    }
    assert!(text(&path).starts_with("ann:$argon2id$"));
}
