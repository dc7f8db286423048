//! CONNECTs that wait: somebody is being asked whether the client may come in. Until then nothing has been done for it,
//! or against whoever has its client id.

use crate::address::{Address, At};
use bridge_core::peer::Proven;
use bridge_core::slab::{Key, Slab};
use bridge_core::uplink::Token;
use codec_mqttsn as sn;
use foldhash::quality::FixedState;
use hashbrown::HashTable;

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
    identity: Option<Box<str>>,
    pub(crate) id: Box<str>,
    /// We made the id up: CONNECT had none.
    pub(crate) generated: bool,
    pub(crate) hello: Hello,
}

impl Waiting {
    pub(crate) fn new(sender: Sender<'_>, id: &str, generated: bool, hello: Hello) -> Self {
        let identity = sender.proven.identity.map(Into::into);
        Self { address: sender.at.into(), identity, id: id.into(), generated, hello }
    }

    pub(crate) fn sender(&self) -> Sender<'_> {
        Sender { at: self.address.at(), proven: Proven { identity: self.identity.as_deref() } }
    }
}

/// All that wait, one for each address. How many there may be is the bridge's to say: it parks no more.
#[derive(Debug)]
pub(crate) struct Waitings {
    slab: Slab<Waiting>,
    by_address: HashTable<Key>,
    hasher: FixedState,
}

impl Waitings {
    pub(crate) fn new(seed: u64) -> Self {
        Self { slab: Slab::default(), by_address: HashTable::new(), hasher: FixedState::with_seed(seed) }
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

    pub(crate) fn insert(&mut self, waiting: Waiting) {
        let hash = waiting.sender().at.hash(&self.hasher);
        let Some(key) = self.slab.insert(waiting) else { return };
        let (slab, hasher) = (&self.slab, &self.hasher);
        let rehash = |&key: &Key| slab.get(key).map_or(0, |waiting| waiting.sender().at.hash(hasher));
        self.by_address.insert_unique(hash, key, rehash);
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Waiting> {
        let hash = self.slab.get(key)?.sender().at.hash(&self.hasher);
        if let Ok(entry) = self.by_address.find_entry(hash, |&other| other == key) {
            entry.remove();
        }
        self.slab.remove(key)
    }

    pub(crate) const fn len(&self) -> usize {
        self.slab.len()
    }
}
