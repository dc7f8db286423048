//! The will: its dialogue between CONNECT and CONNACK, and its updates (MQTT-SN 1.2 §6.3, §6.4).

use crate::attachment::dismiss;
use crate::base::{Base, Due};
use crate::counts::Count;
use crate::session::{Came, Session, State};
use bridge_core::Qos;
use bridge_core::machine::Cx;
use bridge_core::publication::{Publication, Stored};
use bridge_core::slab::Key;
use bridge_core::time::Now;
use bridge_core::topic::{TopicBuf, TopicName};
use bridge_core::uplink::{OwnLink, Taken, Uplink};
use bridge_core::wheel::TimerId;
use codec_mqttsn as sn;
use codec_mqttsn::{Message, ReturnCode};

/// What a session is in until the client has told its will.
#[derive(Debug)]
pub(crate) struct Dialogue {
    /// What the client was in when it came with this CONNECT.
    pub(crate) came: Came,
    /// Its own MQTT connection, made for this CONNECT: to be taken up when all is said.
    link: Option<OwnLink>,
    /// Told already, and kept when CONNECT comes once more: either answer may still be on its way.
    topic: Option<WillHead>,
    asks: Asks,
    tries: u8,
    timer: TimerId,
}

/// What was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Topic,
    Message,
}

/// All of a will but its payload.
#[derive(Debug)]
struct WillHead {
    topic: TopicBuf,
    qos: Qos,
    retain: bool,
}

/// What an answer of the client leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Told {
    /// Nothing yet.
    Goes,
    /// The will is told: CONNACK may go.
    Complete,
    /// A topic that MQTT cannot carry: CONNACK says no.
    Refused,
}

impl Dialogue {
    pub(crate) const fn timer(&self) -> TimerId {
        self.timer
    }

    const fn request(&self) -> Message<'static> {
        match self.asks {
            Asks::Topic => Message::WillTopicReq,
            Asks::Message => Message::WillMsgReq,
        }
    }
}

impl Session {
    /// Opens the dialogue, or goes back to its beginning when CONNECT is repeated within it.
    pub(crate) fn ask_will(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, link: Option<OwnLink>) {
        let timer = base.retry(cx.now, key, Due::Will);
        if let State::Connecting(dialogue) = &mut self.state {
            base.wheel.cancel(dialogue.timer);
            (dialogue.asks, dialogue.tries, dialogue.timer) = (Asks::Topic, 0, timer);
            dismiss(cx, std::mem::replace(&mut dialogue.link, link));
        } else {
            let dialogue = Dialogue { came: self.came(), link, topic: None, asks: Asks::Topic, tries: 0, timer };
            self.enter(base, State::Connecting(Box::new(dialogue)));
        }
        base.say(cx, self.address.at(), &Message::WillTopicReq);
    }

    /// The MQTT connection that waits for the end of the dialogue, taken out of it.
    pub(crate) fn take_link(&mut self) -> Option<OwnLink> {
        match &mut self.state {
            State::Connecting(dialogue) => dialogue.link.take(),
            State::Active { .. } | State::Asleep(_) | State::Awake(_) | State::Away { .. } => None,
        }
    }

    /// True while such a connection waits.
    pub(crate) fn has_newer_link(&self) -> bool {
        matches!(&self.state, State::Connecting(dialogue) if dialogue.link.is_some())
    }

    /// Ends the dialogue's timer, and the connection that waits for its end, whatever the dialogue came to.
    pub(crate) fn close_dialogue(&mut self, base: &mut Base, cx: &mut Cx<'_>) {
        if let State::Connecting(dialogue) = &mut self.state {
            base.wheel.cancel(dialogue.timer);
            dismiss(cx, dialogue.link.take());
        }
    }

    /// WILLTOPIC: WILLMSGREQ follows; without a topic the stored will goes, and CONNACK follows.
    pub(crate) fn on_will_topic(
        &mut self,
        base: &mut Base,
        cx: &mut Cx<'_>,
        key: Key,
        will: Option<sn::WillTopic<'_>>,
    ) -> Told {
        let State::Connecting(dialogue) = &mut self.state else {
            base.counts.up(Count::OutOfPlace);
            return Told::Goes;
        };
        let Some(will) = will.filter(|will| !will.topic_name.is_empty()) else {
            self.will = None;
            return Told::Complete;
        };
        let Ok(head) = head(&will) else {
            base.counts.up(Count::BadTopic);
            return Told::Refused;
        };
        base.wheel.cancel(dialogue.timer);
        dialogue.topic = Some(head);
        (dialogue.asks, dialogue.tries, dialogue.timer) = (Asks::Message, 0, base.retry(cx.now, key, Due::Will));
        base.say(cx, self.address.at(), &Message::WillMsgReq);
        Told::Goes
    }

