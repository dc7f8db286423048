//! TLS listeners: who shows what to whom, what a reload changes, and what cannot be a handshake.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use openssl::nid::Nid;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslStream, SslVersion};

use crate::certificates::{Authority, Certificate};
use crate::mqtt::MqttClient;
use crate::process::{Dir, Setup, Tidegate, program, tidegate};
use crate::tcp_device::{TcpDevice, WELCOME, connect_frame, connection};

impl Tidegate {
    /// The TLS port of the gateway of sockets.
    fn tls(&self) -> SocketAddr {
        self.row("TCP", "tls")
    }
}

/// The configuration of a TLS listener with these lines in its `tls` table.
fn file(lines: &str) -> String {
    format!(
        "[gateways.tcp.listeners.tls.secure]\nbind = \"127.0.0.1:0\"\n[gateways.tcp.listeners.tls.secure.tls]\n{lines}\n"
    )
}

fn files(certificate: &Certificate) -> String {
    let Certificate { cert, key } = certificate;
    format!("cert_file = \"{cert}\"\nkey_file = \"{key}\"\n")
}

/// A handshake as a device does it which trusts this authority and wants `host`.
fn handshake(
    address: SocketAddr,
    authority: &Authority,
    host: &str,
    own: Option<&Certificate>,
) -> Result<SslStream<TcpStream>, String> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_ca_file(&authority.file).unwrap();
    if let Some(Certificate { cert, key }) = own {
        builder.set_certificate_file(cert, SslFiletype::PEM).unwrap();
        builder.set_private_key_file(key, SslFiletype::PEM).unwrap();
    }
    builder.build().connect(host, connection(address)).map_err(|fault| fault.to_string())
}

fn device(address: SocketAddr, authority: &Authority, host: &str, own: Option<&Certificate>) -> TcpDevice {
    TcpDevice::over(handshake(address, authority, host, own).unwrap())
}

/// The common name of the certificate that is shown to who asks for `host`.
fn shown(address: SocketAddr, authority: &Authority, host: &str) -> String {
    let stream = handshake(address, authority, host, None).unwrap();
    let certificate = stream.ssl().peer_certificate().unwrap();
    let name = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next().unwrap();
    String::from_utf8(name.data().as_slice().to_vec()).unwrap()
}

#[test]
fn a_device_talks_over_tls() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let tidegate = Setup::new().file(&file(&files(&authority.certify(&dir, "gw.test")))).start().ready();
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    ops.subscribe("tcp/+/up", 0);
    // More than one, so that some are handed from shard to shard with their encryption.
    let mut devices = Vec::new();
    for n in 0..8 {
        let id = format!("d{n}");
        let mut device = device(tidegate.tls(), &authority, "gw.test", None);
        device.enter(&[&id]);
        device.publish(&id);
        assert_eq!(ops.message().payload, id);
        let large = format!("{id} {}", "x".repeat(60_000));
        ops.publish(&format!("tcp/{id}/dn"), &large, false);
        assert!(device.message() == large);
        devices.push(device);
    }
    for (n, mut older) in devices.into_iter().enumerate() {
        let mut newer = device(tidegate.tls(), &authority, "gw.test", None);
        newer.enter(&[&format!("d{n}")]);
        assert!(older.is_closed());
        newer.ping();
    }
}

#[test]
fn each_name_has_its_own_certificate() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let [usual, other] = ["gw.test", "other.test"].map(|name| authority.certify(&dir, name));
    let Certificate { cert, key } = &other;
    let sni = format!("sni = [{{ server_name = \"other.test\", cert_file = \"{cert}\", key_file = \"{key}\" }}]");
    let tidegate = Setup::new().file(&file(&format!("{}{sni}", files(&usual)))).start();
    for name in ["gw.test", "other.test", "gw.test"] {
        assert_eq!(shown(tidegate.tls(), &authority, name), name);
    }
}

