//! Certificates, clients, and handshakes in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use openssl::asn1::{Asn1Time, Asn1Type};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{ErrorCode, SslConnector, SslSessionCacheMode, SslStream};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Name, X509NameBuilder};

use super::*;

/// A certificate and its key.
pub(super) struct Identity {
    cert: X509,
    key: PKey<Private>,
}

impl Identity {
    /// Self-signed, and fit to sign others.
    pub(super) fn new(name: &str) -> Self {
        Self::make(&[name], FAR_AWAY, None, fresh_key())
    }

    /// As [`Identity::new`], with this key.
    pub(super) fn with_key(name: &str, key: PKey<Private>) -> Self {
        Self::make(&[name], FAR_AWAY, None, key)
    }

    /// Signed by this one, with these common names.
    pub(super) fn issue(&self, names: &[&str]) -> Self {
        self.issue_until(names, FAR_AWAY)
    }

    /// As [`Identity::issue`], valid until `end`, in seconds since 1970.
    pub(super) fn issue_until(&self, names: &[&str], end: i64) -> Self {
        Self::make(names, end, Some(self), fresh_key())
    }

    fn make(names: &[&str], end: i64, issuer: Option<&Self>, key: PKey<Private>) -> Self {
        let subject = name(names);
        let mut cert = X509::builder().unwrap();
        cert.set_version(2).unwrap();
        cert.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
        cert.set_subject_name(&subject).unwrap();
        cert.set_issuer_name(issuer.map_or(&subject, |issuer| issuer.cert.subject_name())).unwrap();
        cert.set_pubkey(&key).unwrap();
        cert.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        cert.set_not_after(&Asn1Time::from_unix(end).unwrap()).unwrap();
        if issuer.is_none() {
            cert.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        }
        cert.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256()).unwrap();
        Self { cert: cert.build(), key }
    }

    pub(super) fn cert_pem(&self) -> Vec<u8> {
        self.cert.to_pem().unwrap()
    }

    pub(super) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    /// The client shows it.
    pub(super) fn show(&self, builder: &mut SslConnectorBuilder) {
        builder.set_certificate(&self.cert).unwrap();
        builder.set_private_key(&self.key).unwrap();
    }
}

fn fresh_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn name(names: &[&str]) -> X509Name {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::ORGANIZATIONNAME, "tests").unwrap();
    for name in names {
        subject.append_entry_by_nid_with_type(Nid::COMMONNAME, name, Asn1Type::UTF8STRING).unwrap();
    }
    subject.build()
}

const FAR_AWAY: i64 = 4_102_444_800;

/// A client that trusts `server` alone, whatever its name is.
pub(super) fn client(server: &Identity, set: impl FnOnce(&mut SslConnectorBuilder)) -> Ssl {
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(server.cert.clone()).unwrap();
    connecting(|builder| {
        builder.set_cert_store(store.build());
        set(builder);
    })
}

/// A client that takes any certificate.
pub(super) fn plain_client(set: impl FnOnce(&mut SslConnectorBuilder)) -> Ssl {
    connecting(|builder| {
        builder.set_verify(SslVerifyMode::NONE);
        set(builder);
    })
}

fn connecting(set: impl FnOnce(&mut SslConnectorBuilder)) -> Ssl {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    set(&mut builder);
    let configuration = builder.build().configure().unwrap();
    configuration.verify_hostname(false).use_server_name_indication(false).into_ssl("").unwrap()
}

/// Sessions that a client is given to resume.
pub(super) fn tickets(server: &ServerTls) -> u32 {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let client = plain_client(|builder| {
        builder.set_session_cache_mode(SslSessionCacheMode::CLIENT);
        builder.set_new_session_callback(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(handshake(server, client).verdict, Ok(()));
    count.load(Ordering::Relaxed)
}

/// How a handshake ended.
pub(super) struct Done {
    /// For the server.
    pub(super) verdict: Result<(), HandshakeFault>,
    /// Who the client is.
    pub(super) proven: ProvenBuf,
    /// The common name in the certificate that the client saw.
    pub(super) shown: Option<String>,
    /// The cipher.
    pub(super) cipher: Option<String>,
}

/// Shakes hands with one more session of `server`, and says a word each way.
pub(super) fn handshake(server: &ServerTls, client: Ssl) -> Done {
    handshake_on(server.session().unwrap(), client)
}

pub(super) fn handshake_on(server: Ssl, client: Ssl) -> Done {
    let (near, far) = Pipe::pair();
    let mut server = SslStream::new(server, near).unwrap();
    let mut client = SslStream::new(client, far).unwrap();
    let (mut ours, mut theirs) = (None, None);
    for _ in 0..20 {
        if theirs.is_none() {
            theirs = settled(client.connect());
            if matches!(theirs, Some(Err(_))) {
                client.get_ref().close();
            }
        }
        if ours.is_none() {
            ours = settled(server.accept());
            if matches!(ours, Some(Err(_))) {
                server.get_ref().close();
            }
        }
        let (Some(Ok(())), Some(Ok(()))) = (&ours, &theirs) else { continue };
        // In version 1.3 what the server thinks of the client's certificate, and its ticket, come after the handshake.
        server.write_all(b"down").unwrap();
        let mut word = [0; 4];
        client.read_exact(&mut word).unwrap();
        break;
    }
    let verdict = match ours.expect("the handshake came to an end") {
        Ok(()) => Ok(()),
        Err(fault) => Err(HandshakeFault::of(server.ssl(), &fault)),
    };
    let seen = client.ssl().peer_certificate();
    Done {
        proven: proven(server.ssl()),
        shown: seen.and_then(|seen| common_name(&seen)).map(String::from),
        cipher: server.ssl().current_cipher().map(|cipher| cipher.name().to_owned()).filter(|_| verdict.is_ok()),
        verdict,
    }
}

fn settled(step: Result<(), openssl::ssl::Error>) -> Option<Result<(), openssl::ssl::Error>> {
    match step {
        Err(fault) if matches!(fault.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => None,
        other => Some(other),
    }
}

/// What the server makes of a client that says this, and closes.
pub(super) fn answer_to(server: &ServerTls, said: &[u8]) -> HandshakeFault {
    let (near, mut far) = Pipe::pair();
    far.write_all(said).unwrap();
    far.close();
    let mut server = SslStream::new(server.session().unwrap(), near).unwrap();
    let fault = server.accept().unwrap_err();
    HandshakeFault::of(server.ssl(), &fault)
}

/// What a client of ours says first.
pub(super) fn client_hello() -> Vec<u8> {
    let (near, far) = Pipe::pair();
    let mut client = SslStream::new(plain_client(|_| {}), far).unwrap();
    assert!(client.connect().is_err());
    near.0.borrow().octets.iter().copied().collect()
}

/// One end of a connection in memory: reads there, writes here.
pub(super) struct Pipe(Rc<RefCell<Lane>>, Rc<RefCell<Lane>>);

#[derive(Default)]
struct Lane {
    octets: VecDeque<u8>,
    closed: bool,
}

impl Pipe {
    fn pair() -> (Self, Self) {
        let (one, other) = (Rc::default(), Rc::default());
        (Self(Rc::clone(&one), Rc::clone(&other)), Self(other, one))
    }

    /// Nothing more comes from this end.
    fn close(&self) {
        self.1.borrow_mut().closed = true;
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut lane = self.0.borrow_mut();
        if lane.octets.is_empty() && !lane.closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        lane.octets.read(into)
    }
}

impl Write for Pipe {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.1.borrow_mut().octets.extend(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A directory of this test alone, gone with it.
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("tidegate-tls-{}-{number}", std::process::id()));
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
