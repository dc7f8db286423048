//! Scenario `down`: an MQTT client publishes, the clients that subscribed count.

use crate::args::{Common, Down};
use crate::backlog::Backlog;
use crate::broker::{Broker, Incoming};
use crate::failure::Failure;
use crate::fleet::{Fleet, Inbox};
use crate::pace::Pace;
use crate::report::{Report, per_second};
use crate::rig::{Clock, Rig};
use crate::stamp::Stamp;
use crate::tally::Tally;
use codec_mqtt::{Delivery, PacketId};
use codec_mqttsn::{Ack, Message, Publish, Qos, ReturnCode, Topic, TopicId, decode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// # Errors
/// [`Failure`] if a client gets no session or no subscription, or the publisher is cut off.
pub(crate) fn run(common: &Common, scenario: &Down) -> Result<Report, Failure> {
    let mut rig = Rig::open(common, scenario.clients)?;
    let copies = if scenario.fan_out { u64::from(scenario.clients) } else { 1 };
    let expected = scenario.messages.saturating_mul(copies);
    if expected > MOST_ARRIVALS {
        return Err(Failure::Usage(format!("{expected} arrivals; at most {MOST_ARRIVALS} are counted")));
    }
    let qos = if scenario.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
    let broker = Broker::connect(common.broker, &format!("load-{:x}-down", rig.run))?;
    rig.connect_all(KEEP_ALIVE)?;
    rig.subscribe_all(qos, |client| topic_of(&scenario.topic, scenario.fan_out, client))?;

    let before = rig.watch.sample()?;
    let started_at = rig.clock.now();
    let publisher = Publisher::start(broker, &rig, scenario);
    let mut receiver = Receiver::new(&rig, scenario, expected);
    let outcome = receiver.receive(&mut rig, &publisher, expected);
    let after = rig.watch.sample()?;
    let published = publisher.finish()?;
    outcome?;

    let tally = &receiver.tally;
    let mut report = Report::new("down");
    report.count("qos", scenario.qos);
    report.count("clients", scenario.clients);
    report.count("copies", copies);
    report.count("payload", scenario.payload);
    report.count("tick_ms", rig.tick);
    report.flag("exact_latency", common.exact_latency || scenario.rate == 0);
    report.count("offered_rate", scenario.rate);
    report.figure("published_rate", per_second(published.sent, published.last_at.saturating_sub(started_at)), "/s");
    report.figure("arrival_rate", per_second(tally.arrived, tally.last_at.saturating_sub(started_at)), "/s");
    report.count("messages", scenario.messages);
    report.count("published", published.sent);
    report.arrivals(tally, published.sent.saturating_mul(copies));
    report.count("marked_dup", receiver.marked_dup);
    report.count("registered", receiver.registered);
    report.count("disconnected", receiver.disconnected);
    report.cost(&rig.watch.spent(&before, &after), published.sent.saturating_mul(copies));
    rig.disconnect()?;
    Ok(report)
}

/// In seconds: longer than any run.
const KEEP_ALIVE: u16 = 7200;
/// One bit each.
const MOST_ARRIVALS: u64 = 8_000_000_000;
/// QoS 1 publications that the broker has not acknowledged, at most.
const UNACKNOWLEDGED: u64 = 1000;

fn topic_of(topic: &str, fan_out: bool, client: u32) -> String {
    if fan_out { format!("{topic}/all") } else { format!("{topic}/{client}") }
}

/// The clients' side.
struct Receiver {
    tally: Tally,
    fan_out: bool,
    is_paced: bool,
    messages: u64,
    marked_dup: u64,
    registered: u64,
    disconnected: u64,
}

impl Receiver {
    fn new(rig: &Rig, scenario: &Down, expected: u64) -> Self {
        Self {
            tally: Tally::new(rig.run, scenario.clients, expected),
            fan_out: scenario.fan_out,
            is_paced: scenario.rate != 0,
            messages: scenario.messages,
            marked_dup: 0,
            registered: 0,
            disconnected: 0,
        }
    }

    /// Until all has arrived, or nothing has for the quiet time after the last publication.
    fn receive(&mut self, rig: &mut Rig, publisher: &Publisher, expected: u64) -> Result<(), Failure> {
        let rest = rig.rest(self.is_paced);
        let mut quiet_since = rig.clock.now();
        while self.tally.arrived < expected {
            let Rig { fleet, inbox, clock, .. } = rig;
            let more = fleet.receive(inbox)?;
            let now = clock.now();
            let arrived = self.tally.arrived;
            self.take(fleet, inbox, now)?;
            publisher.shared.arrived.store(self.tally.arrived, Ordering::Relaxed);
            // Without a rate the publisher itself waits for arrivals, so it is no reason to.
            if self.tally.arrived != arrived || (self.is_paced && !publisher.thread.is_finished()) {
                quiet_since = now;
            }
            if now >= rig.deadline || now.saturating_sub(quiet_since) > rig.quiet() {
                break;
            }
            if !more {
                // Asleep until the tick is over, then until something comes: arrivals are read in batches.
                std::thread::sleep(rest);
                rig.wait()?;
            }
        }
        Ok(())
    }

    fn take(&mut self, fleet: &mut Fleet, inbox: &Inbox, now: u64) -> Result<(), Failure> {
        for (client, datagram) in inbox.iter() {
            let Ok(frame) = decode(datagram) else { continue };
            match frame.message {
                Message::Publish(publish) => self.on_publish(fleet, client, &publish, now)?,
                Message::Register(register) => {
                    self.registered += 1;
                    let (topic_id, msg_id) = (register.topic_id, register.msg_id);
                    fleet.send(client, &Message::Regack(Ack { topic_id, msg_id, code: ReturnCode::Accepted }))?;
                }
                Message::Disconnect { .. } => self.disconnected += 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn on_publish(&mut self, fleet: &mut Fleet, client: u32, publish: &Publish<'_>, now: u64) -> Result<(), Failure> {
        // Fanned out, a message has a place for each receiver; else the receiver must be the one it is meant for.
        let place = (client, if self.fan_out { u64::from(client) * self.messages } else { 0 });
        let is_mine = self.fan_out || Stamp::read(publish.payload).is_some_and(|stamp| stamp.client == client);
        if is_mine {
            self.tally.arrive(publish.payload, Some(place), now);
        } else {
            self.tally.foreign += 1;
        }
        self.marked_dup += u64::from(publish.dup);
        if publish.qos != Qos::AtLeastOnce {
            return Ok(());
        }
        let topic_id = match publish.topic {
            Topic::Normal(id) | Topic::Predefined(id) => id,
            Topic::Short(name) | Topic::Reserved(name) => TopicId(u16::from_be_bytes(name)),
            Topic::Inline(_) => TopicId(0),
        };
        fleet.send(client, &Message::Puback(Ack { topic_id, msg_id: publish.msg_id, code: ReturnCode::Accepted }))
    }
}

/// The broker's side, a thread of its own.
struct Publisher {
    thread: JoinHandle<Result<Published, Failure>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    arrived: AtomicU64,
    stop: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Published {
    sent: u64,
    last_at: u64,
}

impl Publisher {
    fn start(broker: Broker, rig: &Rig, scenario: &Down) -> Self {
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
            published: Published { sent: 0, last_at: 0 },
        };
        Self { thread: std::thread::spawn(move || publishing.run()), shared }
    }

    fn finish(self) -> Result<Published, Failure> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(Failure::Broker("the publisher panicked".into())))
    }
}

fn mounted(scenario: &Down, client: u32) -> String {
    format!("{}{}", scenario.mountpoint, topic_of(&scenario.topic, scenario.fan_out, client))
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
    fn run(mut self) -> Result<Published, Failure> {
        while !self.pace.is_finished() && self.clock.now() < self.deadline && !self.shared.stop.load(Ordering::Relaxed)
        {
            let due = self.pace.due(self.clock.now()).min(self.room());
            for _ in 0..due {
                self.publish()?;
            }
            self.broker.flush()?;
            let acknowledged = &mut self.acknowledged;
            self.broker.receive(self.tick, |incoming| {
                *acknowledged += u64::from(matches!(incoming, Incoming::Acknowledged));
            })?;
            // Acknowledgements wake it early; a paced one waits for its tick all the same, to write batches.
            if self.pace.is_paced() && self.scenario.qos > 0 {
                std::thread::sleep(std::time::Duration::from_millis(self.tick.into()));
            }
        }
        Ok(self.published)
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

    fn publish(&mut self) -> Result<(), Failure> {
        let seq = self.pace.sent_one();
        let client = u32::try_from(seq % u64::from(self.scenario.clients)).unwrap_or(0);
        let Some(topic) = usize::try_from(client).ok().and_then(|client| self.topics.get(client)) else {
            return Ok(());
        };
        let now = self.clock.now();
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
        self.published = Published { sent: self.pace.sent(), last_at: now };
        Ok(())
    }
}
