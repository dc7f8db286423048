//! Brokers, certificates and files for the tests.

use super::*;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{AlpnError, SslAcceptor, SslAcceptorBuilder, SslMethod, select_next_proto};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder, store::X509StoreBuilder};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

pub(super) const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn connect_to(target: Target) -> Result<BrokerStream, ConnectFault> {
    let mut connector = Connector::start(target, LIMIT);
    poll_fn(|cx| connector.poll_connected(cx)).await
}

pub(super) fn target(server: &Server, tls: Option<TlsOptions>) -> Target {
    let tls = tls.map(|options| Arc::new(TlsSettings::load(&options).unwrap()));
    Target { tls, ..Target::tcp("127.0.0.1", server.port) }
}

pub(super) fn options_trusting(files: &Files, identity: &Identity) -> TlsOptions {
    TlsOptions { ca_file: Some(files.put("ca.crt", &identity.cert_pem())), ..TlsOptions::default() }
}

/// An address where nobody listens, and nobody else can begin to while the socket lives.
pub(super) fn vacant() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A self-signed certificate for a name, `localhost` and 127.0.0.1.
pub(super) struct Identity {
    cert: X509,
    key: PKey<Private>,
}

impl Identity {
    pub(super) fn new(name: &str) -> Self {
        Self::valid_until(name, 4_102_444_800)
    }

    /// Valid from 1970 to `end`, in seconds since then.
    pub(super) fn valid_until(name: &str, end: i64) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        let subject = subject.build();
        let mut cert = X509::builder().unwrap();
        cert.set_version(2).unwrap();
        cert.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
        cert.set_subject_name(&subject).unwrap();
        cert.set_issuer_name(&subject).unwrap();
        cert.set_pubkey(&key).unwrap();
        cert.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        cert.set_not_after(&Asn1Time::from_unix(end).unwrap()).unwrap();
        cert.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        let mut names = SubjectAlternativeName::new();
        names.dns(name).dns("localhost").ip("127.0.0.1");
        let names = names.build(&cert.x509v3_context(None, None)).unwrap();
        cert.append_extension(names).unwrap();
        cert.sign(&key, MessageDigest::sha256()).unwrap();
        Self { cert: cert.build(), key }
    }

    pub(super) fn cert_pem(&self) -> Vec<u8> {
        self.cert.to_pem().unwrap()
    }

    pub(super) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    pub(super) fn locked_key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret").unwrap()
    }

    pub(super) fn acceptor(&self) -> SslAcceptor {
        self.acceptor_wanting(self, SslVerifyMode::NONE)
    }

    pub(super) fn acceptor_wanting(&self, client: &Self, verify: SslVerifyMode) -> SslAcceptor {
        self.acceptor_builder(client, verify).build()
    }

    fn acceptor_builder(&self, client: &Self, verify: SslVerifyMode) -> SslAcceptorBuilder {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        builder.set_certificate(&self.cert).unwrap();
        builder.set_private_key(&self.key).unwrap();
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(client.cert.clone()).unwrap();
        builder.set_cert_store(store.build());
        builder.set_verify(verify);
        builder
    }
}

/// A broker's place, for one connection.
pub(super) struct Server {
    pub(super) port: u16,
    thread: JoinHandle<Option<String>>,
}

impl Server {
    /// Sends back what it hears, until the other side closes.
    pub(super) fn echo(tls: Option<SslAcceptor>) -> Self {
        Self::serve(move |tcp| match tls {
            None => echo(tcp),
            Some(tls) => match tls.accept(tcp) {
                Ok(stream) => echo(stream),
                Err(_) => Some("handshake".to_owned()),
            },
        })
    }

    /// Hears nothing, says `bytes`, and closes its side.
    pub(super) fn says(bytes: &'static [u8]) -> Self {
        Self::serve(move |tcp| say(tcp, bytes))
    }

    /// Says the address that the connection comes from.
    pub(super) fn says_who_comes() -> Self {
        Self::serve(|tcp| {
            let from = tcp.peer_addr().unwrap().ip().to_string();
            say(tcp, from.as_bytes())
        })
    }

    /// In TLS, takes those who offer a protocol of `list`, or none at all, and says which it is.
    pub(super) fn selecting(identity: &Identity, list: &'static [u8]) -> Self {
        let mut builder = identity.acceptor_builder(identity, SslVerifyMode::NONE);
        builder.set_alpn_select_callback(|_, offered| select_next_proto(list, offered).ok_or(AlpnError::ALERT_FATAL));
        let acceptor = builder.build();
        Self::serve(move |tcp| {
            let Ok(mut stream) = acceptor.accept(tcp) else { return Some("handshake".to_owned()) };
            let selected = stream.ssl().selected_alpn_protocol().unwrap_or_default().to_vec();
            stream.write_all(&selected).unwrap();
            stream.shutdown().unwrap();
            None
        })
    }

    pub(super) fn serve(serve: impl FnOnce(std::net::TcpStream) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            tcp.set_read_timeout(Some(LIMIT)).unwrap();
            tcp.set_write_timeout(Some(LIMIT)).unwrap();
            serve(tcp)
        });
        Self { port, thread }
    }

    /// What went wrong on its side, if anything.
    pub(super) fn join(self) -> Option<String> {
        self.thread.join().expect("the broker's own asserts hold")
    }
}

/// Says `bytes`, and closes this side.
fn say(mut tcp: std::net::TcpStream, bytes: &[u8]) -> Option<String> {
    tcp.write_all(bytes).unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    // Closing with bytes unread would reset the connection.
    let mut rest = Vec::new();
    tcp.read_to_end(&mut rest).err().map(|fault| fault.to_string())
}

fn echo(mut stream: impl Read + Write) -> Option<String> {
    let mut buffer = [0; 16_384];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(bytes) => stream.write_all(&buffer[..bytes]).unwrap(),
            Err(fault) => return Some(fault.to_string()),
        }
    }
}

/// A directory of this test alone, gone with it.
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("tidegate-broker-{}-{number}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}
