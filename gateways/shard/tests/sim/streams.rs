//! Raw TCP devices: connections that bring octets in pieces and late, are cut in the midst of a frame or without either
//! side's hearing of it, and devices that stop reading. It is the driver's side of them, too: what a shard is told of its
//! connections, and what it wants of them.

mod device;
mod pipe;
mod plan;

pub(crate) use device::{Act, StreamDevice};
pub(crate) use plan::{StreamPlan, StreamTrouble};

use crate::event::Event;
use crate::world::World;
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven};
use bridge_core::rng::Rng;
use bridge_core::streams::ConnRef;
use pipe::{Gone, Pipe};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The gateway of these devices.
pub(crate) const TCP: GatewayId = GatewayId(1);
/// EMQ X's frames.
pub(crate) const FRAMES: ListenerId = ListenerId(1);
/// Lines, the first of which is the client id.
pub(crate) const LINES: ListenerId = ListenerId(2);

/// Devices and the connections that they have, or have had.
pub(crate) struct StreamNet {
    pub(crate) devices: Vec<StreamDevice>,
    pipes: BTreeMap<u64, Pipe>,
    /// Those that shards know.
    known: BTreeMap<(usize, ConnRef), u64>,
    next: u64,
    rng: Rng,
    /// When each device's timer is planned.
    wakes: Vec<u64>,
}

/// Something that happens to a device of this kind, or to its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StreamEvent {
    /// A device's timer.
    Timer(usize),
    /// A connection comes to the gateway.
    Arrive(u64),
    /// It comes to the shard where its device lives.
    Adopt(u64),
    /// Octets of the device arrive.
    Up(u64),
    /// Octets for the device arrive.
    Down(u64),
    /// The gateway hears that the connection is broken.
    GatewayHears(u64),
    /// The device hears it.
    DeviceHears(u64),
    /// The device has taken nothing since then.
    Stalled(u64, u64),
    /// A connection that is being closed has had its time.
    CloseNow(u64),
}

impl StreamNet {
    pub(crate) fn new(plan: &StreamPlan, seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let devices: Vec<_> = (0..plan.devices).map(|index| StreamDevice::new(index, plan, rng.next_u64())).collect();
        let wakes = vec![u64::MAX; devices.len()];
        Self { devices, pipes: BTreeMap::new(), known: BTreeMap::new(), next: 0, rng, wakes }
    }

    /// Everybody is connected and has said all; all of it has been taken.
    pub(crate) fn is_quiet(&self) -> bool {
        self.devices.iter().all(|device| self.is_finished(device))
    }

    fn is_finished(&self, device: &StreamDevice) -> bool {
        let pipe = device.conn.and_then(|conn| self.pipes.get(&conn));
        device.is_done() && pipe.is_some_and(Pipe::is_idle)
    }

    /// Some that are not, and what they are in.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let pipe = |device: &StreamDevice| device.conn.and_then(|conn| self.pipes.get(&conn));
        let unfinished = self.devices.iter().filter(|device| !self.is_finished(device));
        unfinished.take(3).map(|device| format!("{} {:?}", device.state(), pipe(device))).collect()
    }

    /// Connections that this shard must know.
    fn at(&self, shard: usize) -> usize {
        self.known.keys().filter(|(at, _)| *at == shard).count()
    }
}

impl World {
    pub(crate) fn begin_streams(&mut self) {
        for index in 0..self.streams.devices.len() {
            self.wake_stream(index);
        }
    }

    pub(crate) fn on_stream(&mut self, event: StreamEvent) {
        match event {
            // Only the timer that was planned last counts.
            StreamEvent::Timer(index) if self.streams.wakes[index] != self.now => {}
            StreamEvent::Timer(index) => {
                self.streams.wakes[index] = u64::MAX;
                let pipe = self.streams.devices[index].conn.and_then(|conn| self.streams.pipes.get(&conn));
                let room = pipe.is_none_or(Pipe::has_room);
                let act = self.streams.devices[index].timer(self.now, room);
                self.act(index, act);
                self.wake_stream(index);
            }
            StreamEvent::Arrive(conn) => self.arrive(conn),
            StreamEvent::Adopt(conn) => self.adopt(conn),
            StreamEvent::Up(conn) => self.up(conn),
            StreamEvent::Down(conn) => self.down_stream(conn),
            StreamEvent::GatewayHears(conn) => self.gateway_hears(conn, Gone::Broken),
            StreamEvent::DeviceHears(conn) => self.device_hears(conn),
            StreamEvent::Stalled(conn, since) => {
                if self.streams.pipes.get(&conn).is_some_and(|pipe| pipe.stalled_since == Some(since)) {
                    self.gateway_hears(conn, Gone::Stalled);
                }
            }
            StreamEvent::CloseNow(conn) => self.close_now(conn),
        }
    }

    pub(crate) fn plan_stream(&mut self, delay: u64, event: StreamEvent) {
        self.timeline.plan(self.now + delay, Event::Stream(event));
    }

    fn wake_stream(&mut self, index: usize) {
        let at = self.streams.devices[index].wake_at(self.now);
        if at < self.streams.wakes[index] {
            self.streams.wakes[index] = at;
            self.timeline.plan(at, Event::Stream(StreamEvent::Timer(index)));
        }
    }

