//! Debian's mosquitto as a child process, and a door in front of it that can be shut.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::process::{Dir, Lines, kill, program};

/// A mosquitto on a loopback port of its own.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    child: Child,
    program: std::path::PathBuf,
    dir: Dir,
    log: Lines,
    pub(crate) port: u16,
}

impl Mosquitto {
    /// `None` when this machine has none. `options`: further lines of its configuration.
    pub(crate) fn start(options: &str) -> Option<Self> {
        let program = program("mosquitto")?;
        let dir = Dir::new();
        // A port that was free a moment ago may be taken by now: another one then.
        for _ in 0..10 {
            let port = free_port();
            let lines = format!("listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n{options}\n");
            dir.write("mosquitto.conf", &lines);
            if let Some((child, log)) = spawn(&program, &dir) {
                return Some(Self { child, program, dir, log, port });
            }
        }
        panic!("mosquitto does not start");
    }

    /// One that keeps sessions and retained messages in `dir`.
    pub(crate) fn persistent(dir: &Dir) -> Option<Self> {
        // As root it would become somebody who may not write there.
        let location = dir.path("").display().to_string();
        Self::start(&format!("user root\npersistence true\npersistence_location {location}"))
    }

    /// One that lets in only these users, with these passwords, and to these topics, and that keeps what it knows.
    /// `acl`: the lines of its file of rules.
    pub(crate) fn strict(dir: &Dir, users: &[(&str, &str)], acl: &str) -> Option<Self> {
        let hasher = program("mosquitto_passwd")?;
        let (passwords, rules) = (dir.write("passwords", ""), dir.write("rules", acl));
        for (user, password) in users {
            let made = Command::new(&hasher).arg("-b").arg(&passwords).args([user, password]).status();
            assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd {user}");
        }
        let location = dir.path("").display().to_string();
        Self::start(&format!(
            "user root\nallow_anonymous false\npassword_file {}\nacl_file {}\npersistence true\n\
             persistence_location {location}",
            passwords.display(),
            rules.display()
        ))
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn crash(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Ends it in order: with persistence it keeps what it knows.
    pub(crate) fn stop(&mut self) {
        kill(&self.child, "TERM");
        self.child.wait().expect("it is our child");
    }

    /// Starts it again on the same port.
    pub(crate) fn start_again(&mut self) {
        let (child, log) = spawn(&self.program, &self.dir).expect("mosquitto starts again on its port");
        (self.child, self.log) = (child, log);
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have been crashed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts mosquitto and waits until it accepts; `None` if it ends before.
fn spawn(program: &std::path::Path, dir: &Dir) -> Option<(Child, Lines)> {
    let config = dir.path("mosquitto.conf");
    let mut command = Command::new(program);
    command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("mosquitto starts");
    let mut log = Lines::of(child.stderr.take().expect("piped"));
    if log.find(|line| line.ends_with(" running")).is_some() {
        return Some((child, log));
    }
    drop(child.kill());
    drop(child.wait());
    None
}

/// `mosquitto_sub` as a child process. It comes back by itself after its broker was away, and loses nothing that had
/// reached its socket.
#[derive(Debug)]
pub(crate) struct MosquittoSub {
    child: Child,
    lines: Lines,
}

impl MosquittoSub {
    /// Subscribed with QoS 0. `None` when this machine has none.
    pub(crate) fn start(port: u16, filter: &str) -> Option<Self> {
        // Through a pipe it would keep its lines to itself for long.
        let (unbuffered, program) = (program("stdbuf")?, program("mosquitto_sub")?);
        let mut command = Command::new(unbuffered);
        command.arg("-oL").arg(program).args(["-p", &port.to_string(), "-t", filter, "-d", "-F", "got %p"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("mosquitto_sub starts");
        let lines = Lines::of(child.stdout.take().expect("piped"));
        let mut this = Self { child, lines };
        this.await_subscribed();
        Some(this)
    }

    /// Waits until it is subscribed (again).
    pub(crate) fn await_subscribed(&mut self) {
        let subscribed = self.lines.find(|line| line.contains("received SUBACK"));
        assert!(subscribed.is_some(), "{:?}", self.lines.seen);
    }

    /// All payloads until there are `count` different ones.
    pub(crate) fn until(&mut self, count: usize) -> BTreeSet<String> {
        let payload = |line: &String| line.strip_prefix("got ").map(str::to_owned);
        let mut heard: BTreeSet<_> = self.lines.seen.iter().filter_map(payload).collect();
        while heard.len() < count {
            let Some(line) = self.lines.next() else { panic!("only {} of {count}", heard.len()) };
            heard.extend(payload(&line));
        }
        heard
    }
}

impl Drop for MosquittoSub {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Passes TCP connections on to a broker while it is open; shut, its port refuses them.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) port: u16,
    behind: u16,
    open: Arc<AtomicBool>,
    passing: Arc<Mutex<Vec<TcpStream>>>,
    porter: Option<JoinHandle<()>>,
}

impl Door {
    /// An open door to this port of this machine.
    pub(crate) fn to(behind: u16) -> Self {
        let mut door = Self { port: 0, behind, open: Arc::default(), passing: Arc::default(), porter: None };
        door.open();
        door
    }

    /// Lets connections through again.
    pub(crate) fn open(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).expect("the door's own port");
        self.port = listener.local_addr().expect("it is bound").port();
        self.open.store(true, Ordering::SeqCst);
        let (open, passing, behind) = (Arc::clone(&self.open), Arc::clone(&self.passing), self.behind);
        self.porter = Some(thread::spawn(move || {
            for coming in listener.incoming().map_while(Result::ok) {
                if !open.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(going) = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)) {
                    join(&coming, &going).expect("two connections");
                    passing.lock().unwrap().extend([coming, going]);
                }
            }
        }));
    }

    /// Cuts all connections and lets no more through.
    pub(crate) fn shut(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        let knock = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        drop(TcpStream::connect(knock));
        self.porter.take().map(JoinHandle::join).transpose().expect("the porter sees it");
        for stream in self.passing.lock().unwrap().drain(..) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.porter.is_some() {
            self.shut();
        }
    }
}

/// Copies both ways, each on a thread, until one side ends.
fn join(one: &TcpStream, other: &TcpStream) -> io::Result<()> {
    for (from, to) in [(one, other), (other, one)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        from.set_nodelay(true)?;
        thread::spawn(move || {
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Both));
        });
    }
    Ok(())
}
