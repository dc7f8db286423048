//! Random dialogues with a model of a broker: nothing acknowledged is lost, each owed token settles exactly once, the
//! order per QoS is kept, and no bound is exceeded.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        qos: u8,
    },
    /// This many packets are written, and the broker takes them.
    Read {
        packets: usize,
    },
    /// It answers the n-th of what it has not answered yet.
    Answer {
        n: usize,
    },
    /// It refuses instead.
    Refuse {
        n: usize,
    },
    /// The connection breaks; what was not read is lost.
    Break,
    /// The next connection is made. The queue moves when time passes.
    Connect {
        session_lost: bool,
        receive_maximum: u16,
    },
    Pass {
        ms: u64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..3).prop_map(|qos| Step::Publish { qos }),
        5 => (1_usize..6).prop_map(|packets| Step::Read { packets }),
        5 => (0_usize..8).prop_map(|n| Step::Answer { n }),
        1 => (0_usize..8).prop_map(|n| Step::Refuse { n }),
        1 => Just(Step::Break),
        2 => (any::<bool>(), 1_u16..6).prop_map(|(session_lost, receive_maximum)| {
            Step::Connect { session_lost, receive_maximum }
        }),
        3 => prop_oneof![Just(0), 0_u64..40_000].prop_map(|ms| Step::Pass { ms }),
    ]
}

/// What a broker knows.
#[derive(Default)]
struct Model {
    /// Payloads in the order of their first arrival, by QoS.
    taken: [Vec<u64>; 3],
    /// QoS 2 packet ids that await PUBREL: the payload is taken already.
    unreleased: BTreeMap<u16, u64>,
    /// Answers not yet given over this connection: packet id, and what kind.
    due: Vec<(u16, Due)>,
    receive_maximum: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Puback(u64),
    Pubrec(u64),
    Pubcomp,
}

struct World {
    bench: Bench,
    model: Model,
    /// Tokens that are owed a completion, with their QoS.
    owed: BTreeMap<u64, u8>,
    /// How each was settled.
    settled: BTreeMap<u64, Outcome>,
    published: u64,
    had_session: bool,
}

const LIMITS: QueueLimits = QueueLimits { max_bytes: 4_000, max_messages: 12 };
const WINDOW: u16 = 4;

impl World {
    fn new() -> Self {
        let told = LinkSettings { max_inflight: WINDOW, queue: LIMITS, ..settings() };
        Self {
            bench: Bench::new(told),
            model: Model::default(),
            owed: BTreeMap::new(),
            settled: BTreeMap::new(),
            published: 0,
            had_session: false,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Publish { qos } => self.publish(qos),
            Step::Read { packets } => self.read(packets),
            Step::Answer { n } => self.answer(n, false),
            Step::Refuse { n } => self.answer(n, true),
            Step::Break => {
                self.model.due.clear();
                self.bench.close(Closed::Broken);
            }
            Step::Connect { session_lost, receive_maximum } => self.connect(session_lost, receive_maximum),
            Step::Pass { ms } => self.bench.advance(ms),
        }
        self.note_events();
        self.check_bounds();
    }

    fn publish(&mut self, qos: u8) {
        self.published += 1;
        let token = self.published;
        match self.bench.publish(token, &token.to_string(), qos) {
            Taken::Owed => assert_eq!(self.owed.insert(token, qos), None),
            Taken::Done => assert_eq!(qos, 0),
            Taken::Full | Taken::Later(_) => {}
            Taken::Denied(refusal) => panic!("{refusal:?}"),
        }
    }

    fn connect(&mut self, session_lost: bool, receive_maximum: u16) {
        if self.bench.link.phase.is_online() {
            return;
        }
        if matches!(self.bench.link.phase, Phase::Closing { .. }) {
            self.apply(&Step::Break);
        }
        if self.bench.link.wish() != (Wish::Open { target: 0 }) {
            self.bench.wait();
        }
        let session_present = self.had_session && !session_lost;
        if !session_present {
            self.model.unreleased.clear();
        }
        self.had_session = true;
        self.model.receive_maximum = usize::from(receive_maximum);
        self.bench.greet(session_present, &[Property::ReceiveMaximum(receive_maximum)]);
    }

