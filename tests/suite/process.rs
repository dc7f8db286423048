//! The binary as a child process: what it prints is read line by line, and waited for with a deadline.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a busy machine; a test that waits for nothing never waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration file in a test's directory.
const CONFIGURATION: &str = "tidegate.toml";

/// What a tidegate under test is made of: all ports are chosen by the kernel, and its directory is its own.
#[derive(Debug)]
pub(crate) struct Setup {
    dir: Dir,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
}

/// A running tidegate. It is killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Tidegate {
    child: Child,
    /// The start-up text.
    pub(crate) table: String,
    output: Lines,
    errors: Lines,
    dir: Dir,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let dir = Dir::new();
        let any = "127.0.0.1:0".to_owned();
        let environment = [
            ("NODE__DATA_DIR", dir.path("data").display().to_string()),
            ("NODE__WORKERS", "2".to_owned()),
            ("ADMIN__BIND", any.clone()),
            ("BROKER__EMBEDDED__BIND", any.clone()),
            ("GATEWAYS__MQTTSN__LISTENERS__UDP__DEFAULT__BIND", any.clone()),
            ("GATEWAYS__TCP__LISTENERS__TCP__DEFAULT__BIND", any),
        ];
        let environment = environment.map(|(key, value)| (format!("TIDEGATE__{key}"), value));
        Self { dir, environment: environment.into(), arguments: vec!["run".to_owned()] }
    }

    /// With a broker on this port of this machine.
    pub(crate) fn broker(self, port: u16) -> Self {
        self.set("BROKER__URL", &format!("mqtt://127.0.0.1:{port}"))
    }

    /// With `TIDEGATE__<key>`.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.environment.insert(format!("TIDEGATE__{key}"), value.to_owned());
        self
    }

    /// With a configuration file of this text; see [`Tidegate::rewrite`].
    pub(crate) fn file(mut self, text: &str) -> Self {
        let path = self.dir.write(CONFIGURATION, text);
        self.arguments.extend(["--config".to_owned(), path.display().to_string()]);
        self
    }

    fn spawn(&self) -> Child {
        command(&self.arguments, &self.environment).spawn().expect("the binary starts")
    }

    /// Starts it, and waits until the start-up text is complete.
    pub(crate) fn start(self) -> Tidegate {
        let mut child = self.spawn();
        let mut output = Lines::of(child.stdout.take().expect("piped"));
        let mut errors = Lines::of(child.stderr.take().expect("piped"));
        let last = |line: &str| line.starts_with("All of it listens") || line.starts_with("Other machines");
        if output.find(last).is_none() {
            let status = ended(&mut child);
            panic!("it did not start ({status:?}): {}", errors.rest());
        }
        let table = output.seen.join("\n");
        Tidegate { child, table, output, errors, dir: self.dir }
    }

    /// Runs it to its end, which must come by itself.
    pub(crate) fn outcome(self) -> Outcome {
        outcome(self.spawn())
    }
}

/// What a finished process has left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs the binary to its end with these arguments and variables, and no others that it would read.
pub(crate) fn tidegate(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    outcome(command(&arguments, &environment).spawn().expect("the binary starts"))
}

/// The same with something on standard input.
pub(crate) fn fed(arguments: &[&str], input: &str) -> Outcome {
    let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
    let mut child = command(&arguments, &BTreeMap::new()).stdin(Stdio::piped()).spawn().expect("the binary starts");
    // It need not read all, or any, of it.
    drop(child.stdin.take().expect("piped").write_all(input.as_bytes()));
    outcome(child)
}

/// Another command of the binary, while it runs. It is killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Tool {
    child: Child,
    pub(crate) output: Lines,
    errors: Lines,
}

impl Tool {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let mut child = command(&arguments, &BTreeMap::new()).spawn().expect("the binary starts");
        let output = Lines::of(child.stdout.take().expect("piped"));
        let errors = Lines::of(child.stderr.take().expect("piped"));
        Self { child, output, errors }
    }

    pub(crate) fn signal(&self, name: &str) {
        kill(&self.child, name);
    }

    /// Waits for its end; what was looked at before is in there too.
    pub(crate) fn outcome(mut self) -> Outcome {
        let status = ended(&mut self.child).expect("it ends by itself");
        let [output, errors] = [&mut self.output, &mut self.errors].map(|lines| std::mem::take(lines).into_text());
        Outcome { code: status.code(), output, errors }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(arguments: &[String], environment: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIDEGATE__")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn outcome(mut child: Child) -> Outcome {
    let output = Lines::of(child.stdout.take().expect("piped"));
    let errors = Lines::of(child.stderr.take().expect("piped"));
    let status = ended(&mut child).expect("it ends by itself");
    Outcome { code: status.code(), output: output.into_text(), errors: errors.into_text() }
}

/// Waits for the end of a child; kills it when it takes too long.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().expect("it is our child") {
            Some(status) => return Some(status),
            None if Instant::now() > until => {
                child.kill().expect("it is our child");
                child.wait().expect("it is our child");
                return None;
            }
            None => pause(),
        }
    }
}

/// Between two looks at something that tells nobody when it changes.
pub(crate) fn pause() {
    thread::park_timeout(Duration::from_millis(10));
}

impl Tidegate {
    /// The address in the table's first row of this protocol.
    pub(crate) fn address(&self, protocol: &str) -> SocketAddr {
        self.find_row(|cells| cells.first() == Some(&protocol))
    }

    /// The address in the table's first row of this protocol and transport.
    pub(crate) fn row(&self, protocol: &str, transport: &str) -> SocketAddr {
        self.find_row(|cells| cells.starts_with(&[protocol, transport]))
    }