    /// What a device does.
    fn act(&mut self, index: usize, act: Act) {
        let device = &mut self.streams.devices[index];
        match act {
            Act::Nothing => {}
            Act::Open => {
                let conn = self.streams.next;
                self.streams.next += 1;
                device.conn = Some(conn);
                let (listener, number) = (device.listener(), u16::try_from(index).expect("hundreds"));
                let port = 1024 + u16::try_from(conn % 60_000).expect("a port");
                let [high, low] = number.to_be_bytes();
                let peer = Peer::plain(listener, SocketAddr::from(([10, 1, high, low], port)), None);
                self.streams.pipes.insert(conn, Pipe::new(index, peer));
                self.checks.streams.opens(conn, index);
                let octets = self.streams.devices[index].hello();
                self.write_up(conn, &octets, None);
                let delay = 1 + self.streams.rng.below(20);
                self.plan_stream(delay, StreamEvent::Arrive(conn));
            }
            Act::Write { octets, message } => {
                if let Some(conn) = device.conn {
                    self.write_up(conn, &octets, message);
                }
            }
            Act::Close => self.device_closes(index),
        }
    }

    fn write_up(&mut self, conn: u64, octets: &[u8], message: Option<u32>) {
        let delay = 1 + self.streams.rng.below(5);
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        pipe.write(octets);
        if let Some(number) = message {
            self.checks.streams.wrote(conn, number, pipe.written);
        }
        if pipe.conn.is_some() {
            self.plan_up(conn, delay);
        }
    }

    fn plan_up(&mut self, conn: u64, delay: u64) {
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        if !std::mem::replace(&mut pipe.up_planned, true) {
            self.plan_stream(delay, StreamEvent::Up(conn));
        }
    }

    fn plan_down_stream(&mut self, conn: u64, delay: u64) {
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        if !std::mem::replace(&mut pipe.down_planned, true) {
            self.plan_stream(delay, StreamEvent::Down(conn));
        }
    }

    /// The connection comes to one of the shards' sockets.
    fn arrive(&mut self, conn: u64) {
        let now = self.clock();
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        if pipe.is_lost() {
            // It never comes.
            pipe.gateway_open = false;
        }
        if !pipe.device_open {
            // Its device did not wait for it.
            self.streams.pipes.remove(&conn);
            return;
        }
        if !pipe.gateway_open {
            return;
        }
        let peer = pipe.peer;
        let shards = self.shards.len() as u64;
        let welcome = shards > 0 && self.stopping.is_none();
        let shard = if welcome { usize::try_from(self.streams.rng.below(shards)).expect("a few") } else { 0 };
        let opened = if welcome { self.shards[shard].shard.opened(now, peer, Proven::default()).ok() } else { None };
        let Some(known) = opened else {
            self.checks.tally.shut_out += u64::from(welcome);
            self.gateway_is_done(conn);
            return;
        };
        self.shards[shard].dirty = true;
        self.joins(conn, shard, known);
        let device = self.streams.pipes[&conn].device;
        self.streams.devices[device].opened(self.now);
        self.wake_stream(device);
        self.plan_up(conn, 1);
    }

    fn joins(&mut self, conn: u64, shard: usize, known: ConnRef) {
        let before = self.streams.known.insert((shard, known), conn);
        assert_eq!(before, None, "one number, one connection");
        if let Some(pipe) = self.streams.pipes.get_mut(&conn) {
            (pipe.shard, pipe.conn) = (shard, Some(known));
        }
    }

    fn adopt(&mut self, conn: u64) {
        let now = self.clock();
        let Some(pipe) = self.streams.pipes.get(&conn).filter(|pipe| pipe.gateway_open) else { return };
        let (shard, peer) = (pipe.shard, pipe.peer);
        let Ok(known) = self.shards[shard].shard.adopt(now, peer, Proven::default()) else {
            panic!("there is room for another connection")
        };
        self.shards[shard].dirty = true;
        self.joins(conn, shard, known);
        self.offer(conn);
    }

    /// No more trouble.
    pub(crate) fn calm_streams(&mut self) {
        for index in 0..self.streams.devices.len() {
            self.streams.devices[index].calm(self.now);
            if let Some(conn) = self.streams.devices[index].conn {
                self.plan_down_stream(conn, 1);
            }
            self.wake_stream(index);
        }
    }

    /// The connections that shards and gates know are those that there are.
    pub(crate) fn check_streams(&mut self) {
        let all: usize = self.streams.known.len();
        for shard in 0..self.shards.len() {
            let known = self.shards[shard].shard.streams().len();
            assert_eq!(known, self.streams.at(shard), "connections of shard {shard}");
        }
        assert_eq!(all, self.streams.devices.len(), "each device has one connection");
        let gates = self.gates.clone();
        let at_gates = |listener| gates.get(listener).map_or(0, |gate| gate.sessions() as usize);
        assert_eq!(at_gates(FRAMES) + at_gates(LINES), all, "connections that hold a place at a gate");
        let [connecting, active, held] = ["connecting", "active", "held"].map(|state| self.sessions_of("tcp", state));
        assert_eq!((connecting, active, held), (0, self.streams.devices.len() as u64, 0), "sessions");
    }

    fn sessions_of(&self, protocol: &'static str, state: &'static str) -> u64 {
        self.shards
            .iter()
            .map(|side| side.gauged("tidegate_sessions", &[("protocol", protocol), ("state", state)]))
            .sum()
    }
}
