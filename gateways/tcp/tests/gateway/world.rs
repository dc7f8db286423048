//! Devices with sockets, shards with one machine each, a broker, and the clock.

use crate::frames::{CONNACK, connect, data, hex};
use crate::setup::{machine, shard};
use bridge_core::ask::{Answer, Ask};
use bridge_core::bridge::LinkId;
use bridge_core::gate::{Gate, Gates};
use bridge_core::link::{Closed, Wish};
use bridge_core::live::Live;
use bridge_core::meter::Meter;
use bridge_core::owners::Directory;
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven};
use bridge_core::streams::{CloseReason, ConnRef};
use bridge_core::time::{Deadline, Now};
use shard::{Parcel, Shard};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use support::broker::{Message, SimBroker};
use support::vectors::unhex;
use tcp_gateway::{Tcp, TcpConfig};

pub(crate) use crate::setup::Setup;
pub(crate) use codec_mqtt::Qos;

/// Everything. Devices are named by their port; what they say and hear is hexadecimal text.
pub(crate) struct World {
    pub(crate) shards: Vec<Shard>,
    pub(crate) broker: SimBroker,
    pub(crate) gates: Gates,
    config: Live<TcpConfig>,
    meters: Vec<Arc<Meter>>,
    /// The network to the broker stands still.
    pub(crate) paused: bool,
    /// Connections to the broker, by shard and link.
    links: BTreeMap<(usize, LinkId), u64>,
    next_conn: u64,
    pub(crate) now: Now,
    pub(crate) devices: BTreeMap<u16, Device>,
}

/// A device's end of a connection.
pub(crate) struct Device {
    shard: usize,
    conn: ConnRef,
    peer: Peer,
    /// What it has sent and nobody has taken.
    unread: Vec<u8>,
    /// There is more than was offered last.
    fresh: bool,
    heard: Vec<u8>,
    /// It takes nothing of what it is sent.
    pub(crate) stuck: bool,
    pub(crate) closed: bool,
}

impl Default for World {
    fn default() -> Self {
        Self::new(&Setup::default())
    }
}

impl World {
    pub(crate) fn with(config: TcpConfig) -> Self {
        Self::new(&Setup { config, ..Setup::default() })
    }

    pub(crate) fn new(setup: &Setup) -> Self {
        let mut broker = SimBroker::new(setup.options.clone());
        if setup.alone {
            broker.set_down();
        }
        let config = Live::from(setup.config.clone());
        let gates = Gates::new(setup.framings.iter().map(|_| Gate::new(0, 0)).collect::<Vec<_>>());
        let directory = Arc::<Directory>::default();
        let mut meters = Vec::new();
        let shards: Vec<Shard> = (0..setup.shards)
            .map(|id| {
                let machine = Tcp::new(machine(setup, &config, id));
                meters.push(machine.meter());
                Shard::new(shard(setup, &gates, &directory, id), vec![Box::new(machine)])
            })
            .collect();
        let mut world = Self {
            links: BTreeMap::new(),
            shards,
            broker,
            gates,
            config,
            meters,
            paused: false,
            next_conn: 1,
            now: Now { mono_ms: 1000, wall_ms: 0 },
            devices: BTreeMap::new(),
        };
        world.settle();
        world
    }

    /// A device opens a connection through listener 0.
    pub(crate) fn open(&mut self, port: u16) {
        self.open_at(0, 0, port, None);
    }

    pub(crate) fn open_at(&mut self, shard: usize, listener: u16, port: u16, identity: Option<&str>) {
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let peer = Peer::plain(ListenerId(listener), addr, None);
        let conn = self.shards[shard].opened(self.now, peer, identity.map_or(Proven::Nothing, Proven::Psk)).unwrap();
        let (unread, heard) = (Vec::new(), Vec::new());
        let device = Device { shard, conn, peer, unread, fresh: false, heard, stuck: false, closed: false };
        assert!(self.devices.insert(port, device).is_none_or(|before| before.closed), "port {port} is in use");
        self.settle();
    }

    /// The device says something; what it is told then.
    pub(crate) fn ask(&mut self, port: u16, hex: &str) -> String {
        self.send(port, &unhex(&hex.replace(' ', "")))
    }

    pub(crate) fn send(&mut self, port: u16, bytes: &[u8]) -> String {
        let device = self.devices.get_mut(&port).unwrap();
        device.unread.extend_from_slice(bytes);
        device.fresh = true;
        self.settle();
        self.hear(port)
    }

    /// What the device has been told since it was last asked.
    pub(crate) fn hear(&mut self, port: u16) -> String {
        hex(&std::mem::take(&mut self.devices.get_mut(&port).unwrap().heard))
    }