#[test]
fn a_client_certificate_lets_in_and_its_common_name_is_the_user_name() {
    let dir = Dir::new();
    let [authority, stranger] = ["authority", "stranger"].map(|name| Authority::new(&dir, name));
    let own = authority.certify(&dir, "pump-7");
    let forged = stranger.certify(&dir, "pump-8");
    let lines = format!(
        "{}ca_file = \"{}\"\nverify = \"required\"",
        files(&authority.certify(&dir, "gw.test")),
        authority.file
    );
    let tidegate = Setup::new().file(&file(&lines)).start().ready();
    for bad in [None, Some(&forged)] {
        // In TLS 1.3 a client learns only afterwards that it was refused.
        let refused = match handshake(tidegate.tls(), &authority, "gw.test", bad) {
            Ok(stream) => {
                let mut device = TcpDevice::over(stream);
                device.write(&connect_frame(60, &["pump"]));
                device.is_closed()
            }
            Err(_) => true,
        };
        assert!(refused, "{bad:?}");
    }
    let mut device = device(tidegate.tls(), &authority, "gw.test", Some(&own));
    device.enter(&["pump"]);
    let (_, body) = tidegate.get("/api/v5/gateways/tcp/clients/pump");
    assert!(body.contains("\"username\":\"pump-7\""), "{body}");
}

/// `openssl s_client` with a pre-shared key.
struct Psk {
    child: Child,
}

