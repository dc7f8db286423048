//! CONNECTs that wait: somebody is being asked whether the client may come in. Until then nothing has been done for it,
//! or against whoever has its client id.

use crate::address::{Address, At};
use bridge_core::peer::{Proven, ProvenBuf};
use bridge_core::slab::{Key, Slab};
use bridge_core::uplink::{Identity, OwnLink, Refusal, SessionWish, Token};
use codec_mqttsn as sn;
use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};

/// What a CONNECT asks for, its client id aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The will dialogue follows.
    pub(crate) will: bool,
    /// CleanSession.
    pub(crate) clean: bool,
    /// Duration, in seconds; 0 = it need give no sign of life.
    pub(crate) duration_s: u16,
}

impl From<&sn::Connect<'_>> for Hello {
    fn from(connect: &sn::Connect<'_>) -> Self {
        Self { will: connect.will, clean: connect.clean_session, duration_s: connect.duration }
    }
}

impl Hello {
    /// What is asked of the broker, where the client is to have an MQTT connection of its own. A client whose id was made
    /// up cannot come back to a session.
    pub(crate) fn wish(self, generated: bool, session_expiry_ms: u64) -> SessionWish {
        let clean = self.clean || generated;
        let expiry_s = u32::try_from(session_expiry_ms / 1000).unwrap_or(u32::MAX);
        SessionWish { clean, keepalive_s: self.duration_s, expiry_s: if clean { 0 } else { expiry_s } }
    }
}

/// A client that may come in.
#[derive(Debug)]
pub(crate) struct Entrant<'a> {
    pub(crate) sender: Sender<'a>,
    pub(crate) id: &'a str,
    /// We made the id up: CONNECT had none.
    pub(crate) generated: bool,
    pub(crate) hello: Hello,
    /// As whom.
    pub(crate) identity: Identity,
    /// Its own MQTT connection, if clients have one; whoever takes it up takes it out.
    pub(crate) link: &'a mut Option<OwnLink>,
}

/// What CONNACK says to who is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// What the operator has chosen for those that may not come in.
    Unwelcome,
    /// Congestion: it may try again.
    Later,
    /// Not supported.
    Never,
}

impl From<Refusal> for Turned {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::BadCredentials | Refusal::NotAuthorised { .. } => Self::Unwelcome,
            Refusal::Broker(code) => by_broker(code),
            Refusal::BrokerAway | Refusal::Limit | Refusal::Busy | Refusal::AuthUnavailable => Self::Later,
            Refusal::BadIdentity | Refusal::BadTopic | Refusal::TooLarge | Refusal::NoSuchClient => Self::Never,
        }
    }
}

/// By CONNACK's reason code (MQTT 5.0 §3.2.2.2).
const fn by_broker(code: u8) -> Turned {
    match code {
        BAD_CREDENTIALS | NOT_AUTHORIZED | BANNED | BAD_METHOD => Turned::Unwelcome,
        UNAVAILABLE | BUSY | SHUTTING_DOWN | QUOTA | ANOTHER_SERVER | SERVER_MOVED | RATE => Turned::Later,
        _ => Turned::Never,
    }
}

const BAD_CREDENTIALS: u8 = 0x86;
const NOT_AUTHORIZED: u8 = 0x87;
const UNAVAILABLE: u8 = 0x88;
const BUSY: u8 = 0x89;
const BANNED: u8 = 0x8A;
const SHUTTING_DOWN: u8 = 0x8B;
const BAD_METHOD: u8 = 0x8C;
const QUOTA: u8 = 0x97;
const ANOTHER_SERVER: u8 = 0x9C;
const SERVER_MOVED: u8 = 0x9D;
const RATE: u8 = 0x9F;

/// Where a frame came from, and what is proved about who sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) at: At<'a>,
    pub(crate) proven: Proven<'a>,
}

/// A client that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    address: Address,
    proven: ProvenBuf,
    pub(crate) id: Box<str>,
    /// We made the id up: CONNECT had none.
    pub(crate) generated: bool,
    pub(crate) hello: Hello,
    /// CleanSession of the CONNECT that came first: an MQTT connection of its own is made for that.
    clean: bool,
}

impl Waiting {
    pub(crate) fn new(sender: Sender<'_>, id: &str, generated: bool, hello: Hello) -> Self {
        let proven = sender.proven.into();
        Self { address: sender.at.into(), proven, id: id.into(), generated, hello, clean: hello.clean }
    }

    /// True when CONNECT was repeated and means something else now, which the broker was not asked for.
    pub(crate) const fn means_another_session(&self) -> bool {
        self.hello.clean != self.clean
    }

    pub(crate) fn sender(&self) -> Sender<'_> {
        Sender { at: self.address.at(), proven: self.proven.view() }
    }
}

/// All that wait, one for each address. How many there may be is the bridge's to say: it parks no more.
#[derive(Debug)]
pub(crate) struct Waitings {
    slab: Slab<Waiting>,
    by_address: HashTable<Key>,
    /// How many wait for each client id.
    wanted: HashMap<Box<str>, u32, FixedState>,
    hasher: FixedState,
}

