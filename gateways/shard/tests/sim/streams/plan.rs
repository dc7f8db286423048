//! What one seed means for the devices of this kind.

use crate::plan::{Trouble, pick};
use crate::world::World;
use bridge_core::rng::Rng;
use bridge_core::streams::Marks;
use codec_mqtt::Qos;
use support::broker::Message;
use tcp_gateway::{CommandSubscription, TcpConfig};

/// One run, as far as it is about connections.
#[derive(Debug)]
pub(crate) struct StreamPlan {
    pub(crate) devices: usize,
    pub(crate) uplink_qos: u8,
    pub(crate) downlink_qos: u8,
    pub(crate) commands: CommandSubscription,
    pub(crate) max_inflight: u16,
    /// Messages held for one device.
    pub(crate) hold: u32,
    pub(crate) marks: Marks,
    /// Octets that the network holds on the way to a device.
    pub(crate) window: usize,
    /// `publish_limit` of the listeners.
    pub(crate) limit: Option<&'static str>,
    /// `max_conn_rate` of the listeners.
    pub(crate) rate: u32,
    /// The longest pause between two messages of a device.
    pub(crate) slowest_ms: u64,
}

/// Something that goes wrong with connections, or happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StreamTrouble {
    /// A connection breaks, and both sides hear of it.
    Cut,
    /// A connection breaks, and the device hears of it late, the gateway never.
    Vanish,
    /// A device reads nothing for so many milliseconds.
    Deaf { ms: u64 },
    /// Somebody publishes to devices.
    Command { messages: u64 },
}

/// Longer than any run.
const NEVER_MS: u64 = 1 << 40;
/// Octets of the largest message to a device, with what is around it.
const LARGEST: usize = 320;

impl StreamPlan {
    pub(crate) fn by_lot(rng: &mut Rng, span_ms: u64) -> Self {
        let commands = [CommandSubscription::Template, CommandSubscription::PerDevice][pick(rng, 2)];
        Self {
            devices: 5 + pick(rng, 40),
            uplink_qos: [0, 1, 1, 2][pick(rng, 4)],
            downlink_qos: [0, 1, 1, 2][pick(rng, 4)],
            commands,
            max_inflight: [1, 4, 32][pick(rng, 3)],
            hold: [1000, 5, 2][pick(rng, 3)],
            marks: [Marks::default(), Marks { high: 400, low: 100 }][pick(rng, 2)],
            window: [100, 300, 10_000][pick(rng, 3)],
            limit: [None, None, Some("5/s,burst=3"), Some("40/10s")][pick(rng, 4)],
            rate: [0, 0, 15][pick(rng, 3)],
            slowest_ms: span_ms / 10,
        }
    }

    pub(crate) fn config(&self) -> TcpConfig {
        TcpConfig {
            uplink_qos: self.uplink_qos,
            downlink_qos: self.downlink_qos,
            max_inflight: self.max_inflight,
            downlink_queue: self.hold,
            command_subscription: Some(self.commands),
            ..TcpConfig::default()
        }
    }

    /// Octets that may be pending for one device.
    pub(crate) fn most_pending(&self) -> usize {
        self.marks.high as usize + LARGEST
    }

    pub(crate) fn troubles(&self, rng: &mut Rng, span_ms: u64) -> Vec<(u64, Trouble)> {
        let count = 20 + pick(rng, 3 * self.devices);
        let mut troubles = Vec::new();
        for _ in 0..count {
            let trouble = match rng.below(10) {
                0 | 1 => StreamTrouble::Cut,
                2 => StreamTrouble::Vanish,
                3 | 4 => StreamTrouble::Deaf { ms: 500 + rng.below(20_000) },
                _ => StreamTrouble::Command { messages: 1 + rng.below(12) },
            };
            troubles.push((rng.below(span_ms), Trouble::Stream(trouble)));
        }
        troubles
    }
}

impl World {
    pub(crate) fn stream_trouble(&mut self, trouble: StreamTrouble) {
        let index = pick(&mut self.streams.rng, self.streams.devices.len());
        match trouble {
            StreamTrouble::Cut => {
                let delays = (self.streams.rng.below(300), self.streams.rng.below(300));
                self.cut_stream(index, delays);
            }
            StreamTrouble::Vanish => {
                // The gateway never hears of it, unless by its own doing.
                let delays = (NEVER_MS, 1000 + self.streams.rng.below(20_000));
                self.cut_stream(index, delays);
            }
            StreamTrouble::Deaf { ms } => {
                self.streams.devices[index].deaf_until = self.now + ms;
            }
            StreamTrouble::Command { messages } => {
                // Most of them to one device: that is what fills buffers.
                for _ in 0..messages {
                    let other = pick(&mut self.streams.rng, self.streams.devices.len());
                    let to = if self.streams.rng.chance(800) { index } else { other };
                    self.command(to);
                }
                self.after_broker();
            }
        }
    }

    /// All is well: two messages for each device.
    pub(crate) fn command_all(&mut self) {
        for index in (0..self.streams.devices.len()).flat_map(|index| [index; 2]) {
            self.command(index);
        }
        self.after_broker();
    }

    fn command(&mut self, to: usize) {
        let device = &self.streams.devices[to];
        let topic = format!("tcp/{}/dn", device.id);
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][pick(&mut self.streams.rng, 3)];
        let conn = device.conn.filter(|&conn| device.is_in() && self.brings_commands(to, conn));
        assert!(conn.is_some() || !self.checks.calm, "{} has its subscription", device.id);
        let padding = ".".repeat(pick(&mut self.streams.rng, 250));
        let payload = self.checks.streams.commands(to, conn, qos, &padding);
        self.broker.publish(Message::new(&topic, payload, qos));
    }

    /// The device is in, and the subscription that brings its messages is in force, for all that is known outside.
    fn brings_commands(&self, index: usize, conn: u64) -> bool {
        let Some(pipe) = self.streams.pipes.get(&conn) else { return false };
        if self.shards.is_empty() || pipe.conn.is_none() {
            return false;
        }
        let shown = self.checks.calm || self.checks.streams.has_heard(conn);
        match self.plan.streams.commands {
            CommandSubscription::Template => {
                // Who speaks lines is not told that it is in.
                let is_in = shown || self.streams.devices[index].is_told();
                is_in && self.broker.filters("sim-0-0").any(|filter| filter == "tcp/+/dn")
            }
            CommandSubscription::PerDevice => {
                // While it comes and goes the broker may still have the subscription of an earlier connection.
                let filter = format!("tcp/{}/dn", self.streams.devices[index].id);
                if self.plan.per_device {
                    return shown && self.broker.filters(&self.streams.devices[index].id).any(|each| each == filter);
                }
                let has = |link| self.broker.filters(&format!("sim-{}-{link}", pipe.shard)).any(|each| each == filter);
                shown && (0..self.plan.links).any(has)
            }
        }
    }
}
