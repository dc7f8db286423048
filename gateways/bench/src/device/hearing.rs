//! What a device does with the gateway's messages.

use super::request::Request;
use super::{Device, Event, MAX_NAMES, MAX_UNRELEASED, Output, State};
use codec_mqttsn::{Ack, Message, MsgId, Publish, Qos, Register, ReturnCode, Suback, Topic, TopicId, decode};

impl Device {
    /// Takes one datagram. What is malformed, what it did not ask for, and all that comes while it sleeps or has no session
    /// is dropped.
    pub(crate) fn handle_datagram(&mut self, now: u64, datagram: &[u8], out: &mut Output) {
        let Ok(frame) = decode(datagram) else { return };
        if !matches!(self.state, State::Asking(_) | State::Active) {
            return;
        }
        self.last_heard = now;
        if let State::Asking(pending) = &mut self.state
            && pending.request == Request::Fetch
        {
            // What is held comes first, one by one: PINGRESP is not overdue while it does.
            pending.due = now.saturating_add(self.profile.retry_after);
        }
        match frame.message {
            Message::Connack { code } => self.on_connack(code, now, out),
            Message::WillTopicReq if self.asks(Request::is_opening) => self.ask(Request::WillTopic, now, out),
            Message::WillMsgReq if self.asks(Request::is_opening) => self.ask(Request::WillMsg, now, out),
            Message::Regack(ack) => self.on_regack(&ack, now, out),
            Message::Suback(suback) => self.on_suback(&suback, now, out),
            Message::Puback(ack) => self.on_puback(&ack, now, out),
            Message::Pubrec { msg_id } => self.on_pubrec(msg_id, now, out),
            Message::Pubcomp { msg_id } => self.on_pubcomp(msg_id, now, out),
            Message::Pingresp => self.on_pingresp(now, out),
            Message::Disconnect { .. } => self.on_disconnect(now, out),
            Message::Register(register) => self.on_register(&register, now, out),
            Message::Publish(publish) => self.on_publish(&publish, now, out),
            Message::Pubrel { msg_id } => {
                self.unreleased.retain(|unreleased| *unreleased != msg_id);
                self.send(&Message::Pubcomp { msg_id }, now, out);
            }
            _ => {}
        }
    }

    fn asks(&self, is_it: impl Fn(&Request) -> bool) -> bool {
        matches!(&self.state, State::Asking(pending) if is_it(&pending.request))
    }

    fn on_connack(&mut self, code: ReturnCode, now: u64, out: &mut Output) {
        if !self.asks(Request::is_opening) {
            return;
        }
        if code != ReturnCode::Accepted {
            out.events.push(Event::Refused { what: "CONNECT", code: code.into() });
            return self.lost(now);
        }
        self.is_known = true;
        self.is_done = false;
        out.events.push(Event::Connected);
        self.proceed(now, out);
    }

    fn on_regack(&mut self, ack: &Ack, now: u64, out: &mut Output) {
        if !self.asks(|request| *request == Request::Register { msg_id: ack.msg_id }) {
            return;
        }
        if ack.code == ReturnCode::Accepted {
            self.topic_id = Some(ack.topic_id);
            self.proceed(now, out);
        } else {
            out.events.push(Event::Refused { what: "REGISTER", code: ack.code.into() });
            self.reading_ended(now, out);
        }
    }

    fn on_suback(&mut self, suback: &Suback, now: u64, out: &mut Output) {
        if !self.asks(|request| *request == Request::Subscribe { msg_id: suback.msg_id }) {
            return;
        }
        // Refused, it is not asked for again in this session.
        self.is_subscribed = true;
        let filter = self.command.clone().unwrap_or_default();
        if suback.code == ReturnCode::Accepted {
            if suback.topic_id != TopicId(0) {
                self.names.insert(suback.topic_id.0, filter.clone());
            }
            out.events.push(Event::Subscribed { filter });
        } else {
            out.events.push(Event::Refused { what: "SUBSCRIBE", code: suback.code.into() });
        }
        self.proceed(now, out);
    }

    fn on_puback(&mut self, ack: &Ack, now: u64, out: &mut Output) {
        let is_refused = ack.code != ReturnCode::Accepted;
        if ack.code == ReturnCode::InvalidTopicId && self.topic_id == Some(ack.topic_id) {
            // The gateway has forgotten it: the next reading registers anew.
            self.topic_id = None;
        }
        let State::Asking(pending) = &self.state else {
            // At QoS 0 a refusal comes to nobody who waits for it.
            if is_refused {
                out.events.push(Event::Refused { what: "PUBLISH", code: ack.code.into() });
            }
            return;
        };
        match &pending.request {
            Request::Publish { msg_id, .. } if *msg_id == ack.msg_id && is_refused => {
                out.events.push(Event::Refused { what: "PUBLISH", code: ack.code.into() });
                self.reading_ended(now, out);
            }
            Request::Publish { msg_id, payload, .. }
                if *msg_id == ack.msg_id && self.profile.qos == Qos::AtLeastOnce =>
            {
                let payload = payload.clone();
                self.published(payload, now, out);
            }
            _ => {}
        }
    }

