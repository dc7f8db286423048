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
                self.make_way(cx, sender.at, id);
                return Handled::Elsewhere(shard);
            }
            self.on_stranger(cx, sender.at, &Message::Pingreq { client_id: Some(id) });
            return Handled::Here;
        };
        if !self.may_move(key, sender) {
            self.on_stranger(cx, sender.at, &Message::Pingreq { client_id: Some(id) });
            return Handled::Here;
        }
        self.make_way(cx, sender.at, id);
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

    /// The client with this id is at this address now: another that was there is lost, or waits no longer to be let in.
    fn make_way(&mut self, cx: &mut Cx<'_>, at: At<'_>, id: &str) {
        if let Some(key) = self.waiting.at(at)
            && self.waiting.get(key).is_some_and(|waiting| *waiting.id != *id)
        {
            self.give_up(cx, key);
        }
        let here = self.sessions.at(at);
        self.displace(cx, here);
    }

    /// True when PINGREQ may take the session there: it is connected, nobody else's, and stays with its listener, since
    /// another has rules of its own, which are for CONNECT to meet.
    pub(crate) fn may_move(&self, key: Key, sender: Sender<'_>) -> bool {
        let Some(session) = self.sessions.get(key) else { return false };
        // CONNECT may prove more than before; PINGREQ asks nobody whether who proves it may be this client.
        if session.proven.view() != sender.proven {
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

    /// Its association has ended: whoever is connected through it is lost, but for who sleeps. That one comes back
    /// through another, with PINGREQ.
    pub(crate) fn on_peer_closed(&mut self, cx: &mut Cx<'_>, peer: Peer) {
        let Some(key) = self.sessions.at(At { peer, node: None }) else { return };
        match self.sessions.get_mut(key) {
            Some(session) if session.sleeps() => session.doze(&mut self.base, cx),
            _ => self.lose(cx, key, Ending::Closed),
        }
    }
}
