//! What a device makes of what it is sent.

use super::{Ask, Device, Heard, Request, Said, say};
use crate::network::DETOUR_MS;
use crate::plan::{TopicForm, WILL_TOPIC};
use codec_mqttsn as sn;
use codec_mqttsn::{Ack, Message, MsgId, Qos, ReturnCode, Topic, TopicId};

impl Device {
    pub(crate) fn receive(&mut self, now: u64, bytes: &[u8], said: &mut Said) {
        if self.silent || self.is_asleep() {
            return;
        }
        let frame = sn::decode(bytes).unwrap_or_else(|fault| panic!("{} was sent {bytes:02X?}: {fault:?}", self.id));
        if let Some(request) = self.request.as_mut().filter(|request| request.what == Ask::Wake) {
            // PINGRESP comes last: as long as something comes, it waits.
            (request.due, request.tries) = (now + self.script.retry_ms, 0);
        }
        match frame.message {
            Message::Connack { code } => self.on_connack(now, code),
            Message::Regack(ack) => self.on_regack(now, ack),
            Message::Suback(ack) => self.on_suback(now, ack),
            Message::Puback(ack) => self.on_puback(now, ack, said),
            Message::Pubrec { msg_id } => {
                if let Some(flight) = self.flights.iter_mut().find(|flight| flight.msg_id == msg_id) {
                    (flight.released, flight.tries, flight.due) = (true, 0, now + self.script.retry_ms);
                }
                say(said, &Message::Pubrel { msg_id });
            }
            Message::Pubcomp { msg_id } => self.flights.retain(|f| f.msg_id != msg_id || !f.released),
            Message::WillTopicReq | Message::WillMsgReq => self.tell_will(now, &frame.message, said),
            Message::Register(register) => {
                let (topic_id, msg_id) = (register.topic_id, register.msg_id);
                self.names.insert(topic_id, register.topic_name.to_owned());
                say(said, &Message::Regack(Ack { topic_id, msg_id, code: ReturnCode::Accepted }));
            }
            Message::Publish(publish) => self.on_publish(now, &publish, said),
            Message::Pubrel { msg_id } => {
                if self.open.remove(&msg_id) {
                    self.closed.push_back((msg_id, now + 2 * DETOUR_MS));
                }
                say(said, &Message::Pubcomp { msg_id });
            }
            Message::Pingresp if self.waits_for(Ask::Wake) => self.doze(now),
            Message::Pingresp => self.answered(|request| request.what == Ask::Ping),
            Message::Disconnect { .. } if self.waits_for(Ask::Sleep) => self.doze(now),
            // One that was meant for an earlier connection does no harm: it connects again.
            Message::Disconnect { .. } if self.connected => self.reconnect(now),
            Message::Disconnect { .. } => {}
            other => panic!("{} was sent {other:?}", self.id),
        }
    }

    /// Its will, while it is connecting.
    fn tell_will(&mut self, now: u64, asked: &Message<'_>, said: &mut Said) {
        let Some(request) = self.request.as_mut().filter(|request| request.what == Ask::Connect) else { return };
        (request.due, request.tries) = (now + self.script.retry_ms, 0);
        let payload = format!("w {}", self.id.trim_start_matches('d')).into_bytes();
        let will = sn::WillTopic { qos: Qos::AtLeastOnce, retain: false, topic_name: WILL_TOPIC };
        match asked {
            Message::WillTopicReq => say(said, &Message::WillTopic(Some(will))),
            _ => say(said, &Message::WillMsg { payload: &payload }),
        }
    }

    fn waits_for(&self, what: Ask) -> bool {
        self.request.as_ref().is_some_and(|request| request.what == what)
    }

    fn answered(&mut self, fits: impl Fn(&Request) -> bool) {
        self.request.take_if(|request| fits(request));
    }

    fn on_connack(&mut self, now: u64, code: ReturnCode) {
        let Some(request) = self.request.as_mut().filter(|request| request.what == Ask::Connect) else { return };
        if code == ReturnCode::Accepted {
            self.request = None;
            self.connected = true;
        } else {
            request.due = now + 2 * self.script.retry_ms;
        }
    }