impl Waitings {
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = || FixedState::with_seed(seed);
        let wanted = HashMap::with_hasher(hasher());
        Self { slab: Slab::default(), by_address: HashTable::new(), wanted, hasher: hasher() }
    }

    /// Who waits at this address.
    pub(crate) fn at(&self, at: At<'_>) -> Option<Key> {
        if self.slab.is_empty() {
            return None;
        }
        let here = |&key: &Key| self.slab.get(key).is_some_and(|waiting| waiting.sender().at.is_same(at));
        self.by_address.find(at.hash(&self.hasher), here).copied()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Waiting> {
        self.slab.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Waiting> {
        self.slab.get_mut(key)
    }

    /// The number that the next one to wait will have.
    pub(crate) fn next_token(&self) -> Option<Token> {
        self.slab.next_key().map(|key| Token(key.to_bits()))
    }

    /// True while somebody waits to have that client id.
    pub(crate) fn is_wanted(&self, id: &str) -> bool {
        !self.wanted.is_empty() && self.wanted.contains_key(id)
    }

    pub(crate) fn insert(&mut self, waiting: Waiting) {
        let hash = waiting.sender().at.hash(&self.hasher);
        let id = waiting.id.clone();
        let Some(key) = self.slab.insert(waiting) else { return };
        *self.wanted.entry(id).or_insert(0) += 1;
        let (slab, hasher) = (&self.slab, &self.hasher);
        let rehash = |&key: &Key| slab.get(key).map_or(0, |waiting| waiting.sender().at.hash(hasher));
        self.by_address.insert_unique(hash, key, rehash);
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Waiting> {
        let hash = self.slab.get(key)?.sender().at.hash(&self.hasher);
        if let Ok(entry) = self.by_address.find_entry(hash, |&other| other == key) {
            entry.remove();
        }
        let waiting = self.slab.remove(key)?;
        if let Some(others) = self.wanted.get_mut(&waiting.id) {
            *others = others.saturating_sub(1);
            if *others == 0 {
                self.wanted.remove(&waiting.id);
            }
        }
        Some(waiting)
    }

    pub(crate) const fn len(&self) -> usize {
        self.slab.len()
    }

    /// All that wait, in slot order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.slab.iter().map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn connack_says_of_each_refusal_whether_it_is_worth_another_try() {
        let anybody = Refusal::NotAuthorised { disconnect: false };
        for (why, expected) in [
            (Refusal::BadCredentials,  Turned::Unwelcome),
            (anybody,                  Turned::Unwelcome),
            (Refusal::BadIdentity,     Turned::Never),
            (Refusal::Limit,           Turned::Later),
            (Refusal::Busy,            Turned::Later),
            (Refusal::AuthUnavailable, Turned::Later),
            (Refusal::BrokerAway,      Turned::Later),
            (Refusal::Broker(0x80),    Turned::Never), // Unspecified error
            (Refusal::Broker(0x84),    Turned::Never), // Unsupported Protocol Version
            (Refusal::Broker(0x85),    Turned::Never), // Client Identifier not valid
            (Refusal::Broker(0x86),    Turned::Unwelcome), // Bad User Name or Password
            (Refusal::Broker(0x87),    Turned::Unwelcome), // Not authorized
            (Refusal::Broker(0x88),    Turned::Later), // Server unavailable
            (Refusal::Broker(0x89),    Turned::Later), // Server busy
            (Refusal::Broker(0x8A),    Turned::Unwelcome), // Banned
            (Refusal::Broker(0x8C),    Turned::Unwelcome), // Bad authentication method
            (Refusal::Broker(0x90),    Turned::Never), // Topic Name invalid
            (Refusal::Broker(0x95),    Turned::Never), // Packet too large
            (Refusal::Broker(0x97),    Turned::Later), // Quota exceeded
            (Refusal::Broker(0x9A),    Turned::Never), // Retain not supported
            (Refusal::Broker(0x9C),    Turned::Later), // Use another server
            (Refusal::Broker(0x9D),    Turned::Later), // Server moved
            (Refusal::Broker(0x9F),    Turned::Later), // Connection rate exceeded
        ] {
            assert_eq!(Turned::from(why), expected, "{why:?}");
        }
    }

    #[test]
    fn the_broker_is_asked_for_a_session_that_lives_as_long_as_ours() {
        let hello = |clean| Hello { will: false, clean, duration_s: 60 };
        let wish = |clean, expiry_s| SessionWish { clean, keepalive_s: 60, expiry_s };
        assert_eq!(hello(false).wish(false, 7_200_000), wish(false, 7200));
        assert_eq!(hello(true).wish(false, 7_200_000), wish(true, 0));
        assert_eq!(hello(false).wish(true, 7_200_000), wish(true, 0), "nobody could come back to it");
    }
}
