//! Where devices are: at addresses of their own, or behind forwarders (MQTT-SN 1.2 §5.5); and how they move.

use crate::plan::pick;
use crate::world::World;
use bridge_core::rng::Rng;
use codec_mqttsn as sn;
use std::net::SocketAddr;

/// Where a device is heard from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) addr: SocketAddr,
    /// The wireless node, behind a forwarder that has the address.
    pub(crate) node: Option<Vec<u8>>,
}

/// How a device finds itself elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Without knowing: a NAT has bound it anew, or another forwarder hears it.
    Unaware,
    /// Knowing it: it says so at once.
    Aware,
    /// It has begun anew, with what it keeps in flash: msg ids and exchanges, but no topic ids.
    Restarted,
}

impl Spot {
    /// An address of its own, the nth.
    pub(crate) fn own(index: usize, nth: u16) -> Self {
        let [high, low] = u16::try_from(index).expect("hundreds").to_be_bytes();
        let port = (nth % 6) * 10_000 + 1000 + u16::try_from(index % 900).expect("small");
        Self { addr: SocketAddr::from(([10, 0, high, low], port)), node: None }
    }

    /// Behind a forwarder.
    fn behind(forwarder: u16, index: usize) -> Self {
        let node = u16::try_from(index).expect("hundreds").to_be_bytes();
        // Node ids are as long as their forwarder likes.
        let node = if index.is_multiple_of(2) { node.to_vec() } else { [&node[..], b"node"].concat() };
        Self { addr: SocketAddr::from(([10, 9, 0, 1], 2000 + forwarder)), node: Some(node) }
    }

    /// Where a datagram of this address comes from, or goes to.
    pub(crate) fn of(addr: SocketAddr, frame: &sn::Frame<'_>) -> Self {
        Self { addr, node: frame.via.map(|via| via.node_id.to_vec()) }
    }

    /// What its address sends when it says this.
    pub(crate) fn wrap(&self, message: &[u8]) -> Vec<u8> {
        let Some(node_id) = &self.node else { return message.to_vec() };
        let length = u8::try_from(node_id.len() + 3).expect("short node ids");
        [&[length, 0xFE, 0], &node_id[..], message].concat()
    }

    /// What is said to it in this datagram.
    pub(crate) fn unwrap<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        &datagram[self.node.as_ref().map_or(0, |node_id| node_id.len() + 3)..]
    }

    /// Where a device is the nth time.
    pub(crate) fn by_lot(rng: &mut Rng, forwarders: u16, index: usize, nth: u16) -> Self {
        if forwarders > 0 && rng.chance(400) {
            return Self::behind(u16::try_from(rng.below(u64::from(forwarders))).expect("a few"), index);
        }
        Self::own(index, nth)
    }
}

impl World {
    /// Some device turns up elsewhere.
    pub(crate) fn move_one(&mut self, how: How) {
        let index = pick(&mut self.rng, self.devices.len());
        self.move_to_lot(index, how);
    }

    pub(crate) fn move_to_lot(&mut self, index: usize, how: How) {
        let device = &mut self.devices[index];
        let spot = Spot::by_lot(&mut self.rng, self.plan.forwarders, index, device.moves + 1);
        self.places.remove(&device.spot);
        self.places.insert(spot.clone(), index);
        self.authors.insert(spot.clone(), index);
        self.checks.tally.moves += 1;
        device.move_to(self.now, spot, how);
        self.wake(index);
    }
}

#[test]
fn what_is_wrapped_is_unwrapped() {
    for spot in [Spot::own(7, 1), Spot::behind(1, 7), Spot::behind(1, 8)] {
        let datagram = spot.wrap(&[2, 0x16]);
        let frame = sn::decode(&datagram).expect("a PINGREQ");
        assert_eq!((Spot::of(spot.addr, &frame), spot.unwrap(&datagram)), (spot, &[2, 0x16][..]));
    }
}