impl Psk {
    fn start(address: SocketAddr, version: &str, identity: &str, key: &str) -> Option<Self> {
        let mut command = Command::new(program("openssl")?);
        command.args(["s_client", "-connect", &address.to_string(), version, "-quiet", "-nocommands"]);
        command.args(["-psk_identity", identity, "-psk", key, "-cipher", "PSK"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Some(Self { child: command.spawn().unwrap() })
    }

    /// CONNECT, and what is answered.
    fn connect(&mut self, id: &str) -> Vec<u8> {
        // It may have ended: nothing is answered then.
        drop(self.child.stdin.as_mut().unwrap().write_all(&connect_frame(60, &[id])));
        let mut answer = vec![0; WELCOME.len()];
        let read = self.child.stdout.as_mut().unwrap().read(&mut answer).unwrap();
        answer.truncate(read);
        answer
    }
}

impl Drop for Psk {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_pre_shared_key_lets_in_and_a_wrong_one_does_not() {
    if program("openssl").is_none() {
        return;
    }
    let dir = Dir::new();
    let keys = dir.write("psk.txt", "# keys\npump-7:00112233445566778899aabbccddeeff\n");
    let setup = Setup::new().set("AUTH__PSK__FILE", keys.to_str().unwrap()).file(&file(""));
    let mut tidegate = setup.start().ready();
    for version in ["-tls1_2", "-tls1_3"] {
        for (identity, key, enters) in [
            ("pump-7", "00112233445566778899aabbccddeeff", true),
            ("pump-7", "ff112233445566778899aabbccddeeff", false),
            ("pump-9", "00112233445566778899aabbccddeeff", false),
        ] {
            let mut client = Psk::start(tidegate.tls(), version, identity, key).unwrap();
            let answer = client.connect("pump");
            assert_eq!(answer == WELCOME, enters, "{version} {identity} {key}: {answer:?}");
        }
    }
    // A key that is new in the file counts after a reload.
    dir.write("psk.txt", "pump-9:00112233445566778899aabbccddeeff\n");
    tidegate.signal("HUP");
    tidegate.logged("the configuration is reloaded");
    for (identity, enters) in [("pump-9", true), ("pump-7", false)] {
        let mut client = Psk::start(tidegate.tls(), "-tls1_2", identity, "00112233445566778899aabbccddeeff").unwrap();
        assert_eq!(client.connect("pump") == WELCOME, enters, "{identity}");
    }
}

#[test]
fn a_chain_for_certificates_lets_certificates_in_and_no_keys() {
    if program("openssl").is_none() {
        return;
    }
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let own = authority.certify(&dir, "pump-7");
    // The key's identity reads as the certificate's name does.
    let keys = dir.write("psk.txt", "pump-7:00112233445566778899aabbccddeeff\n");
    let gateway = files(&authority.certify(&dir, "gw.test"));
    let lines = format!("{gateway}ca_file = \"{}\"\nverify = \"optional\"", authority.file);
    let text = format!("[[auth.chain]]\ntype = \"x509\"\n{}", file(&lines));
    let tidegate = Setup::new().set("AUTH__PSK__FILE", keys.to_str().unwrap()).file(&text).start().ready();
    for version in ["-tls1_2", "-tls1_3"] {
        let key = "00112233445566778899aabbccddeeff";
        let mut client = Psk::start(tidegate.tls(), version, "pump-7", key).unwrap();
        let answer = client.connect("pump");
        assert_eq!(answer.first(), Some(&0x21), "{version}: refused by the chain, not by the handshake");
    }
    let mut certified = device(tidegate.tls(), &authority, "gw.test", Some(&own));
    certified.enter(&["pump"]);
}

#[test]
fn an_identity_that_is_bound_to_a_client_id_is_no_other() {
    if program("openssl").is_none() {
        return;
    }
    let dir = Dir::new();
    let keys = dir.write("psk.txt", "urn:imei:1:00112233\nfree:00112233\n");
    let setup = Setup::new().set("AUTH__PSK__FILE", keys.to_str().unwrap());
    let setup = setup.set("AUTH__PSK__ENDPOINTS", "{ 'urn:imei:1' = 'pump' }").file(&file(""));
    let tidegate = setup.start().ready();
    for (identity, id, enters) in
        [("urn:imei:1", "pump", true), ("urn:imei:1", "valve", false), ("free", "valve", true)]
    {
        let mut client = Psk::start(tidegate.tls(), "-tls1_2", identity, "00112233").unwrap();
        assert_eq!(client.connect(id) == WELCOME, enters, "{identity} {id}");
    }
}

#[test]
fn a_reload_shows_the_new_certificate_and_keeps_the_old_one_if_that_is_bad() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let certificate = authority.certify(&dir, "gw.test");
    let mut tidegate = Setup::new().file(&file(&files(&certificate))).start().ready();
    let mut before = device(tidegate.tls(), &authority, "gw.test", None);
    before.enter(&["before"]);
    let serial = |tidegate: &Tidegate| {
        let stream = handshake(tidegate.tls(), &authority, "gw.test", None).unwrap();
        let certificate = stream.ssl().peer_certificate().unwrap();
        certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string()
    };
    let first = serial(&tidegate);
    // Another certificate under the same name, and thus in the same files.
    authority.certify(&dir, "gw.test");
    tidegate.signal("HUP");
    tidegate.logged("the configuration is reloaded");
    let second = serial(&tidegate);
    assert_ne!(second, first);
    fs::write(&certificate.cert, "no certificate\n").unwrap();
    tidegate.signal("HUP");
    tidegate.logged("not reloaded");
    let why = tidegate.logged("gateways.tcp.listeners.tls.secure.tls");
    assert!(why.contains(&certificate.cert), "{why}");
    assert_eq!(serial(&tidegate), second);
    before.ping();
}

#[test]
fn files_that_are_no_good_are_told_with_their_key_and_reason_before_anything_listens() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let [one, other] = ["one.test", "other.test"].map(|name| authority.certify(&dir, name));
    let mixed = Certificate { key: other.key.clone(), ..one.clone() };
    let missing = Certificate { cert: dir.path("none.crt").to_str().unwrap().to_owned(), ..one.clone() };
    let garbage = Certificate { cert: dir.write("bad.crt", "x").to_str().unwrap().to_owned(), ..one };
    for (lines, named) in [
        (files(&mixed), mixed.key.as_str()),
        (files(&missing), &missing.cert),
        (files(&garbage), &garbage.cert),
        (String::new(), "gateways.tcp.listeners.tls.secure"),
    ] {
        let path = dir.write("t.toml", &file(&lines));
        for arguments in [["check"].as_slice(), &["run", "-c"]] {
            let outcome = tidegate(&[arguments, &[path.to_str().unwrap()]].concat(), &[]);
            assert_eq!(outcome.code, Some(2), "{}", outcome.errors);
            let key = "gateways.tcp.listeners.tls.secure";
            assert!(outcome.errors.contains(named) && outcome.errors.contains(key), "{}", outcome.errors);
            assert_eq!(outcome.errors.lines().count(), 1, "{}", outcome.errors);
        }
    }
}

#[test]
fn a_plain_client_on_a_tls_port_is_closed_and_told_in_one_line() {
    let dir = Dir::new();
    let certificate = Authority::new(&dir, "authority").certify(&dir, "gw.test");
    let mut tidegate = Setup::new().file(&file(&files(&certificate))).start().ready();
    let mut plain = TcpDevice::new(tidegate.tls());
    plain.write(&connect_frame(60, &["pump"]));
    // What it hears is an alert of TLS, if anything.
    let mut wire = connection(tidegate.tls());
    drop(wire.write_all(&connect_frame(60, &["pump"])));
    let mut heard = Vec::new();
    drop(wire.read_to_end(&mut heard));
    assert_ne!(heard.first(), Some(&0x20));
    let line = tidegate.logged("TLS");
    assert!(line.contains("gateways.tcp.listeners.tls.secure") || line.contains("127.0.0.1"), "{line}");
}

#[test]
fn a_handshake_that_does_not_come_about_in_time_is_given_up() {
    let dir = Dir::new();
    let certificate = Authority::new(&dir, "authority").certify(&dir, "gw.test");
    let lines = format!("{}handshake_timeout = \"1s\"", files(&certificate));
    let tidegate = Setup::new().file(&file(&lines)).start();
    let mut silent = TcpDevice::new(tidegate.tls());
    let mut half = TcpDevice::new(tidegate.tls());
    half.write(b"\x16\x03\x01\x02\x00\x01");
    assert!(silent.is_closed());
    assert!(half.is_closed());
}

#[test]
fn only_the_versions_that_are_named_are_spoken() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let lines = format!("{}versions = [\"1.3\"]", files(&authority.certify(&dir, "gw.test")));
    let tidegate = Setup::new().file(&file(&lines)).start();
    for (version, speaks) in [(SslVersion::TLS1_2, false), (SslVersion::TLS1_3, true)] {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_ca_file(&authority.file).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
        builder.set_min_proto_version(Some(version)).unwrap();
        let spoken = builder.build().connect("gw.test", connection(tidegate.tls()));
        assert_eq!(spoken.is_ok(), speaks, "{version:?}");
    }
}

