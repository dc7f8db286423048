//! The devices that `docs/tcp.md` shows, as they stand there.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::with;
use crate::mqtt::MqttClient;
use crate::process::{Dir, Lines, Tidegate, fed, program};

/// The page's program in this language, for the port of this gateway.
fn documented(language: &str, tidegate: &Tidegate) -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tcp.md")).unwrap();
    let rest = page.split_once(&format!("```{language}\n")).expect("the page shows it").1;
    let program = rest.split("```").next().unwrap();
    assert_eq!(program.matches("8090").count(), 1, "{program}");
    program.replace("8090", &tidegate.tcp().port().to_string())
}

/// It comes in, is told so, publishes and hears what is published for it.
fn talks(tidegate: &Tidegate, command: &mut Command, welcome: &str, message: &str) {
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    ops.subscribe("tcp/+/up", 0);
    // What it prints comes line by line, though it does not print to a terminal.
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = Lines::of(child.stdout.take().unwrap());
    let reading = ops.message();
    assert_eq!((reading.topic.as_str(), reading.payload.as_str()), ("tcp/dev1/up", "21.5"));
    ops.publish("tcp/dev1/dn", "off", false);
    let heard = [said.next(), said.next()];
    drop(child.kill());
    drop(child.wait());
    assert_eq!(heard, [Some(welcome.to_owned()), Some(message.to_owned())]);
}

#[test]
fn the_device_in_python_talks() {
    let Some(python) = program("python3") else { return };
    let tidegate = with(&[]).start().ready();
    let source = documented("python", &tidegate);
    talks(&tidegate, Command::new(python).args(["-c", &source]), "(2, 0, b'Connect Successfully')", "(3, 0, b'off')");
}

#[test]
fn the_device_in_python_says_that_it_is_refused_and_ends() {
    let Some(python) = program("python3") else { return };
    let dir = Dir::new();
    let users = dir.path("users.txt").to_str().unwrap().to_owned();
    assert_eq!(fed(&["passwd", &users, "ann"], "right\n").code, Some(0));
    let chain = format!("[{{ type = 'file', path = '{users}' }}]");
    let tidegate = with(&[]).set("AUTH__CHAIN", &chain).start().ready();
    let source = documented("python", &tidegate);
    let said = Command::new(python).args(["-c", &source]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(text.starts_with("(2, 1, b'Authentication Failed')") && said.stderr.is_empty(), "{said:?}");
}

#[test]
fn the_device_in_c_talks() {
    let Some(compiler) = program("cc") else { return };
    let tidegate = with(&[]).start().ready();
    let dir = Dir::new();
    let source = dir.write("device.c", &documented("c", &tidegate));
    let device = dir.path("device");
    let arguments: [OsString; 3] = [source.into(), "-o".into(), device.clone().into()];
    let strict = ["-Wall", "-Werror", "-O2", "-D_FORTIFY_SOURCE=2"];
    let compiled = Command::new(compiler).args(strict).args(arguments).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    talks(&tidegate, &mut Command::new(device), "2 0 Connect Successfully", "3 0 off");
}