    /// WILLMSG: the will is complete.
    pub(crate) fn on_will_message(&mut self, base: &Base, now: Now, payload: &[u8]) -> Told {
        let State::Connecting(dialogue) = &mut self.state else {
            base.counts.up(Count::OutOfPlace);
            return Told::Goes;
        };
        let Some(head) = dialogue.topic.take() else {
            base.counts.up(Count::OutOfPlace);
            return Told::Goes;
        };
        self.will = Some(stored(&head, payload, now));
        Told::Complete
    }

    /// The request was not answered in time. False when it was sent often enough.
    pub(crate) fn ask_will_again(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) -> bool {
        let State::Connecting(dialogue) = &mut self.state else { return true };
        if base.wheel.is_armed(dialogue.timer) {
            return true;
        }
        if dialogue.tries >= base.rules.max_retries {
            return false;
        }
        dialogue.tries = dialogue.tries.saturating_add(1);
        dialogue.timer = base.retry(cx.now, key, Due::Will);
        base.say(cx, self.address.at(), &dialogue.request());
        true
    }

    /// WILLTOPICUPD: another topic for the will, or no will any more. A will that it begins has no payload yet.
    pub(crate) fn on_will_topic_update(&mut self, base: &Base, cx: &mut Cx<'_>, will: Option<sn::WillTopic<'_>>) {
        let code = match will.filter(|will| !will.topic_name.is_empty()).map(|will| head(&will)) {
            None => {
                self.will = None;
                self.declare_will(base, cx);
                ReturnCode::Accepted
            }
            Some(Ok(head)) => {
                let old = self.will.as_ref().and_then(|will| will.view(cx.now));
                self.will = Some(stored(&head, old.map_or(&[], |old| old.payload), cx.now));
                self.declare_will(base, cx);
                ReturnCode::Accepted
            }
            Some(Err(())) => {
                base.counts.up(Count::BadTopic);
                ReturnCode::NotSupported
            }
        };
        base.say(cx, self.address.at(), &Message::WillTopicResp { code });
    }

    /// WILLMSGUPD: another payload for the will, if there is one.
    pub(crate) fn on_will_message_update(&mut self, base: &Base, cx: &mut Cx<'_>, payload: &[u8]) {
        let changed = self.will.as_ref().and_then(|will| {
            let old = will.view(cx.now)?;
            Some(Box::new(Stored::copy(&Publication { payload, ..old }, cx.now)))
        });
        let code = if changed.is_some() { ReturnCode::Accepted } else { ReturnCode::NotSupported };
        if let Some(will) = changed {
            self.will = Some(will);
            self.declare_will(base, cx);
        } else {
            base.counts.up(Count::OutOfPlace);
        }
        base.say(cx, self.address.at(), &Message::WillMsgResp { code });
    }

    /// Tells the broker side of the will, or that there is none any more.
    pub(crate) fn declare_will(&self, base: &Base, cx: &mut Cx<'_>) {
        let will = self.will.as_ref().and_then(|will| will.view(cx.now));
        self.tell(base, cx, Uplink::SetWill(will));
    }

    /// Publishes the will of a client that is lost.
    pub(crate) fn publish_will(&self, base: &Base, cx: &mut Cx<'_>) {
        let Some(client) = self.client else { return };
        let Some(what) = self.will.as_ref().and_then(|will| will.view(cx.now)) else { return };
        match cx.bridge.up(cx.now, client, Uplink::PublishWill(what)) {
            Taken::Done | Taken::Owed => base.counts.up(Count::Wills),
            Taken::Full | Taken::Later(_) | Taken::Denied(_) => base.counts.up(Count::WillsLost),
        }
    }
}

fn head(will: &sn::WillTopic<'_>) -> Result<WillHead, ()> {
    let topic = TopicName::try_from(will.topic_name).map_err(|_fault| ())?;
    Ok(WillHead { topic: topic.into(), qos: qos_up(will.qos).unwrap_or_default(), retain: will.retain })
}

fn stored(head: &WillHead, payload: &[u8], now: Now) -> Box<Stored> {
    let topic = head.topic.as_name();
    Box::new(Stored::copy(&Publication { topic, payload, qos: head.qos, retain: head.retain, expiry_s: None }, now))
}

/// MQTT's word for the QoS; −1 has none.
pub(crate) const fn qos_up(qos: sn::Qos) -> Option<Qos> {
    match qos {
        sn::Qos::AtMostOnce => Some(Qos::AtMostOnce),
        sn::Qos::AtLeastOnce => Some(Qos::AtLeastOnce),
        sn::Qos::ExactlyOnce => Some(Qos::ExactlyOnce),
        sn::Qos::MinusOne => None,
    }
}

/// MQTT-SN's word for the QoS.
pub(crate) const fn qos_down(qos: Qos) -> sn::Qos {
    match qos {
        Qos::AtMostOnce => sn::Qos::AtMostOnce,
        Qos::AtLeastOnce => sn::Qos::AtLeastOnce,
        Qos::ExactlyOnce => sn::Qos::ExactlyOnce,
    }
}