    fn find_row(&self, wanted: impl Fn(&[&str]) -> bool) -> SocketAddr {
        let row = self.table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let address = row.filter(|cells| wanted(cells)).find_map(|cells| cells[2].parse().ok());
        address.unwrap_or_else(|| panic!("not in\n{}", self.table))
    }

    /// The gateway's port.
    pub(crate) fn mqttsn(&self) -> SocketAddr {
        self.address("MQTT-SN")
    }

    /// The embedded broker's port.
    pub(crate) fn broker_port(&self) -> u16 {
        self.address("MQTT").port()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until every link is online.
    pub(crate) fn ready(self) -> Self {
        self.await_ready();
        self
    }

    /// See [`Tidegate::ready`].
    pub(crate) fn await_ready(&self) {
        self.readyz_until(|code, _| code == 200);
    }

    /// Asks `/readyz` until the answer is as wanted, and returns it.
    pub(crate) fn readyz_until(&self, wanted: impl Fn(u16, &str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let (code, body) = self.get("/readyz");
            if wanted(code, &body) {
                return body;
            }
            assert!(Instant::now() < until, "/readyz still says {code}: {body}");
            pause();
        }
    }

    /// `GET` on the admin address: status code and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, "")
    }

    /// A request to the admin address, with these further header lines: status code and body.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let (code, _, body) = self.exchange(method, path, headers, "");
        (code, body)
    }

    /// The same with a body: status code, header lines and body.
    pub(crate) fn exchange(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let address = self.address("HTTP");
        let mut stream = TcpStream::connect(address).expect("the admin listener accepts");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = if headers.contains("Host: ") { String::new() } else { format!("Host: {address}\r\n") };
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{length}{headers}\r\n");
        // In one piece, and perhaps in vain: who refuses a request need not read it to its end.
        drop(stream.write_all(format!("{head}{body}").as_bytes()));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let (head, body) = answer.split_once("\r\n\r\n").expect("the end of the head");
        (code, head.to_owned(), body.to_owned())
    }

    /// The sum of the series of `/metrics` that begin so.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let (code, text) = self.get("/metrics");
        assert_eq!(code, 200);
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Waits until the sum of the series of `/metrics` that begin so is as wanted.
    pub(crate) fn metric_until(&self, series: &str, wanted: impl Fn(u64) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(self.metric(series)) {
            assert!(Instant::now() < until, "{series} is still {}", self.metric(series));
            pause();
        }
    }

    /// Waits for a log line that holds this text.
    pub(crate) fn logged(&mut self, text: &str) -> String {
        let found = self.errors.find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no {text:?} among\n{}", self.errors.seen.join("\n")))
    }

    /// The next commands to try, which are for this protocol: what listens and what sends.
    pub(crate) fn try_it(&mut self, protocol: &str) -> (String, String) {
        let head = format!("Try {protocol}.");
        self.output.find(|line| line.starts_with(&head)).expect("there is something to try");
        let indented = |line: &str| line.starts_with("  ");
        let mut next = || self.output.find(indented).expect("a command").trim().to_owned();
        (next(), next())
    }

    /// Another text for the configuration file.
    pub(crate) fn rewrite(&self, text: &str) {
        self.dir.write(CONFIGURATION, text);
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        kill(&self.child, name);
    }

    /// Waits for the end, and returns the exit code and what was logged until then.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status =
            ended(&mut self.child).unwrap_or_else(|| panic!("it does not end:\n{}", self.errors.seen.join("\n")));
        (status.code(), std::mem::take(&mut self.errors).into_text())
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("tidegate said:\n{}", self.errors.rest());
        }
    }
}

/// Sends a signal to a child by the shell's own `kill`, for what `std` has no call.
pub(crate) fn kill(child: &Child, signal: &str) {
    let id = child.id().to_string();
    let sent = Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "kill", signal, &id]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIG{signal} to {id}");
}

/// The lines of a stream, read by a thread of their own.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    coming: Option<Receiver<String>>,
    /// All that have been looked at.
    pub(crate) seen: Vec<String>,
}

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, coming) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { coming: Some(coming), seen: Vec::new() }
    }

    /// The next line, unless the stream has ended or is silent for too long.
    pub(crate) fn next(&mut self) -> Option<String> {
        let line = match self.coming.as_ref()?.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        };
        self.seen.push(line.clone());
        Some(line)
    }

    /// The next line like this.
    pub(crate) fn find(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        loop {
            let line = self.next()?;
            if wanted(&line) {
                return Some(line);
            }
        }
    }

    /// What has come by now.
    fn rest(&mut self) -> String {
        if let Some(coming) = &self.coming {
            self.seen.extend(coming.try_iter());
        }
        self.seen.join("\n")
    }

    /// Everything, once the stream has ended.
    fn into_text(mut self) -> String {
        while self.next().is_some() {}
        self.seen.join("\n")
    }
}

/// A directory of one test's own, gone afterwards.
#[derive(Debug)]
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidegate-suite-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory for temporary files");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file in a directory of our own");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The path of a program, or `None` after saying that the test is skipped: under `TIDEGATE_NO_SKIP=1` that is a failure.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = [Path::new("/usr/sbin"), Path::new("/usr/local/sbin")].map(Path::to_owned);
    let found = std::env::split_paths(&path).chain(also).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.or_else(|| skip(&format!("no {name} on this machine")))
}

/// Says why a test is skipped.
pub(crate) fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("TIDEGATE_NO_SKIP").is_none_or(|set| set != "1"), "{why}, and skipping is not allowed");
    eprintln!("SKIP: {why}");
    None
}