    /// A connection of its own, and CONNECT, accepted.
    pub(crate) fn connect(&mut self, port: u16, id: &str) {
        self.open(port);
        assert_eq!(self.send(port, &connect(id, 60)), CONNACK, "{id}");
    }

    /// DATATRANS.
    pub(crate) fn say(&mut self, port: u16, payload: &str) {
        assert_eq!(self.send(port, &data(payload.as_bytes())), "");
    }

    pub(crate) fn is_closed(&self, port: u16) -> bool {
        self.devices[&port].closed
    }

    /// What the device has sent that nobody has taken.
    pub(crate) fn unread(&self, port: u16) -> usize {
        self.devices[&port].unread.len()
    }

    /// The device's end is gone.
    pub(crate) fn cut(&mut self, port: u16, why: CloseReason) {
        let device = self.devices.get_mut(&port).unwrap();
        device.closed = true;
        self.shards[device.shard].stream_closed(self.now, device.conn, why);
        self.settle();
    }

    /// The device reads again.
    pub(crate) fn unstick(&mut self, port: u16) {
        self.devices.get_mut(&port).unwrap().stuck = false;
        self.settle();
    }

    /// The shard that the device's connection is on.
    pub(crate) fn shard_of(&self, port: u16) -> usize {
        self.devices[&port].shard
    }

    pub(crate) fn query(&mut self, ask: &Ask<'_>) -> Answer {
        let answer = self.shards[0].ask(self.now, GatewayId(0), ask);
        self.settle();
        answer
    }

