//! The downlink's other end: a thread that publishes on the broker.

use crate::clock::Clock;
use crate::failure::Failure;
use crate::load::args::Down;
use crate::load::backlog::Backlog;
use crate::load::broker::{Broker, Incoming};
use crate::load::down::topic_of;
use crate::load::pace::Pace;
use crate::load::rig::Rig;
use crate::load::stamp::Stamp;
use codec_mqtt::{Delivery, PacketId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// QoS 1 publications that the broker has not acknowledged, at most.
const UNACKNOWLEDGED: u64 = 1000;

/// The broker's side, a thread of its own.
#[derive(Debug)]
pub(crate) struct Publisher {
    thread: JoinHandle<(Published, Option<Failure>)>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    arrived: AtomicU64,
    stop: AtomicBool,
}

/// What the broker was given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Published {
    pub(crate) sent: u64,
    /// The clock at the last.
    pub(crate) last_at: u64,
}

impl Publisher {
    pub(crate) fn start(broker: Broker, rig: &Rig, scenario: &Down) -> Self {
        let shared = Arc::new(Shared::default());
        let publishing = Publishing {
            broker,
            shared: Arc::clone(&shared),
            clock: rig.clock,
            deadline: rig.deadline,
            tick: rig.tick,
            run: rig.run,
            scenario: scenario.clone(),
            topics: (0..scenario.clients).map(|client| mounted(scenario, client)).collect(),
            pace: Pace::new(scenario.rate, scenario.messages, rig.clock.now()),
            backlog: Backlog::new(scenario.window.into(), rig.clock.now()),
            packet_id: PacketId::FIRST,
            acknowledged: 0,
            payload: Vec::new(),
            published: Published::default(),
        };
        Self { thread: std::thread::spawn(move || publishing.run()), shared }
    }

    /// Notes how many messages have come through to the clients.
    pub(crate) fn note_arrived(&self, arrived: u64) {
        self.shared.arrived.store(arrived, Ordering::Relaxed);
    }

    /// It has published all, or was cut off.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the thread: what it published, and why it stopped if the broker cut it off.
    pub(crate) fn finish(self) -> (Published, Option<Failure>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let panicked = |_| (Published::default(), Some(Failure::Broker("the publisher panicked".into())));
        self.thread.join().unwrap_or_else(panicked)
    }
}

fn mounted(scenario: &Down, client: u32) -> String {
    format!("{}{}", scenario.mountpoint, topic_of(scenario, client))
}

struct Publishing {
    broker: Broker,
    shared: Arc<Shared>,
    clock: Clock,
    deadline: u64,
    tick: u16,
    run: u32,
    scenario: Down,
    topics: Vec<String>,
    pace: Pace,
    backlog: Backlog,
    packet_id: PacketId,
    acknowledged: u64,
    payload: Vec<u8>,
    published: Published,
}

impl Publishing {
    fn run(mut self) -> (Published, Option<Failure>) {
        let failure = self.publish_all().err();
        (self.published, failure)
    }

    fn publish_all(&mut self) -> Result<(), Failure> {
        while !self.pace.is_finished() && self.clock.now() < self.deadline && !self.shared.stop.load(Ordering::Relaxed)
        {
            let due = self.pace.due(self.clock.now()).min(self.room());
            let mut last_at = self.published.last_at;
            for _ in 0..due {
                last_at = self.publish()?;
            }
            self.broker.flush()?;
            // Only now: what could not be written was not published.
            self.published = Published { sent: self.pace.sent(), last_at };
            let acknowledged = &mut self.acknowledged;
            self.broker.receive(self.tick, |incoming| {
                *acknowledged += u64::from(matches!(incoming, Incoming::Acknowledged));
            })?;
            // Acknowledgements wake it early; a paced one waits for its tick all the same, to write batches.
            if self.pace.is_paced() && self.scenario.qos > 0 {
                std::thread::sleep(std::time::Duration::from_millis(self.tick.into()));
            }
        }
        Ok(())
    }

    fn room(&mut self) -> u64 {
        let sent = self.pace.sent();
        let unacknowledged = if self.scenario.qos == 0 { 0 } else { sent - self.acknowledged.min(sent) };
        let room = UNACKNOWLEDGED.saturating_sub(unacknowledged);
        if self.pace.is_paced() {
            return room;
        }
        let copies = if self.scenario.fan_out { u64::from(self.scenario.clients) } else { 1 };
        let arrived = self.shared.arrived.load(Ordering::Relaxed) / copies;
        room.min(self.backlog.room(sent, arrived, self.clock.now()))
    }

    /// Adds the next message to the batch: its time.
    fn publish(&mut self) -> Result<u64, Failure> {
        let seq = self.pace.sent_one();
        let client = u32::try_from(seq % u64::from(self.scenario.clients)).unwrap_or(0);
        let now = self.clock.now();
        let Some(topic) = usize::try_from(client).ok().and_then(|client| self.topics.get(client)) else {
            return Ok(now);
        };
        // Fanned out, order is the message's at each receiver, so the stamp's client says nothing.
        Stamp { run: self.run, client, seq, sent_at: now }.write(self.scenario.payload.into(), &mut self.payload);
        let delivery = if self.scenario.qos == 0 {
            Delivery::AtMostOnce
        } else {
            let packet_id = self.packet_id;
            self.packet_id = packet_id.next();
            Delivery::AtLeastOnce { packet_id, dup: false }
        };
        self.broker.publish(topic, &self.payload, delivery)?;
        Ok(now)
    }
}
