//! Many devices on several shards, with streams that break and a broker that comes and goes, from a seed: what was taken of
//! a device at QoS 1 gets to the broker in order, and what came for a device that stays gets to it in order.

use crate::frames::{CONNACK, connect, data};
use crate::world::{Qos, Setup, World};
use bridge_core::rng::Rng;
use bridge_core::streams::{CloseReason, Marks};
use codec_rawtcp::FromGateway;
use std::collections::BTreeMap;
use support::broker::Crash;
use support::vectors::unhex;
use tcp_gateway::TcpConfig;

const SEEDS: u64 = 40;
const STEPS: usize = 300;
const DEVICES: usize = 6;
const SHARDS: u8 = 3;
/// DATATRANS of a number of six digits.
const FRAME: usize = 9;

/// What one device is about.
#[derive(Default)]
struct Plan {
    /// Its connection.
    port: Option<u16>,
    /// Octets of CONNECT at the beginning of its stream.
    hello: usize,
    /// Octets that it has still to put on the wire.
    outgoing: Vec<u8>,
    /// Octets that it has put on the wire of this connection.
    given: usize,
    /// The first message of this connection.
    first: usize,
    /// How many messages it has made.
    made: usize,
    heard: Vec<u8>,
    /// Messages for it that it has yet to hear.
    expected: Vec<usize>,
}

struct Simulation {
    world: World,
    rng: Rng,
    plans: Vec<Plan>,
    next_port: u16,
    published: usize,
    /// What the broker got, by topic.
    got: BTreeMap<String, Vec<usize>>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        // Half a frame may take its time here.
        let idle_timeout = settings::HumanDuration::from_secs(3600);
        let config =
            TcpConfig { uplink_qos: 1, downlink_qos: 1, max_inflight: 4, idle_timeout, ..TcpConfig::default() };
        let marks = Marks { high: 60, low: 20 };
        Self {
            world: World::new(&Setup { config, marks, shards: SHARDS, ..Setup::default() }),
            rng: Rng::seeded(seed),
            plans: (0..DEVICES).map(|_| Plan::default()).collect(),
            next_port: 1,
            published: 0,
            got: BTreeMap::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap()
    }

    fn step(&mut self) {
        let device = self.below(DEVICES);
        match self.below(20) {
            0..=7 => self.send(device),
            8..=10 => self.publish(device),
            11 => self.stick(device, true),
            12 | 13 => self.stick(device, false),
            14 => self.cut(device),
            15 => self.world.paused = true,
            16 | 17 => self.world.resume(),
            18 => self.trouble(),
            _ => {
                let ms = self.rng.below(3000);
                self.world.wait(ms);
            }
        }
        self.listen();
    }

    /// A device puts a piece of its stream on the wire, on a new connection if it has none.
    fn send(&mut self, device: usize) {
        let shard = self.below(usize::from(SHARDS));
        let length = 1 + self.below(40);
        let more = self.below(6);
        let plan = &mut self.plans[device];
        let port = match plan.port {
            Some(port) => port,
            None => {
                let port = self.next_port;
                self.next_port += 1;
                self.world.open_at(shard, 0, port, None);
                plan.outgoing = connect(&format!("d{device}"), 0);
                (plan.hello, plan.given, plan.port) = (plan.outgoing.len(), 0, Some(port));
                plan.made = plan.first;
                port
            }
        };
        for _ in 0..more {
            plan.outgoing.extend(data(format!("{:06}", plan.made).as_bytes()));
            plan.made += 1;
        }
        let piece: Vec<u8> = plan.outgoing.drain(..length.min(plan.outgoing.len())).collect();
        plan.given += piece.len();
        let heard = self.world.send(port, &piece);
        plan.heard.extend(unhex(&heard));
    }

    /// How many messages of this connection have been taken.
    fn taken(&self, device: usize) -> usize {
        let plan = &self.plans[device];
        let unread = plan.port.map_or(0, |port| self.world.unread(port));
        (plan.given - unread).saturating_sub(plan.hello) / FRAME
    }

    /// The device loses its connection, and what waited for it; it goes on with what has not been taken.
    fn cut(&mut self, device: usize) {
        let Some(port) = self.plans[device].port else { return };
        let taken = self.taken(device);
        self.world.cut(port, CloseReason::Broken);
        let plan = &mut self.plans[device];
        plan.first += taken;
        plan.port = None;
        plan.expected.clear();
        plan.heard.clear();
    }