    fn on_regack(&mut self, now: u64, ack: Ack) {
        let Some(Ask::Register(topic)) = self.take_request(ack.msg_id) else { return };
        assert_eq!(ack.code, ReturnCode::Accepted, "{} may register", self.id);
        if now < self.distrusts_until {
            return;
        }
        self.topic_ids[topic] = Some(ack.topic_id);
        self.granted_at = now;
        if let TopicForm::Name(name) = &self.script.topics[topic] {
            self.names.insert(ack.topic_id, name.clone());
        }
        for flight in self.flights.iter_mut().filter(|flight| !flight.sent) {
            flight.due = now;
        }
    }

    fn on_suback(&mut self, now: u64, ack: sn::Suback) {
        let Some(request) = self.request.as_mut().filter(|request| request.msg_id == ack.msg_id) else { return };
        let Ask::Subscribe(filter) = request.what else { return };
        if ack.code == ReturnCode::Congestion {
            request.due = now + self.script.retry_ms;
            return;
        }
        let (name, qos) = &self.script.filters[filter];
        assert_eq!((ack.code, ack.qos), (ReturnCode::Accepted, *qos), "{} may subscribe to {name}", self.id);
        self.request = None;
        if now < self.distrusts_until {
            return;
        }
        (self.subscribed[filter], self.standing[filter], self.granted_at) = (true, true, now);
        if ack.topic_id != TopicId(0) {
            self.names.insert(ack.topic_id, name.clone());
        }
    }

    fn take_request(&mut self, msg_id: MsgId) -> Option<Ask> {
        self.request.take_if(|request| request.msg_id == msg_id).map(|request| request.what)
    }

    fn on_puback(&mut self, now: u64, ack: Ack, said: &mut Said) {
        if ack.code == ReturnCode::InvalidTopicId {
            for id in self.topic_ids.iter_mut().filter(|id| **id == Some(ack.topic_id)) {
                *id = None;
            }
        }
        let Some(place) = self.flights.iter().position(|f| f.msg_id == ack.msg_id && !f.released) else { return };
        let flight = &mut self.flights[place];
        let exactly_once = self.script.messages[flight.seq].qos == Qos::ExactlyOnce;
        match ack.code {
            ReturnCode::Accepted => {
                assert!(!exactly_once, "{}: PUBACK of a QoS 2 message", self.id);
                self.flights.remove(place);
            }
            ReturnCode::Congestion => {
                flight.due = now + self.script.retry_ms + self.rng.below(self.script.retry_ms);
                flight.tries = 0;
            }
            ReturnCode::InvalidTopicId => (flight.due, flight.tries) = (now + self.script.retry_ms, 0),
            ReturnCode::NotSupported | ReturnCode::Other(_) => {
                said.given_up.push(flight.seq);
                self.flights.remove(place);
            }
        }
    }

    fn on_publish(&mut self, now: u64, publish: &sn::Publish<'_>, said: &mut Said) {
        let name = match publish.topic {
            Topic::Normal(id) => self.names.get(&id).cloned(),
            Topic::Short(octets) => String::from_utf8(octets.to_vec()).ok(),
            Topic::Predefined(_) | Topic::Inline(_) | Topic::Reserved(_) => None,
        };
        let msg_id = publish.msg_id;
        while self.closed.pop_front_if(|(_, until)| *until < now).is_some() {}
        let taken = self.open.contains(&msg_id) || self.closed.iter().any(|(closed, _)| *closed == msg_id);
        if publish.qos == Qos::ExactlyOnce && taken {
            say(said, &Message::Pubrec { msg_id });
            return;
        }
        // A copy of what was refused comes late: it is refused again, though the id is known by now.
        if name.is_none() || self.refused.contains(&msg_id) {
            if publish.qos != Qos::AtMostOnce {
                self.refused.insert(msg_id);
            }
            let Topic::Normal(topic_id) = publish.topic else { panic!("{} was sent {publish:?}", self.id) };
            say(said, &Message::Puback(Ack { topic_id, msg_id, code: ReturnCode::InvalidTopicId }));
            return;
        }
        match publish.qos {
            Qos::ExactlyOnce => {
                self.open.insert(msg_id);
                say(said, &Message::Pubrec { msg_id });
            }
            Qos::AtLeastOnce => {
                let topic_id = if let Topic::Normal(id) = publish.topic { id } else { TopicId(0) };
                say(said, &Message::Puback(Ack { topic_id, msg_id, code: ReturnCode::Accepted }));
            }
            Qos::AtMostOnce | Qos::MinusOne => {}
        }
        said.messages.push(Heard { topic: name, payload: publish.payload.to_vec() });
    }
}
