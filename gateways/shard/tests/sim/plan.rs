//! What one seed means: how many of everything, how bad the network is, and what goes wrong when.

use crate::device::Naps;
use crate::judge::Judge;
use crate::network::Air;
use crate::spots::How;
use crate::streams::{StreamPlan, StreamTrouble};
use bridge_core::link::QueueLimits;
use bridge_core::rng::Rng;
use codec_mqttsn::Qos;
use support::broker::{Options, RefuseV5};

/// One run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) shards: u8,
    pub(crate) links: u16,
    pub(crate) devices: usize,
    /// Forwarders that devices may be behind.
    pub(crate) forwarders: u16,
    /// Addresses that a shard remembers for others.
    pub(crate) max_routes: usize,
    pub(crate) air: Air,
    pub(crate) broker: Options,
    /// Whether crashes of the broker leave its sessions alone.
    pub(crate) keeps_sessions: bool,
    pub(crate) max_inflight: u16,
    /// How late the driver's timers are, in milliseconds.
    pub(crate) late_ms: u64,
    /// There is a store, and the process ends at times.
    pub(crate) durable: bool,
    pub(crate) queue: QueueLimits,
    /// Messages held for one device.
    pub(crate) hold: u32,
    /// Who is asked whether devices may come in.
    pub(crate) judge: Option<Judge>,
    /// Each device has an MQTT connection of its own; so many may be begun per second.
    pub(crate) per_device: bool,
    pub(crate) connect_rate: u32,
    /// Devices that have nothing but a socket.
    pub(crate) streams: StreamPlan,
    /// Milliseconds in which things go wrong; afterwards everything is given time to finish.
    pub(crate) span_ms: u64,
    pub(crate) troubles: Vec<(u64, Trouble)>,
}

/// Something that goes wrong, or happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// A broker connection breaks; the broker notices some milliseconds after us.
    Cut { broker_notices_ms: u64 },
    /// The broker is gone for so many milliseconds, and may forget its sessions.
    Crash { down_ms: u64, forget: bool },
    /// The broker is slow to acknowledge for so many milliseconds.
    Slow { ms: u64 },
    /// A device turns up elsewhere.
    Move(How),
    /// The process ends, and comes back.
    Restart { crash: bool },
    /// The broker throws a device's own connection out: somebody else has its client id, or its operator wants it so.
    Evict,
    /// Somebody publishes to the devices.
    Publish { messages: u64 },
    /// About raw TCP devices.
    Stream(StreamTrouble),
}

/// What one device is to do.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) topics: Vec<TopicForm>,
    pub(crate) filters: Vec<(String, Qos)>,
    pub(crate) messages: Vec<Planned>,
    /// Messages of QoS 1 and 2 in flight at once. The specification has one; some devices do not care.
    pub(crate) window: usize,
    pub(crate) retry_ms: u64,
    /// It has a will.
    pub(crate) will: bool,
    /// It sleeps when it has nothing to say.
    pub(crate) naps: Option<Naps>,
}

#[derive(Clone, Debug)]
pub(crate) enum TopicForm {
    Name(String),
    Short([u8; 2]),
    Predefined(u16, &'static str),
}

/// A message to publish, and the pause after it.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) topic: usize,
    pub(crate) qos: Qos,
    pub(crate) payload: Vec<u8>,
    pub(crate) pause_ms: u64,
}

impl TopicForm {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Short(octets) => std::str::from_utf8(octets).expect("short names are letters here"),
            Self::Predefined(_, name) => name,
        }
    }
}

impl Plan {
    /// Whether the broker says which subscriptions a message matches. Without that, a client whose filter overlaps with
    /// others' gets copies that were meant for them.
    pub(crate) fn has_identifiers(&self) -> bool {
        self.broker.subscription_identifiers && self.broker.refuse_v5.is_none()
    }

    pub(crate) fn by_lot(seed: u64, keeps_sessions: bool) -> (Self, Rng) {
        let mut rng = Rng::seeded(seed ^ (u64::from(keeps_sessions) << 63));
        let drops = rng.chance(250);
        let broker = Options {
            seed: rng.next_u64(),
            receive_maximum: [u16::MAX, 20, 3][pick(&mut rng, 3)],
            send_window: [u16::MAX, 20, 2][pick(&mut rng, 3)],
            merge_overlaps: rng.chance(500),
            // A lost PUBREC would let a later message overtake: the broker's doing, not ours.
            take_at_pubrel: !drops && rng.chance(500),
            tell_no_subscribers: rng.chance(500),
            subscription_identifiers: rng.chance(850),
            refuse_v5: rng.chance(150).then_some(RefuseV5::ReasonCode),
            drop_acks_per_mille: if drops { 30 } else { 0 },
            ..Options::new()
        };
        let devices = 60 + pick(&mut rng, 240);
        let queue = [(1 << 24, 100_000), (1 << 24, 100_000), (2048, 100_000), (1 << 24, 20)][pick(&mut rng, 4)];
        let queue = QueueLimits { max_bytes: queue.0, max_messages: queue.1 };
        let mut plan = Self {
            shards: u8::try_from(1 + rng.below(4)).expect("four at most"),
            links: u16::try_from(1 + rng.below(2)).expect("two at most"),
            devices,
            forwarders: [0, 3][pick(&mut rng, 2)],
            max_routes: [4096, 4096, 200][pick(&mut rng, 3)],
            air: Air::by_lot(&mut rng),
            broker,
            keeps_sessions,
            max_inflight: [1024, 16, 1][pick(&mut rng, 3)],
            late_ms: [0, rng.below(20), rng.below(1500)][pick(&mut rng, 3)],
            durable: rng.chance(400),
            queue,
            hold: [1000, 1000, 1000, 5][pick(&mut rng, 4)],
            judge: rng.chance(400).then(|| Judge::by_lot(&mut rng)),
            span_ms: 20_000 + rng.below(60_000),
            troubles: Vec::new(),
            per_device: false,
            connect_rate: [0, 40, 500][pick(&mut rng, 3)],
            streams: StreamPlan::by_lot(&mut Rng::seeded(seed), 20_000),
        };
        plan.troubles = plan.troubles(&mut rng);
        plan.streams.slowest_ms = plan.span_ms / 20;
        plan.troubles.extend(plan.streams.troubles(&mut rng, plan.span_ms));
        (plan, rng)
    }

