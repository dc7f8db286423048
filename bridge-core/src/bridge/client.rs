use super::LinkId;
use super::own::OwnFilter;
use crate::acl::DecisionCache;
use crate::limit::Spent;
use crate::peer::{GatewayId, ListenerId};
use crate::slab::Key;
use crate::template::Mountpoint;
use crate::uplink::{Connect, Identity, Token};
use std::net::IpAddr;

/// A client that may speak.
#[derive(Debug)]
pub(super) struct Client {
    /// The machine's number for it.
    pub(super) handle: Token,
    pub(super) gateway: GatewayId,
    pub(super) listener: ListenerId,
    pub(super) link: LinkId,
    pub(super) mount: Mountpoint,
    /// Its client id.
    pub(super) id: Box<str>,
    pub(super) identity: Identity,
    /// For the access rules.
    pub(super) address: Option<IpAddr>,
    /// What these have decided of late.
    pub(super) decisions: DecisionCache,
    /// What it has published of late, where there are limits.
    pub(super) spent: Option<Box<Spent>>,
    /// Where it is subscribed on its link. Few: a list.
    pub(super) places: Vec<Place>,
    /// Where it is subscribed, if it has, or had, a link of its own.
    pub(super) filters: Vec<OwnFilter>,
    /// The number of the last of those.
    pub(super) last_filter_id: u32,
}

/// One subscription of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) filter: Key,
    pub(super) subscription: Token,
}

impl Client {
    pub(super) fn new(handle: Token, who: &Connect<'_>, link: LinkId, mount: Mountpoint) -> Self {
        Self {
            handle,
            gateway: who.gateway,
            listener: who.listener,
            link,
            mount,
            id: who.id.as_str().into(),
            identity: who.identity.clone(),
            address: who.address.map(|address| address.ip()),
            decisions: DecisionCache::default(),
            spent: None,
            places: Vec::new(),
            filters: Vec::new(),
            last_filter_id: 0,
        }
    }

    /// It has another address now: what was decided for the old one does not hold.
    pub(super) fn move_to(&mut self, address: IpAddr) {
        if self.address.replace(address) != Some(address) {
            self.decisions = DecisionCache::default();
        }
    }

    /// Octets of mountpoint in front of each of its topics. (A longer one leaves no room for a topic.)
    pub(super) fn mount_len(&self) -> u16 {
        u16::try_from(self.mount.prefix().len()).unwrap_or(u16::MAX)
    }

    pub(super) fn remember(&mut self, place: Place) {
        if !self.places.contains(&place) {
            self.places.push(place);
        }
    }

    pub(super) fn forget(&mut self, place: Place) -> bool {
        let found = self.places.iter().position(|&p| p == place);
        found.map(|at| self.places.swap_remove(at)).is_some()
    }
}