    fn read(&mut self, packets: usize) {
        for _ in 0..packets {
            let octets = self.bench.link.pending().to_vec();
            let Some(length) = peek(&octets, u32::MAX).unwrap() else { return };
            let packet = &octets[..length];
            self.bench.link.written(length);
            match codec_mqtt::decode(packet, Version::V5).unwrap() {
                Packet::Publish(publish) => self.on_publish(&publish),
                Packet::Pubrel(ack) => {
                    let id = ack.packet_id.get();
                    self.model.unreleased.remove(&id);
                    self.model.due.push((id, Due::Pubcomp));
                }
                Packet::Pingreq => drop(self.bench.hear(&Packet::Pingresp)),
                Packet::Disconnect(_) => return,
                other => panic!("{other:?}"),
            }
        }
    }

    fn on_publish(&mut self, publish: &Publish<'_>) {
        let token: u64 = std::str::from_utf8(publish.payload).unwrap().parse().unwrap();
        match publish.delivery {
            Delivery::AtMostOnce => self.take(0, token),
            Delivery::AtLeastOnce { packet_id, .. } => {
                self.take(1, token);
                self.model.due.push((packet_id.get(), Due::Puback(token)));
            }
            Delivery::ExactlyOnce { packet_id, dup } => {
                match self.model.unreleased.insert(packet_id.get(), token) {
                    // What a broker does with a packet id that it holds: nothing new. So it had better be the same.
                    Some(before) => assert!(before == token && dup, "{token} would be lost for {before}"),
                    None => self.take(2, token),
                }
                self.model.due.push((packet_id.get(), Due::Pubrec(token)));
            }
        }
        let exchanges = self.model.due.iter().map(|(id, _)| id).chain(self.model.unreleased.keys());
        let exchanges: std::collections::BTreeSet<_> = exchanges.collect();
        assert!(self.model.due.len() <= usize::from(WINDOW));
        assert!(exchanges.len() <= usize::from(WINDOW));
        let awaited = self.model.due.iter().filter(|(_, due)| *due != Due::Pubcomp).count();
        assert!(awaited <= self.model.receive_maximum, "receive maximum");
    }

    /// First arrivals come in the order of publication; a repetition brings what was there before.
    fn take(&mut self, qos: usize, token: u64) {
        let taken = &mut self.model.taken[qos];
        if !taken.contains(&token) {
            assert!(taken.last().is_none_or(|last| *last < token), "{token} after {taken:?}");
            taken.push(token);
        }
    }

    fn answer(&mut self, n: usize, refuse: bool) {
        if !self.bench.link.phase.is_online() || self.model.due.is_empty() {
            return;
        }
        let n = n % self.model.due.len();
        let (number, due) = self.model.due.remove(n);
        let reason = if refuse && due != Due::Pubcomp { ReasonCode::QUOTA_EXCEEDED } else { ReasonCode::SUCCESS };
        let ack = Ack::with_reason(id(number), reason);
        if let Due::Pubrec(_) = due
            && refuse
        {
            self.model.unreleased.remove(&number);
        }
        self.bench.hear(&match due {
            Due::Puback(_) => Packet::Puback(ack),
            Due::Pubrec(_) => Packet::Pubrec(ack),
            Due::Pubcomp => Packet::Pubcomp(ack),
        });
    }

    fn note_events(&mut self) {
        for event in self.bench.events() {
            let LinkEvent::Settled { origin, outcome } = event else { continue };
            let token = origin.token.0;
            let qos = self.owed.remove(&token).unwrap_or_else(|| panic!("{token} is not owed"));
            assert_eq!(self.settled.insert(token, outcome), None);
            if outcome == Outcome::Acknowledged {
                assert!(self.model.taken[usize::from(qos)].contains(&token), "{token} was acknowledged and lost");
            }
        }
    }

    fn check_bounds(&self) {
        let link = &self.bench.link;
        assert!(link.window.len() <= usize::from(WINDOW));
        assert!(link.queue.len() <= LIMITS.max_messages && link.queue.bytes() <= LIMITS.max_bytes);
    }

    /// The broker is well, and answers all.
    fn finish(&mut self) {
        for _ in 0..200 {
            self.apply(&Step::Connect { session_lost: false, receive_maximum: 3 });
            self.apply(&Step::Pass { ms: 0 });
            self.apply(&Step::Read { packets: 100 });
            self.apply(&Step::Answer { n: 0 });
        }
        assert_eq!(self.owed, BTreeMap::new(), "never settled");
        assert!(self.bench.link.queue.is_empty() && self.bench.link.window.is_empty());
    }
}

proptest! {
    #[test]
    fn nothing_acknowledged_is_lost_and_everything_owed_settles_once(steps in prop::collection::vec(any_step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
        }
        world.finish();
    }
}
