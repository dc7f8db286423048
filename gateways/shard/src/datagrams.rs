//! Datagrams: to the machine, or to the shard where their client lives.

use crate::counts::ShardCount;
use crate::routes::Forward;
use crate::shard::{Parcel, Shard};
use bridge_core::machine::{Handled, Input};
use bridge_core::peer::{ListenerId, Peer, Proven, ShardId};
use bridge_core::time::Now;
use std::net::IpAddr;

/// A datagram may go where its address's route leads, back when that is not the owner, and on to the owner; then it
/// strays.
const MAX_HOPS: u8 = 3;

/// A datagram on its way through this shard.
#[derive(Clone, Copy)]
struct Packet<'a> {
    peer: Peer,
    proven: Proven<'a>,
    bytes: &'a [u8],
    /// The shard that its address writes to.
    entry: ShardId,
    hops: u8,
}

impl Packet<'_> {
    /// To be carried to the shard `to`. `owner`: on the way back, where the client lives instead.
    fn onward(&self, to: ShardId, owner: Option<ShardId>) -> Forward {
        Forward {
            to,
            entry: self.entry,
            owner,
            peer: self.peer,
            proven: self.proven.into(),
            bytes: self.bytes.into(),
            hops: self.hops.saturating_add(1),
        }
    }
}

impl Shard {
    /// Whether this listener hears that address.
    #[must_use]
    pub fn admits(&self, listener: ListenerId, from: IpAddr) -> bool {
        self.policies.admits(listener, from)
    }

    /// One datagram from a socket of this shard. `proven`: by the association that it came through. It is dropped unread when
    /// its listener does not hear that address.
    #[inline]
    pub fn datagram(&mut self, now: Now, peer: Peer, proven: Proven<'_>, bytes: &[u8]) {
        if !self.admits(peer.listener, peer.addr.ip()) {
            return self.counts.up(ShardCount::DatagramDenied);
        }
        let route = if self.routes.is_empty() { None } else { self.routes.find(&peer, self.lane(&peer, bytes)) };
        let packet = Packet { peer, proven, bytes, entry: self.id, hops: 0 };
        match route.filter(|to| *to != self.id) {
            None => self.take(now, &packet),
            Some(to) => self.forward(packet.onward(to, None)),
        }
    }

    /// One datagram from another shard, or one of our own that came back: its route was stale.
    pub(crate) fn forwarded(&mut self, now: Now, forward: &Forward) {
        let Forward { peer, entry, hops, .. } = *forward;
        let packet = Packet { peer, proven: forward.proven.view(), bytes: &forward.bytes, entry, hops };
        match forward.owner {
            Some(owner) if owner != self.id => self.send_on(owner, &packet),
            Some(_) => {
                self.learn(&packet, self.id);
                self.take(now, &packet);
            }
            None => self.take(now, &packet),
        }
    }

    fn take(&mut self, now: Now, packet: &Packet<'_>) {
        let now = self.advance(now);
        let Packet { peer, proven, bytes, entry, .. } = *packet;
        let Some(gateway) = self.listener(&peer).map(|listener| listener.gateway) else { return };
        let Some(machine) = self.machines.get_mut(usize::from(gateway.0)) else { return };
        match machine.handle(&mut self.around.cx(now), Input::Datagram { peer, proven, bytes }) {
            Handled::Here | Handled::Took(_) => {}
            Handled::Elsewhere(to) if entry == self.id => self.send_on(to, packet),
            // Only the shard that the address writes to keeps its route: there it is put right.
            Handled::Elsewhere(to) => self.forward(packet.onward(entry, Some(to))),
        }
    }

    /// This datagram of an address that writes to this shard, and all that follow, go to `owner`.
    fn send_on(&mut self, owner: ShardId, packet: &Packet<'_>) {
        self.learn(packet, owner);
        self.forward(Packet { entry: self.id, ..*packet }.onward(owner, None));
    }

    fn learn(&mut self, packet: &Packet<'_>, to: ShardId) {
        let lane = self.lane(&packet.peer, packet.bytes);
        if self.routes.learn(&packet.peer, lane, to) {
            self.counts.up(ShardCount::RoutesDropped);
        }
    }

    /// What of the datagram is part of its sender's address.
    fn lane<'a>(&self, peer: &Peer, bytes: &'a [u8]) -> &'a [u8] {
        let machine = self.listener(peer).and_then(|listener| self.machines.get(usize::from(listener.gateway.0)));
        machine.map_or(&[], |machine| machine.lane(bytes))
    }

    fn forward(&mut self, forward: Forward) {
        if forward.hops > MAX_HOPS || forward.to == self.id {
            self.counts.up(ShardCount::Stray);
            return;
        }
        self.counts.up(ShardCount::Forwarded);
        self.parcels.push(Parcel::Datagram(forward));
    }
}
