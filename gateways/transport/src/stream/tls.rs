//! TLS for those who connect to us: certificates, pre-shared keys, and who has proved to be whom.
//!
//! A listener has one [`ServerTls`] for all shards. A reload replaces its context: connections to come get the new one,
//! those that are there keep theirs. Sessions can be resumed by tickets whose keys live as long as the context, so that
//! a reload ends what was proved under the old one; nothing is kept for them here. A listener with pre-shared keys gives
//! no tickets: a handshake with such a key costs no more than a resumption.

mod context;
mod fault;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use bridge_core::auth::PskKeys;
use bridge_core::live::Live;
use bridge_core::peer::ProvenBuf;
use bridge_core::text::is_carriable;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::nid::Nid;
use openssl::ssl::{Ssl, SslContext, SslRef, SslVersion};
use openssl::x509::{X509Ref, X509VerifyResult};

use crate::config::TlsConfig;

pub use fault::{HandshakeFault, TlsFault};

/// What a TLS listener shows and wants, loaded.
pub struct ServerTls {
    loaded: Live<Loaded>,
    keys: Live<PskKeys>,
}

/// What a [`ServerTls`] is to show and want from now on, loaded and not in force.
#[derive(Debug)]
pub struct TlsRenewal(Loaded);

struct Loaded {
    context: SslContext,
    handshake_timeout: Duration,
    warnings: Vec<String>,
}

impl ServerTls {
    /// Reads the files that `config` names. `keys` are asked at each handshake with a pre-shared key; whoever replaces
    /// them calls [`ServerTls::renew`] afterwards.
    ///
    /// # Errors
    /// [`TlsFault`], with the file that is to blame.
    pub fn load(config: &TlsConfig, keys: &Live<PskKeys>) -> Result<Self, TlsFault> {
        let loaded = Live::from(Loaded::read(config, keys, !keys.get().is_empty())?);
        Ok(Self { loaded, keys: keys.clone() })
    }

    /// Reads them again, and whatever `config` says now, while nothing changes. `with_keys`: whether there will be
    /// pre-shared keys.
    ///
    /// # Errors
    /// As [`ServerTls::load`].
    pub fn renewal(&self, config: &TlsConfig, with_keys: bool) -> Result<TlsRenewal, TlsFault> {
        Loaded::read(config, &self.keys, with_keys).map(TlsRenewal)
    }

    /// From now on this holds, for connections to come: those that are there keep what they have.
    pub fn renew(&self, renewal: TlsRenewal) {
        self.loaded.set(renewal.0);
    }

    /// For one more connection.
    ///
    /// # Errors
    /// If OpenSSL has no memory.
    pub fn session(&self) -> Result<Ssl, ErrorStack> {
        Ssl::new(&self.loaded.get().context)
    }

    /// Time for a handshake.
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        self.loaded.get().handshake_timeout
    }

    /// What an operator should know of what was loaded last: certificates that are out of date, with their files.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.loaded.get().warnings.clone()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("loaded", &self.loaded.get()).field("keys", &self.keys.get()).finish()
    }
}

impl fmt::Debug for Loaded {
    /// Without the context, which has the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("handshake_timeout", &self.handshake_timeout).finish_non_exhaustive()
    }
}

impl Loaded {
    fn read(config: &TlsConfig, keys: &Live<PskKeys>, with_keys: bool) -> Result<Self, TlsFault> {
        let (context, warnings) = context::build(config, with_keys.then_some(keys))?;
        Ok(Self { context, handshake_timeout: config.handshake_timeout.get(), warnings })
    }
}

/// Who is at the other end, once the handshake is over, if that was proved: the identity of its pre-shared key, or the
/// common name of its certificate. A certificate with several common names, or with one that MQTT cannot carry, names
/// nobody.
#[must_use]
pub fn proven(ssl: &SslRef) -> ProvenBuf {
    if !ssl.is_init_finished() {
        return ProvenBuf::Nothing;
    }
    if let Some(identity) = psk_identity(ssl) {
        return ProvenBuf::Psk(identity);
    }
    let certificate = ssl.peer_certificate().filter(|_| ssl.verify_result() == X509VerifyResult::OK);
    certificate.and_then(|certificate| common_name(&certificate)).map_or(ProvenBuf::Nothing, ProvenBuf::Certificate)
}

/// The identity that was named last is the one whose key was used, if one was. A resumption cannot be meant: there are
/// no tickets where there are keys.
fn psk_identity(ssl: &SslRef) -> Option<Box<str>> {
    let used = match ssl.version2() {
        Some(SslVersion::TLS1_3) => ssl.session_reused(),
        _ => ssl.current_cipher().is_some_and(|cipher| cipher.name().contains("PSK")),
    };
    ssl.ex_data(*IDENTITY.get()?).filter(|_| used).cloned()
}

fn common_name(certificate: &X509Ref) -> Option<Box<str>> {
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let (Some(name), None) = (names.next(), names.next()) else { return None };
    let name = name.data().to_string().ok()?;
    // What is no text comes with replacement characters in it, by which one name could pass for another.
    let sound = !name.is_empty() && is_carriable(&name) && !name.contains(char::REPLACEMENT_CHARACTER);
    sound.then(|| name.into())
}

/// Whether a connection begins as TLS does: a handshake record of version 3.x with a ClientHello in it (RFC 8446 §5.1
/// and §4). Fewer octets than that say as much as they can; none say nothing.
#[must_use]
pub fn looks_like_tls(bytes: &[u8]) -> bool {
    let fits = |at: usize, good: fn(u8) -> bool| bytes.get(at).is_none_or(|&octet| good(octet));
    !bytes.is_empty()
        && fits(0, |kind| kind == HANDSHAKE)
        && fits(1, |major| major == 3)
        && fits(2, |minor| minor <= 4)
        && fits(5, |message| message == CLIENT_HELLO)
}

/// Where a connection keeps the identity that its client named in a handshake with a pre-shared key.
static IDENTITY: OnceLock<Index<Ssl, Box<str>>> = OnceLock::new();

fn identity_index() -> Result<Index<Ssl, Box<str>>, ErrorStack> {
    if let Some(index) = IDENTITY.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*IDENTITY.get_or_init(|| index))
}

/// ContentType of a record.
const HANDSHAKE: u8 = 22;
/// HandshakeType of a message.
const CLIENT_HELLO: u8 = 1;
