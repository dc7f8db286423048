//! Carries what a shard has changed to the store, and the word that it is written back.

use bridge_core::time::Now;
use shard::{Record, Records, Shard};
use std::task::{Context, Poll};
use store::{Change, Hand, Home, link_changes};

/// What a driver needs to carry records.
#[derive(Debug)]
pub struct Carrier {
    /// On the writer.
    pub hand: Hand,
    /// Names of the gateways in the store, by number: they outlive a configuration, numbers do not.
    pub gateways: Vec<&'static str>,
    /// Where this driver's sessions live.
    pub home: Home,
}

/// At most one lot is under way: what changes meanwhile goes with the next, once.
#[derive(Debug)]
pub(super) struct Courier {
    carrier: Carrier,
    /// The marks that are safe when the lot under way is.
    upto: u64,
    /// Rows of that lot.
    rows: usize,
}

impl Courier {
    pub(super) const fn new(carrier: Carrier) -> Self {
        Self { carrier, upto: 0, rows: 0 }
    }

    /// Tells the shard what has been written. True when the writer has become free.
    pub(super) fn hear(&mut self, cx: &mut Context<'_>, now: Now, shard: &mut Shard) -> bool {
        match self.carrier.hand.poll_written(cx) {
            Poll::Ready(()) => {
                self.rows = 0;
                shard.written(now, self.upto);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Hands over what has changed, if the writer is free. True when there is something new to wait for, or to say.
    pub(super) fn carry(&mut self, now: Now, shard: &mut Shard) -> bool {
        if !self.carrier.hand.is_free() {
            return false;
        }
        let Records { records, links, upto } = shard.take_records(now);
        self.upto = upto;
        let mut changes: Vec<Change> = records.into_iter().filter_map(|record| self.change(record)).collect();
        changes.extend(links.into_iter().flat_map(link_changes));
        if !changes.is_empty() {
            self.rows = changes.len();
            self.carrier.hand.send(changes);
            return true;
        }
        let waits = !shard.is_written();
        shard.written(now, upto);
        waits
    }

    /// What is not safe yet.
    pub(super) fn unwritten(&self, shard: &Shard) -> usize {
        self.rows.saturating_add(shard.unwritten())
    }

    /// True when everything is safe.
    pub(super) fn is_idle(&self, shard: &Shard) -> bool {
        self.carrier.hand.is_free() && shard.is_written()
    }

    fn change(&self, record: Record) -> Option<Change> {
        let Record { gateway, id, session } = record;
        let gateway = *self.carrier.gateways.get(usize::from(gateway.0))?;
        Some(Change::Session { gateway, id, home: self.carrier.home, session })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::ask::{Answer, Ask};
    use bridge_core::bridge::{BridgeSettings, Policy};
    use bridge_core::gate::Gates;
    use bridge_core::machine::{Cx, Frozen, Handled, Input, Machine};
    use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
    use bridge_core::time::Deadline;
    use bridge_core::uplink::Token;
    use shard::ShardSettings;
    use std::sync::{Arc, mpsc};
    use std::task::{Wake, Waker};
    use std::time::Duration;
    use store::{Entry, MemoryStore, SessionStore, Table, Verdict, Writer};

    const NOW: Now = Now { mono_ms: 1, wall_ms: 1 };
    const NAMES: [&str; 2] = ["lamp", "door"];

    /// The first octet of a datagram is the number of the session that it changes, and becomes its state.
    struct Keeper([u8; 2]);

    impl Machine for Keeper {
        fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
            if let Input::Datagram { bytes: &[number, state], .. } = input {
                self.0[usize::from(number)] = state;
                cx.journal.touch(GatewayId(0), Token(number.into()));
            }
            Handled::Here
        }

        fn next_deadline(&self) -> Option<Deadline> {
            None
        }

        fn sessions(&self) -> usize {
            2
        }

        fn ask(&mut self, _cx: &mut Cx<'_>, _ask: &Ask<'_>) -> Answer {
            Answer::NoSuchClient
        }

        fn freeze(&self, _now: Now, client: Token, into: &mut Vec<u8>) -> Frozen<'_> {
            let number = usize::try_from(client.0).unwrap();
            into.push(self.0[number]);
            Frozen::Kept { id: NAMES[number] }
        }
    }

    fn shard() -> Shard {
        let bridge = BridgeSettings {
            links: Vec::new(),
            listeners: Vec::new(),
            node: "n".into(),
            status: None,
            policy: Policy::default(),
            seed: 1,
        };
        let settings = ShardSettings {
            id: ShardId(0),
            bridge,
            listeners: vec![GatewayId(0).into()],
            gates: Gates::default(),
            directory: Arc::default(),
            max_routes: 1,
            durable: true,
            seed: 1,
        };
        Shard::new(settings, vec![Box::new(Keeper([0; 2]))])
    }

    fn change(shard: &mut Shard, number: u8, state: u8) {
        let peer = Peer::plain(ListenerId(0), ([127, 0, 0, 1], 1).into(), None);
        shard.datagram(NOW, peer, Proven::default(), &[number, state]);
    }

    struct Ring(mpsc::Sender<()>);

    impl Wake for Ring {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }

    #[test]
    fn what_changes_while_a_lot_is_under_way_goes_with_the_next_and_once() {
        let mut store = MemoryStore::default();
        let (writer, mut hands) = Writer::new(Box::new(store.clone()), 1);
        let meter = writer.meter();
        let home = Home { shard: 0, of: 1 };
        let mut courier = Courier::new(Carrier { hand: hands.pop().unwrap(), gateways: vec!["mqttsn"], home });
        let (mut shard, (ring, rings)) = (shard(), mpsc::channel());
        let waker = Waker::from(Arc::new(Ring(ring)));
        let cx = &mut Context::from_waker(&waker);
        change(&mut shard, 0, 1);
        assert!(courier.carry(NOW, &mut shard), "a turn must follow, to ask to be woken");
        assert!(!courier.hear(cx, NOW, &mut shard));
        for (number, state) in [(0, 2), (1, 1), (0, 3)] {
            change(&mut shard, number, state);
        }
        assert!(!courier.carry(NOW, &mut shard), "one at a time");
        assert_eq!((courier.unwritten(&shard), courier.is_idle(&shard)), (3, false));
        let thread = std::thread::spawn(|| writer.run());
        let mut left = Vec::new();
        // The writer may be done before it is asked to ring.
        rings.recv_timeout(Duration::from_secs(20)).unwrap();
        while !courier.is_idle(&shard) {
            if !courier.hear(cx, NOW, &mut shard) {
                rings.recv_timeout(Duration::from_secs(20)).unwrap();
                assert!(courier.hear(cx, NOW, &mut shard));
            }
            left.push(courier.unwritten(&shard));
            courier.carry(NOW, &mut shard);
        }
        assert_eq!(left, [2, 0]);
        drop(courier);
        thread.join().unwrap().unwrap();
        let mut found = Vec::new();
        let visit = &mut |entry: Entry<'_>| {
            if let Entry::Session { gateway: "mqttsn", id, session, .. } = entry {
                found.push((id.to_owned(), session.to_vec()));
            }
            Verdict::Keep
        };
        store.load(Table::Sessions, visit).unwrap();
        assert_eq!(found, [("door".to_owned(), vec![1]), ("lamp".to_owned(), vec![3])]);
        let records = meter.read().find(|(series, _)| series.family.name == "tidegate_store_records_total");
        assert_eq!(records.unwrap().1, 3);
    }
}