    /// A message for a device that is in, while the broker and the subscription are there.
    fn publish(&mut self, device: usize) {
        let subscribed = self.world.filters().iter().any(|filter| filter == "tcp/+/dn");
        let there = !self.world.paused && subscribed && self.world.shards[0].is_reachable();
        let plan = &mut self.plans[device];
        // Its CONNACK has been written, whether it has read that or not.
        let Some(port) = plan.port.filter(|_| there && plan.given >= plan.hello) else { return };
        if plan.expected.len() > 80 {
            return;
        }
        let number = self.published;
        self.published += 1;
        plan.expected.push(number);
        self.world.publish(&format!("tcp/d{device}/dn"), &number.to_string(), Qos::AtLeastOnce);
        let heard = self.world.hear(port);
        self.plans[device].heard.extend(unhex(&heard));
    }

    fn stick(&mut self, device: usize, stuck: bool) {
        let Some(port) = self.plans[device].port else { return };
        if stuck {
            self.world.devices.get_mut(&port).unwrap().stuck = true;
        } else {
            self.world.unstick(port);
        }
    }

    fn trouble(&mut self) {
        let keep_sessions = self.below(2) == 0;
        match self.below(3) {
            0 => self.world.broker_down(),
            1 => {
                self.world.broker.crash(Crash { keep_sessions, keep_retained: true });
                self.world.settle();
            }
            _ => {}
        }
        if self.below(2) == 0 {
            self.world.paused = false;
            self.world.broker_up();
        }
    }

    /// Devices read, and the broker's side is looked at.
    fn listen(&mut self) {
        for device in 0..DEVICES {
            let Some(port) = self.plans[device].port else { continue };
            assert!(!self.world.is_closed(port), "d{device} was closed");
            let heard = unhex(&self.world.hear(port));
            let plan = &mut self.plans[device];
            plan.heard.extend(heard);
            while let Some((frame, used)) = FromGateway::decode(&plan.heard).unwrap() {
                if let FromGateway::Data(payload) = frame {
                    let number: usize = str::from_utf8(payload).unwrap().parse().unwrap();
                    // The broker may say it again.
                    if plan.expected.first() == Some(&number) {
                        plan.expected.remove(0);
                    } else {
                        assert!(
                            !plan.expected.contains(&number),
                            "d{device}: {number} came before {:?}",
                            plan.expected
                        );
                    }
                }
                plan.heard.drain(..used);
            }
        }
        for message in self.world.broker.take_accepted() {
            let number = str::from_utf8(&message.payload).unwrap().parse().unwrap();
            if message.topic.ends_with("/up") {
                self.got.entry(message.topic).or_default().push(number);
            }
        }
    }

    /// All troubles end, and everything must have come to its end.
    fn finish(mut self, seed: u64) {
        self.world.paused = false;
        self.world.broker_up();
        self.world.wait(60_000);
        for device in 0..DEVICES {
            self.stick(device, false);
        }
        self.world.settle();
        self.listen();
        for device in 0..DEVICES {
            let (taken, plan) = (self.taken(device), &self.plans[device]);
            assert_eq!(plan.expected, [0_usize; 0], "seed {seed}: d{device} did not hear these");
            if let Some(port) = plan.port {
                assert!(self.world.unread(port) < FRAME.max(plan.hello), "seed {seed}: d{device} is not read");
            }
            let total = plan.first + if plan.port.is_some() { taken } else { 0 };
            // Each, in order; one that comes again comes behind those before it.
            let mut next = 0;
            for &number in self.got.get(&format!("tcp/d{device}/up")).into_iter().flatten() {
                assert!(number <= next, "seed {seed}: d{device}: {number} before {next}");
                next = next.max(number + 1);
            }
            assert!(next >= total, "seed {seed}: d{device}: {next} of {total} came");
        }
        assert_eq!(self.world.faults(), 0, "seed {seed}");
    }
}

#[test]
fn what_is_taken_arrives_in_order_whatever_breaks() {
    assert!(CONNACK.starts_with("20"));
    for seed in 0..SEEDS {
        let mut simulation = Simulation::new(seed);
        for _ in 0..STEPS {
            simulation.step();
        }
        simulation.finish(seed);
    }
}
