//! What a device asks the gateway, and asks again.

use super::{Device, Event, Output, State};
use codec_mqttsn::{Connect, Filter, Message, MsgId, Publish, Qos, Register, Subscribe, Topic, TopicId, WillTopic};

/// A message that has an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Connect {
        clean_session: bool,
        will: bool,
    },
    WillTopic,
    WillMsg,
    Register {
        msg_id: MsgId,
    },
    Subscribe {
        msg_id: MsgId,
    },
    /// At QoS 1 and 2.
    Publish {
        msg_id: MsgId,
        topic_id: TopicId,
        payload: String,
    },
    /// PUBREL.
    Release {
        msg_id: MsgId,
        payload: String,
    },
    /// PINGREQ of an active device.
    Ping,
    /// DISCONNECT with a duration.
    Sleep,
    /// PINGREQ with the client id: what is held for the device comes before the answer.
    Fetch,
    /// DISCONNECT.
    Leave,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Request,
    /// When it is sent again, in milliseconds.
    pub(super) due: u64,
    transmissions: u8,
}

impl Request {
    /// The message's name in the specification.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "CONNECT",
            Self::WillTopic => "WILLTOPIC",
            Self::WillMsg => "WILLMSG",
            Self::Register { .. } => "REGISTER",
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Publish { .. } => "PUBLISH",
            Self::Release { .. } => "PUBREL",
            Self::Ping | Self::Fetch => "PINGREQ",
            Self::Sleep | Self::Leave => "DISCONNECT",
        }
    }

    /// CONNACK is still to come.
    pub(super) const fn is_opening(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::WillTopic | Self::WillMsg)
    }
}

impl Device {
    pub(super) fn ask(&mut self, request: Request, now: u64, out: &mut Output) {
        self.transmit(&request, false, now, out);
        let due = now.saturating_add(self.profile.retry_after);
        self.state = State::Asking(Pending { request, due, transmissions: 1 });
    }

    /// The answer is overdue: once more, or, after the last time, the connection counts as lost (§6.13).
    pub(super) fn repeat(&mut self, now: u64, out: &mut Output) {
        let State::Asking(mut pending) = std::mem::replace(&mut self.state, State::Gone) else { return };
        let what = pending.request.name();
        if pending.transmissions >= self.profile.tries {
            out.events.push(Event::Unanswered { what });
            return self.lost(now);
        }
        pending.transmissions += 1;
        pending.due = now.saturating_add(self.profile.retry_after);
        out.events.push(Event::Repeated { what });
        self.transmit(&pending.request, true, now, out);
        self.state = State::Asking(pending);
    }

    fn transmit(&mut self, request: &Request, dup: bool, now: u64, out: &mut Output) {
        let (client_id, qos) = (self.client_id.clone(), self.profile.qos);
        let will = self.profile.will.clone();
        let will_topic =
            will.as_ref().map(|will| WillTopic { qos: Qos::AtLeastOnce, retain: false, topic_name: &will.topic });
        let (topic, command) = (self.topic.clone(), self.command.clone().unwrap_or_default());
        let message = match request {
            Request::Connect { clean_session, will } => Message::Connect(Connect {
                will: *will,
                clean_session: *clean_session,
                protocol_id: 1,
                duration: self.profile.keep_alive,
                client_id: &client_id,
            }),
            Request::WillTopic => Message::WillTopic(will_topic),
            Request::WillMsg => Message::WillMsg { payload: will.as_ref().map_or(&[], |will| will.payload.as_bytes()) },
            Request::Register { msg_id } => {
                Message::Register(Register { topic_id: TopicId(0), msg_id: *msg_id, topic_name: &topic })
            }
            Request::Subscribe { msg_id } => {
                Message::Subscribe(Subscribe { dup, qos, msg_id: *msg_id, filter: Filter::Name(&command) })
            }
            Request::Publish { msg_id, topic_id, payload } => Message::Publish(Publish {
                dup,
                qos,
                retain: false,
                topic: Topic::Normal(*topic_id),
                msg_id: *msg_id,
                payload: payload.as_bytes(),
            }),
            Request::Release { msg_id, .. } => Message::Pubrel { msg_id: *msg_id },
            Request::Ping => Message::Pingreq { client_id: None },
            Request::Sleep => Message::Disconnect { duration: self.profile.sleep },
            Request::Fetch => Message::Pingreq { client_id: Some(&client_id) },
            Request::Leave => Message::Disconnect { duration: None },
        };
        self.send(&message, now, out);
    }
}