#[test]
fn simulated_devices_and_loads_speak_tls_to_a_gateway_that_they_trust() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let gateway = Setup::new().file(&file(&files(&authority.certify(&dir, "localhost")))).start().ready();
    let address = format!("localhost:{}", gateway.tls().port());
    let trust = ["--gateway", &address, "--tls", "--ca", &authority.file];
    let sim = tidegate(&[&["sim", "tcp", "--devices", "2", "--duration", "500ms"], &trust[..]].concat(), &[]);
    assert_eq!((sim.code, sim.errors.as_str()), (Some(0), ""), "{}", sim.output);
    let load = ["bench", "tcp", "connect", "--json", "--clients", "3"];
    let bench = tidegate(&[&load, &trust[..]].concat(), &[]);
    assert_eq!(bench.code, Some(0), "{}", bench.errors);
    let stranger = Authority::new(&dir, "stranger");
    let wary = ["--gateway", &address, "--tls", "--ca", &stranger.file];
    let bench = tidegate(&[&load, &wary[..]].concat(), &[]);
    assert!(bench.code == Some(1) && bench.errors.contains("certificate is not trusted"), "{}", bench.errors);
    let sim = tidegate(&[&["sim", "tcp", "--devices", "1", "--duration", "500ms"], &wary[..]].concat(), &[]);
    assert!(sim.output.contains("not connected: the gateway's certificate is not trusted"), "{}", sim.output);
}
