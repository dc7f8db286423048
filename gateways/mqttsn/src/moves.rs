//! Clients that are elsewhere than they were, without CONNECT: a new address shows in PINGREQ, or the association tells.

use crate::address::At;
use crate::admission::Sender;
use crate::counts::Count;
use crate::machine::Mqttsn;
use bridge_core::machine::{Cx, Handled};
use bridge_core::owners::Owner;
use bridge_core::peer::Peer;
use bridge_core::slab::Key;
use bridge_core::uplink::Ending;
use codec_mqttsn::Message;

impl Mqttsn {
    /// True when the client of this id is at this address.
    pub(crate) fn is_at(&self, at: At<'_>, id: &str) -> bool {
        self.sessions.at(at).and_then(|key| self.sessions.get(key)).is_some_and(|session| *session.id == *id)
    }

    /// PINGREQ of a client that was at another address, as far as we know: if it is connected, its session moves.
    pub(crate) fn on_ping_from_elsewhere(&mut self, cx: &mut Cx<'_>, sender: Sender<'_>, id: &str) -> Handled {
        let Some(key) = self.sessions.named(id) else {
            if let Owner::Elsewhere(shard) = cx.owners.locate(self.base.gateway, id) {
                let here = self.sessions.at(sender.at);
                self.displace(cx, here);
                return Handled::Elsewhere(shard);
            }
            self.on_stranger(cx, sender.at, &Message::Pingreq { client_id: Some(id) });
            return Handled::Here;
        };
        if !self.may_move(key, sender) {
            self.on_stranger(cx, sender.at, &Message::Pingreq { client_id: Some(id) });
            return Handled::Here;
        }
        let here = self.sessions.at(sender.at);
        self.displace(cx, here);
        self.base.counts.up(Count::Moved);
        self.sessions.unbind(key);
        if let Some(session) = self.sessions.get_mut(key) {
            session.address = sender.at.into();
            session.moved(&self.base, cx);
        }
        self.sessions.bind(key);
        self.changed(cx, key);
        self.on_frame(cx, key, sender.at.peer, &Message::Pingreq { client_id: Some(id) });
        Handled::Here
    }

    /// True when PINGREQ may take the session there: it is connected, nobody else's, and stays with its listener, since
    /// another has rules of its own, which are for CONNECT to meet.
    pub(crate) fn may_move(&self, key: Key, sender: Sender<'_>) -> bool {
        let Some(session) = self.sessions.get(key) else { return false };
        if !session.may_be(sender.proven) {
            self.base.counts.up(Count::Impostor);
            return false;
        }
        session.is_connected() && session.address.listener() == sender.at.peer.listener
    }

    /// Its association proved a newer address.
    pub(crate) fn on_peer_moved(&mut self, from: Peer, to: Peer) {
        let key = self.sessions.at(At { peer: from, node: None });
        if let Some(session) = key.and_then(|key| self.sessions.get_mut(key)) {
            session.address.heard(to);
        }
    }

    /// Its association has ended: whoever is connected through it is lost.
    pub(crate) fn on_peer_closed(&mut self, cx: &mut Cx<'_>, peer: Peer) {
        if let Some(key) = self.sessions.at(At { peer, node: None }) {
            self.lose(cx, key, Ending::Closed);
        }
    }
}
