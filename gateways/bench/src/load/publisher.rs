//! The downlink's other end: a thread that publishes on the broker.

use crate::clock::Clock;
use crate::failure::Failure;
use crate::load::backlog::Backlog;
use crate::load::broker::{Broker, Incoming};
use crate::load::course::Course;
use crate::load::pace::Pace;
use crate::load::stamp::{Script, Stamp};
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

/// What is to be published.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// By client.
    pub(crate) topics: Vec<String>,
    pub(crate) messages: u64,
    /// A second; 0 for as many as the window lets through.
    pub(crate) rate: u64,
    /// Without a rate: messages published and not yet received.
    pub(crate) window: u16,
    /// 0 or 1.
    pub(crate) qos: u8,
    /// Octets of a payload.
    pub(crate) payload: u16,
    /// Clients that receive each message.
    pub(crate) copies: u64,
    /// How payloads are written.
    pub(crate) script: Script,
}

/// What the broker was given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Published {
    pub(crate) sent: u64,
    /// The clock at the last.
    pub(crate) last_at: u64,
}

impl Publisher {
    pub(crate) fn start(broker: Broker, course: &Course, flow: Flow) -> Self {
        let shared = Arc::new(Shared::default());
        let publishing = Publishing {
            broker,
            shared: Arc::clone(&shared),
            clock: course.clock,
            deadline: course.deadline,
            tick: course.tick,
            run: course.run,
            pace: Pace::new(flow.rate, flow.messages, course.clock.now()),
            backlog: Backlog::new(flow.window.into(), course.clock.now()),
            flow,
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

struct Publishing {
    broker: Broker,
    shared: Arc<Shared>,
    clock: Clock,
    deadline: u64,
    tick: u16,
    run: u32,
    flow: Flow,
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
            if self.pace.is_paced() && self.flow.qos > 0 {
                std::thread::sleep(std::time::Duration::from_millis(self.tick.into()));
            }
        }
        Ok(())
    }

    fn room(&mut self) -> u64 {
        let sent = self.pace.sent();
        let unacknowledged = if self.flow.qos == 0 { 0 } else { sent - self.acknowledged.min(sent) };
        let room = UNACKNOWLEDGED.saturating_sub(unacknowledged);
        if self.pace.is_paced() {
            return room;
        }
        let arrived = self.shared.arrived.load(Ordering::Relaxed) / self.flow.copies.max(1);
        room.min(self.backlog.room(sent, arrived, self.clock.now()))
    }

    /// Adds the next message to the batch: its time.
    fn publish(&mut self) -> Result<u64, Failure> {
        let seq = self.pace.sent_one();
        let client = usize::try_from(seq % (self.flow.topics.len() as u64).max(1)).unwrap_or(0);
        let now = self.clock.now();
        let Some(topic) = self.flow.topics.get(client) else { return Ok(now) };
        let client = u32::try_from(client).unwrap_or(0);
        // Fanned out, order is the message's at each receiver, so the stamp's client says nothing.
        Stamp { run: self.run, client, seq, sent_at: now }.write(
            self.flow.script,
            self.flow.payload.into(),
            &mut self.payload,
        );
        let delivery = if self.flow.qos == 0 {
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
