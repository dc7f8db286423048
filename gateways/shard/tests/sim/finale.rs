//! At the end all is calm, and what happens then happens exactly: wills, publications at QoS −1, and the last stop.

use crate::event::Event;
use crate::plan::pick;
use crate::spots::{How, Spot};
use crate::world::World;
use bridge_core::time::Deadline;
use codec_mqttsn as sn;
use codec_mqttsn::{Message, MsgId, Qos, Topic, TopicId};

impl World {
    pub(crate) fn finale(&mut self) {
        self.wills();
        // Whoever is asked may have to be asked for these first, and once more if they were refused of late.
        for _ in 0..2 {
            self.without_connection();
            self.run_until(self.now + 11_000);
        }
        let sent = self.without_connection();
        self.run_until(self.now + 5000);
        self.checks.arrived(&sent);
        // What was handed over before the stop is at the broker after it.
        let sent = self.without_connection();
        self.run_until(self.now + 10);
        self.restart_for_good();
        self.checks.arrived(&sent);
    }

    /// A client that is lost, or whose place a new session takes, leaves its will; one that moves, or says goodbye, does
    /// not.
    fn wills(&mut self) {
        self.checks.begin_wills();
        for index in (0..self.devices.len()).filter(|index| index % 4 == 0) {
            let has_will = self.devices[index].script.will;
            let spot = self.devices[index].spot.clone();
            // Where connections are the devices' own, the broker judges whether one that takes another's place leaves its will.
            let cases = if self.plan.per_device { 2 } else { 4 };
            let leaves = match pick(&mut self.rng, cases) {
                0 => {
                    self.devices[index].fall_silent();
                    true
                }
                1 => {
                    self.devices[index].fall_silent();
                    self.send(&spot, &Message::Disconnect { duration: None });
                    false
                }
                2 => {
                    self.devices[index].fall_silent();
                    let elsewhere = Spot::own(index, self.devices[index].moves + 3);
                    let client_id = self.devices[index].id.clone();
                    let (will, clean_session, protocol_id, duration) = (false, true, 1, 0);
                    let connect = sn::Connect { will, clean_session, protocol_id, duration, client_id: &client_id };
                    self.send(&elsewhere, &Message::Connect(connect));
                    true
                }
                _ => {
                    let how = [How::Aware, How::Unaware, How::Restarted][pick(&mut self.rng, 3)];
                    self.move_to_lot(index, how);
                    false
                }
            };
            self.checks.expect_will(index, leaves && has_will);
        }
        // Longer than 1.5 × their keep-alive.
        self.run_until(self.now + 150_000);
        self.checks.end_wills(&self.devices);
    }

    /// Publishes at QoS −1, by each kind of name. Returns the numbers of the messages.
    fn without_connection(&mut self) -> Vec<u32> {
        let mut sent = Vec::new();
        for place in 0..20_u16 {
            let (number, name) = self.checks.without_connection(usize::from(place));
            let topic = match place % 3 {
                0 => Topic::Short(*b"ab"),
                1 => Topic::Predefined(TopicId(1)),
                _ => Topic::Inline(name),
            };
            let payload = format!("m {number}").into_bytes();
            let (dup, qos, retain, msg_id) = (false, Qos::MinusOne, false, MsgId(0));
            let publish = sn::Publish { dup, qos, retain, topic, msg_id, payload: &payload };
            self.send(&Spot::own(800, place), &Message::Publish(publish));
            sent.push(number);
        }
        sent
    }

    fn send(&mut self, from: &Spot, message: &Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).expect("short");
        let event = Event::ToShard { from: from.addr, bytes: from.wrap(&bytes) };
        self.timeline.plan(self.now + 1, event);
    }

    fn restart_for_good(&mut self) {
        let until = self.now + 10_000;
        for shard in 0..self.shards.len() {
            let now = self.clock();
            self.shards[shard].shard.drain(now, Deadline(until));
            self.shards[shard].dirty = true;
        }
        self.run_until(until);
        assert!(self.shards.iter().all(|side| side.shard.is_drained()), "the links have not said goodbye");
    }
}