    fn troubles(&self, rng: &mut Rng) -> Vec<(u64, Trouble)> {
        let mut troubles = Vec::new();
        for _ in 0..30 + rng.below(30) {
            let trouble = match rng.below(20) {
                0..=3 => Trouble::Cut { broker_notices_ms: [0, 0, rng.below(2000)][pick(rng, 3)] },
                4 | 5 => {
                    Trouble::Crash { down_ms: 50 + rng.below(8000), forget: !self.keeps_sessions && rng.chance(700) }
                }
                6 => Trouble::Slow { ms: 50 + rng.below(3000) },
                _ => Trouble::Publish { messages: 1 + rng.below(6) },
            };
            troubles.push((rng.below(self.span_ms), trouble));
        }
        for _ in 0..pick(rng, self.devices) {
            let how = [How::Unaware, How::Aware, How::Restarted][pick(rng, 3)];
            troubles.push((rng.below(self.span_ms), Trouble::Move(how)));
        }
        for _ in 0..if self.durable { 1 + rng.below(4) } else { 0 } {
            troubles.push((rng.below(self.span_ms), Trouble::Restart { crash: rng.chance(600) }));
        }
        // An acknowledgement that is lost on a connection that lives comes with the next connection only.
        if self.broker.drop_acks_per_mille > 0 {
            troubles.extend((1..self.span_ms / 5000).map(|n| (n * 5000, Trouble::Cut { broker_notices_ms: 0 })));
        }
        troubles
    }
}

impl Script {
    pub(crate) fn by_lot(rng: &mut Rng, device: usize, span_ms: u64) -> Self {
        let mut topics = vec![TopicForm::Name(format!("up/d{device}"))];
        if rng.chance(500) {
            topics.push(TopicForm::Name(format!("up/all/{}", rng.below(5))));
        }
        if rng.chance(200) {
            topics.push(TopicForm::Short(*b"ab"));
        }
        if rng.chance(200) {
            topics.push(TopicForm::Predefined(1, "predefined/topic/name/hello"));
        }
        let window = [1, 1, 4, 8][pick(rng, 4)];
        let count = 4 + pick(rng, 10);
        let slowest = 2 * span_ms / count as u64;
        let mut lane = (0, any_qos(rng));
        let messages = (0..count)
            .map(|seq| {
                // Devices with several in flight mostly stay with one topic and QoS: there is no order but there.
                if window == 1 || rng.chance(200) {
                    lane = (pick(rng, topics.len()), any_qos(rng));
                }
                let (topic, qos) = lane;
                let pause_ms = 60 + rng.below(slowest);
                let pause_ms = if window > 1 && rng.chance(600) { 0 } else { pause_ms };
                let padding = ".".repeat(pick(rng, 200));
                let payload = format!("u {device} {seq} {padding}").into_bytes();
                Planned { topic, qos, payload, pause_ms }
            })
            .collect();
        let filters = filters(rng, device);
        let naps = rng.chance(300).then(|| {
            let duration_s = 2 + u16::try_from(rng.below(20)).expect("small");
            // Some oversleep at times: 1.5 × their duration is the limit.
            Naps { duration_s, longest_ms: u64::from(duration_s) * [900, 1400, 1800][pick(rng, 3)] }
        });
        Self { topics, filters, messages, window, retry_ms: 1000 + rng.below(3000), will: rng.chance(400), naps }
    }
}

/// Filters of one device; several may match one topic.
fn filters(rng: &mut Rng, device: usize) -> Vec<(String, Qos)> {
    let own = format!("dn/{}", device % DOWN_TOPICS);
    let mut filters = Vec::new();
    for (filter, per_mille) in [(own.as_str(), 500), ("dn/+", 60), ("dn/#", 60), ("zz", 60)] {
        if rng.chance(per_mille) {
            filters.push((filter.to_owned(), any_qos(rng)));
        }
    }
    filters
}

/// Where wills are published.
pub(crate) const WILL_TOPIC: &str = "gone";

/// How many topics `dn/<n>` there are.
pub(crate) const DOWN_TOPICS: usize = 20;

/// A topic that devices may be subscribed to.
pub(crate) fn down_topic(rng: &mut Rng) -> String {
    if rng.chance(100) { "zz".to_owned() } else { format!("dn/{}", rng.below(DOWN_TOPICS as u64)) }
}

pub(crate) fn any_qos(rng: &mut Rng) -> Qos {
    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][pick(rng, 3)]
}

/// An index below `count`.
pub(crate) fn pick(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.below(count as u64)).expect("an index fits")
}