    /// The broker publishes.
    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: Qos) {
        self.broker.publish(Message::new(topic, payload, qos));
        self.settle();
    }

    /// What the broker was given since it was last looked at: topic, payload, QoS.
    pub(crate) fn given(&mut self) -> Vec<String> {
        let accepted = self.broker.take_accepted();
        let line = |m: &support::broker::Accepted| {
            format!("{} {} {}", m.topic, String::from_utf8_lossy(&m.payload), m.qos.bits())
        };
        accepted.iter().map(line).collect()
    }

    /// The filters that the links hold at the broker, sorted.
    pub(crate) fn filters(&self) -> Vec<String> {
        let links = (0..self.shards.len()).map(|shard| format!("tidegate-n-{shard}"));
        let mut filters: Vec<String> =
            links.flat_map(|link| self.broker.filters(&link).map(str::to_owned).collect::<Vec<_>>()).collect();
        filters.sort();
        filters
    }

    /// A counter or gauge of the machines: the value of the series with these label values.
    pub(crate) fn count(&self, family: &str, values: &[&str]) -> u64 {
        let mut sum = 0;
        for meter in &self.meters {
            let mut found = meter.read().filter(|(series, _)| {
                series.family.name == format!("tidegate_{family}")
                    && values.iter().all(|value| series.labels.iter().any(|(_, label)| label == value))
            });
            sum += found.next().unwrap_or_else(|| panic!("no series {family} {values:?}")).1;
            assert!(found.next().is_none(), "{family} {values:?} is not one series");
        }
        sum
    }

    pub(crate) fn fault(&self, reason: &str) -> u64 {
        self.count("faults_total", &[reason])
    }

    /// All faults, whatever their reason.
    pub(crate) fn faults(&self) -> u64 {
        let faults = |meter: &Arc<Meter>| -> u64 {
            let faults = meter.read().filter(|(series, _)| series.family.name == "tidegate_faults_total");
            faults.map(|(_, value)| value).sum()
        };
        self.meters.iter().map(faults).sum()
    }

    pub(crate) fn dropped(&self, policy: &str) -> u64 {
        self.count("queue_dropped_total", &[policy])
    }

    /// Connections by state: connecting, waiting, active, held.
    pub(crate) fn states(&self) -> [u64; 4] {
        ["connecting", "waiting", "active", "held"].map(|state| self.count("sessions", &[state]))
    }

    /// Moves the clock, from deadline to deadline.
    pub(crate) fn wait(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.now.mono_ms < end {
            let next = self.shards.iter().filter_map(|shard| shard.next_deadline()).map(|at| at.0).min();
            self.now.mono_ms = next.map_or(end, |at| at.clamp(self.now.mono_ms + 1, end));
            for shard in &mut self.shards {
                shard.timer(self.now);
            }
            self.settle();
        }
    }

    pub(crate) fn drain(&mut self) {
        for shard in &mut self.shards {
            shard.drain(self.now, Deadline(self.now.mono_ms + 10_000));
        }
        self.settle();
    }

    /// The configuration is read anew.
    pub(crate) fn reload(&mut self, config: TcpConfig) {
        self.config.set(config);
        for shard in &mut self.shards {
            shard.reconfigure(self.now);
        }
        self.settle();
    }

    /// The broker's connections are gone, and it refuses new ones.
    pub(crate) fn broker_down(&mut self) {
        self.broker.set_down();
        self.settle();
    }

    /// The broker is there again, and time for the links to find that out.
    pub(crate) fn broker_up(&mut self) {
        self.broker.set_up();
        self.wait(2000);
    }

    /// The network to the broker moves again.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        self.settle();
    }

    /// Lets everything flow until all is quiet.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut busy = false;
            for shard in 0..self.shards.len() {
                self.shards[shard].finish(self.now);
                busy |= self.drive_all(shard);
                busy |= self.carry(shard);
            }
            for port in self.devices.keys().copied().collect::<Vec<_>>() {
                busy |= self.serve(port);
            }
            for shard in &mut self.shards {
                while shard.streams().take_touched().is_some() {}
            }
            if !busy {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// What one shard has for another.
    fn carry(&mut self, from: usize) -> bool {
        let parcels: Vec<Parcel> = self.shards[from].parcels().drain(..).collect();
        let mut busy = !parcels.is_empty();
        for parcel in parcels {
            self.shards[usize::from(parcel.to().0)].receive(self.now, &parcel);
        }
        while let Some(handover) = self.shards[from].take_handover() {
            busy = true;
            let to = usize::from(handover.to.0);
            let moved = |device: &&mut Device| device.shard == from && device.conn == handover.conn && !device.closed;
            let device = self.devices.values_mut().find(moved).unwrap();
            device.conn = self.shards[to].adopt(self.now, device.peer, Proven::default()).unwrap();
            (device.shard, device.fresh) = (to, true);
        }
        busy
    }

    /// One step of a device's connection.
    fn serve(&mut self, port: u16) -> bool {
        let Some(device) = self.devices.get_mut(&port).filter(|device| !device.closed) else { return false };
        let shard = &mut self.shards[device.shard];
        let mut busy = false;
        // Once it is read again, what is left is offered again.
        device.fresh |= !shard.streams().reads(device.conn);
        let pending = shard.streams().pending(device.conn).to_vec();
        if !device.stuck && !pending.is_empty() {
            device.heard.extend_from_slice(&pending);
            shard.stream_written(self.now, device.conn, pending.len());
            busy = true;
        }
        if shard.streams().is_closing(device.conn) {
            if shard.streams().pending(device.conn).is_empty() {
                shard.stream_done(device.conn);
                device.closed = true;
            }
            return busy;
        }
        if shard.streams().reads(device.conn) && device.fresh && !device.unread.is_empty() {
            device.fresh = false;
            let taken = shard.stream(self.now, device.conn, &device.unread);
            device.unread.drain(..taken);
            busy = true;
        }
        busy
    }

    /// One step of a shard's links.
    fn drive_all(&mut self, number: usize) -> bool {
        if self.paused {
            return false;
        }
        let mut links: Vec<LinkId> = vec![LinkId::shared(0)];
        links.extend(std::iter::from_fn(|| self.shards[number].take_touched_line()));
        links.extend(self.links.keys().filter(|(shard, _)| *shard == number).map(|(_, link)| *link));
        links.sort();
        links.dedup();
        links.into_iter().fold(false, |busy, link| busy | self.drive(number, link))
    }

    /// One step of a link's driver.
    fn drive(&mut self, number: usize, id: LinkId) -> bool {
        let (now, at) = (self.now, (number, id));
        let Some(link) = self.shards[number].link_mut(id) else {
            if let Some(conn) = self.links.remove(&at) {
                self.broker.disconnect(conn);
            }
            return false;
        };
        match link.wish() {
            Wish::Nothing => {}
            Wish::Open { .. } => {
                link.opening(now);
                if self.broker.connect(self.next_conn) {
                    self.links.insert(at, self.next_conn);
                    self.next_conn += 1;
                    link.opened(now);
                } else {
                    link.closed(now, Closed::Refused, "connection refused");
                }
                return true;
            }
            Wish::Close => {
                if let Some(conn) = self.links.remove(&at) {
                    self.broker.disconnect(conn);
                }
                link.closed(now, Closed::Broken, "closed");
                return true;
            }
        }
        let Some(&conn) = self.links.get(&at) else { return false };
        let out = link.pending().to_vec();
        link.written(out.len());
        self.broker.receive(conn, &out);
        let back = self.broker.take_output(conn);
        assert_eq!(self.shards[number].link_bytes(now, id, &back), back.len());
        if !self.broker.is_open(conn) {
            self.links.remove(&at);
            self.broker.disconnect(conn);
            if let Some(link) = self.shards[number].link_mut(id) {
                link.closed(now, Closed::Orderly, "closed by the broker");
            }
            return true;
        }
        !out.is_empty() || !back.is_empty()
    }
}