    fn on_pubrec(&mut self, msg_id: MsgId, now: u64, out: &mut Output) {
        let State::Asking(pending) = &self.state else { return };
        match &pending.request {
            Request::Publish { msg_id: asked, payload, .. } if *asked == msg_id => {
                let payload = payload.clone();
                self.ask(Request::Release { msg_id, payload }, now, out);
            }
            // A repetition: PUBREL was lost.
            Request::Release { msg_id: asked, .. } if *asked == msg_id => {
                self.send(&Message::Pubrel { msg_id }, now, out);
            }
            _ => {}
        }
    }

    fn on_pubcomp(&mut self, msg_id: MsgId, now: u64, out: &mut Output) {
        let State::Asking(pending) = &self.state else { return };
        if let Request::Release { msg_id: asked, payload } = &pending.request
            && *asked == msg_id
        {
            let payload = payload.clone();
            self.published(payload, now, out);
        }
    }

    fn on_pingresp(&mut self, now: u64, out: &mut Output) {
        if self.asks(|request| *request == Request::Ping) {
            self.proceed(now, out);
        } else if self.asks(|request| *request == Request::Fetch) {
            if now >= self.next_reading {
                // Active again (§6.14), with the session as it is.
                self.ask(Request::Connect { clean_session: false, will: false }, now, out);
            } else {
                self.fall_asleep(now, out);
            }
        }
    }

    fn on_disconnect(&mut self, now: u64, out: &mut Output) {
        if self.asks(|request| *request == Request::Sleep) {
            self.fall_asleep(now, out);
        } else if self.asks(|request| *request == Request::Leave) {
            out.events.push(Event::Left);
            self.state = State::Gone;
        } else {
            out.events.push(Event::Disconnected);
            self.lost(now);
        }
    }

    fn fall_asleep(&mut self, now: u64, out: &mut Output) {
        let seconds = self.profile.sleep.unwrap_or_default();
        out.events.push(Event::FellAsleep { seconds });
        self.state = State::Asleep { until: now.saturating_add(u64::from(seconds) * 1000) };
    }

    fn on_register(&mut self, register: &Register<'_>, now: u64, out: &mut Output) {
        let (topic_id, msg_id) = (register.topic_id, register.msg_id);
        let has_room = self.names.len() < MAX_NAMES || self.names.contains_key(&topic_id.0);
        let code = if has_room {
            self.names.insert(topic_id.0, register.topic_name.to_owned());
            if register.topic_name == self.topic {
                self.topic_id = Some(topic_id);
            }
            ReturnCode::Accepted
        } else {
            ReturnCode::Congestion
        };
        self.send(&Message::Regack(Ack { topic_id, msg_id, code }), now, out);
    }

    fn on_publish(&mut self, publish: &Publish<'_>, now: u64, out: &mut Output) {
        let msg_id = publish.msg_id;
        let (topic, topic_id) = match publish.topic {
            Topic::Normal(id) => (self.names.get(&id.0).cloned(), id),
            Topic::Predefined(id) => (Some(format!("#{}", id.0)), id),
            Topic::Short(name) => {
                (Some(String::from_utf8_lossy(&name).into_owned()), TopicId(u16::from_be_bytes(name)))
            }
            Topic::Reserved(_) | Topic::Inline(_) => return,
        };
        let Some(topic) = topic else {
            // The gateway registers it and sends the message again.
            let code = ReturnCode::InvalidTopicId;
            return self.send(&Message::Puback(Ack { topic_id, msg_id, code }), now, out);
        };
        let is_new = match publish.qos {
            Qos::AtMostOnce | Qos::MinusOne => true,
            Qos::AtLeastOnce => {
                self.send(&Message::Puback(Ack { topic_id, msg_id, code: ReturnCode::Accepted }), now, out);
                true
            }
            Qos::ExactlyOnce => {
                self.send(&Message::Pubrec { msg_id }, now, out);
                self.remember(msg_id)
            }
        };
        if is_new {
            let (payload, qos) = (publish.payload.to_vec(), publish.qos);
            out.events.push(Event::Received { topic, payload, qos, retain: publish.retain, dup: publish.dup });
        }
    }

    /// Notes a publication of QoS 2. False if it was there.
    fn remember(&mut self, msg_id: MsgId) -> bool {
        if self.unreleased.contains(&msg_id) {
            return false;
        }
        if self.unreleased.len() >= MAX_UNRELEASED {
            self.unreleased.pop_front();
        }
        self.unreleased.push_back(msg_id);
        true
    }
}
