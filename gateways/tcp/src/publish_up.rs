//! Messages of devices, and how fast they are read: no faster than the broker takes them.

use crate::connection::{Block, Connection, Session, State};
use crate::counts::{Count, refused};
use crate::machine::{Step, Tcp};
use crate::place::Speech;
use bridge_core::Qos;
use bridge_core::downlink::Outcome;
use bridge_core::machine::Cx;
use bridge_core::publication::Publication;
use bridge_core::slab::Key;
use bridge_core::time::Now;
use bridge_core::uplink::{Ending, Refusal, Taken, Token, Uplink};
use codec_rawtcp::{Fault, FromDevice, FromGateway, Turn};

/// All messages of a device are counted, none is told from the others.
const OWED: Token = Token(0);

/// What a device that is in has sent.
enum Said<'a> {
    Message(&'a [u8]),
    Ping,
    Goodbye,
}

impl Tcp {
    /// One frame of a device that is in.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, key: Key, rest: &[u8]) -> Step {
        let Some(connection) = self.table.get_mut(key) else { return Step::Gone };
        let Connection { listener, scan, state: State::Connected(session), since_ms, .. } = connection else {
            return Step::Gone;
        };
        if session.block.is_some() {
            return Step::Blocked;
        }
        *since_ms = cx.now.mono_ms;
        let Some(place) = self.base.places.iter().find(|place| place.listener == *listener) else { return Step::Gone };
        let said = match &place.speech {
            Speech::Emqx { max } => FromDevice::decode(rest, Turn::Connected, *max).and_then(of_device),
            Speech::Plain { framer, .. } => {
                framer.next(scan, rest).map(|frame| frame.map(|(payload, used)| (Said::Message(payload), used)))
            }
        };
        match said {
            Ok(None) => Step::NeedMore,
            Ok(Some((Said::Message(payload), used))) => self.publish(cx, key, payload, used),
            Ok(Some((Said::Ping, used))) => self.on_ping(cx, key, used),
            Ok(Some((Said::Goodbye, _))) => {
                self.base.counts.up(Count::UpDisconnect);
                self.close(cx, key, Ending::Normal);
                Step::Gone
            }
            Err(fault) => self.break_off(cx, key, fault),
        }
    }

    fn on_ping(&mut self, cx: &mut Cx<'_>, key: Key, used: usize) -> Step {
        let Some(connection) = self.table.get(key) else { return Step::Gone };
        if cx.streams.is_full(connection.conn) {
            // Who reads no answers gets none to pile up.
            self.block(cx, key, Block::Output);
            return Step::Blocked;
        }
        let _flow = cx.streams.write(connection.conn, |out| {
            // One octet always fits.
            let _fits = FromGateway::Pong.encode(out);
        });
        self.base.counts.up(Count::UpPing);
        self.base.counts.up(Count::DownPong);
        Step::Took(used)
    }

    fn publish(&mut self, cx: &mut Cx<'_>, key: Key, payload: &[u8], used: usize) -> Step {
        let rules = &self.base.rules;
        let Some(session) = self.table.session_mut(key) else { return Step::Gone };
        let (qos, owes) = (rules.uplink_qos, rules.uplink_qos != Qos::AtMostOnce);
        if owes && session.owed >= rules.max_inflight {
            self.block(cx, key, Block::Owed);
            return Step::Blocked;
        }
        let what = Publication { topic: session.up_topic.as_name(), payload, qos, retain: false, expiry_s: None };
        let token = owes.then_some(OWED);
        match cx.bridge.up(cx.now, session.client, Uplink::Publish { token, what }) {
            Taken::Done => {}
            Taken::Owed => session.owed = session.owed.saturating_add(1),
            Taken::Full if owes => {
                self.block(cx, key, Block::Room);
                return Step::Blocked;
            }
            // At QoS 0 a device is not kept waiting.
            Taken::Full => self.base.counts.up(Count::Congested),
            Taken::Later(until) => {
                self.block(cx, key, Block::Until(until));
                return Step::Blocked;
            }
            Taken::Denied(why) => {
                tell_of_refusal(session, why);
                self.base.counts.up(refused(why));
                if why == (Refusal::NotAuthorised { disconnect: true }) {
                    self.close(cx, key, Ending::NotAuthorised);
                    return Step::Gone;
                }
            }
        }
        self.base.counts.up(Count::UpData);
        Step::Took(used)
    }

    /// The broker has a message, or would not have it.
    pub(crate) fn on_settled(&mut self, cx: &mut Cx<'_>, key: Key, outcome: Outcome) {
        let max = self.base.rules.max_inflight;
        let Some(session) = self.table.session_mut(key) else { return self.settle_for_who_left(cx, key, outcome) };
        session.owed = session.owed.saturating_sub(1);
        let owed = session.owed;
        match outcome {
            Outcome::Acknowledged => {}
            Outcome::Expired => self.base.counts.up(Count::Expired),
            Outcome::Refused(why) => {
                tell_of_refusal(session, why);
                self.base.counts.up(refused(why));
                if why == (Refusal::NotAuthorised { disconnect: true }) {
                    return self.close(cx, key, Ending::NotAuthorised);
                }
            }
        }
        if self.draining && owed == 0 {
            self.close(cx, key, Ending::Drained);
        } else if owed < max {
            self.unblock(cx, key, Block::Owed);
        }
    }

    fn settle_for_who_left(&mut self, cx: &Cx<'_>, key: Key, outcome: Outcome) {
        match outcome {
            Outcome::Acknowledged => {}
            Outcome::Expired => self.base.counts.up(Count::Expired),
            Outcome::Refused(why) => self.base.counts.up(refused(why)),
        }
        if let Some(id) = self.lingering.settle(key) {
            self.disclaim(cx, &id);
        }
    }

    /// The device is not read from now on.
    pub(crate) fn block(&mut self, cx: &mut Cx<'_>, key: Key, why: Block) {
        let Some(connection) = self.table.get_mut(key) else { return };
        let conn = connection.conn;
        let Some(session) = connection.session_mut() else { return };
        if session.block.replace(why).is_none() {
            self.base.gauge(Count::Held, true);
        }
        cx.streams.pause(conn);
        match why {
            Block::Room => self.list_roomless(key),
            Block::Until(until) => self.set_timer(key, until),
            Block::Owed | Block::Output | Block::Drain => {}
        }
    }

    /// Notes who is to be read again once there is room. Who has left meanwhile goes before the list gets long of them.
    fn list_roomless(&mut self, key: Key) {
        if self.roomless.len() > 16 + 2 * self.table.sessions() {
            let table = &self.table;
            self.roomless.retain(|&key| table.session(key).is_some_and(|session| session.block == Some(Block::Room)));
        }
        self.roomless.push(key);
    }

    /// That is no reason any more.
    pub(crate) fn unblock(&mut self, cx: &mut Cx<'_>, key: Key, why: Block) {
        let Some(connection) = self.table.get_mut(key) else { return };
        let conn = connection.conn;
        let Some(session) = connection.session_mut().filter(|session| session.block == Some(why)) else { return };
        session.block = None;
        // While it was not read it could give no sign of life.
        connection.since_ms = cx.now.mono_ms;
        self.base.gauge(Count::Held, false);
        self.renew_timer(cx.now, key);
        cx.streams.resume(conn);
    }

    /// What is left of what a device has sent, after some of it was `taken` or not: the beginning of a frame, or nothing.
    pub(crate) fn note_rest(&mut self, now: Now, key: Key, taken: bool, rest: bool) {
        let Some(connection) = self.table.get_mut(key) else { return };
        if !rest {
            connection.partial_since_ms = None;
        } else if taken || connection.partial_since_ms.is_none() {
            connection.partial_since_ms = Some(now.mono_ms);
            self.renew_timer(now, key);
        }
    }
}

fn of_device<'a>(frame: Option<(FromDevice<'a>, usize)>) -> Result<Option<(Said<'a>, usize)>, Fault> {
    let Some((frame, used)) = frame else { return Ok(None) };
    match frame {
        FromDevice::Data(payload) => Ok(Some((Said::Message(payload), used))),
        FromDevice::Ping => Ok(Some((Said::Ping, used))),
        FromDevice::Disconnect => Ok(Some((Said::Goodbye, used))),
        FromDevice::Connect(_) => Err(Fault::SecondConnect),
    }
}

/// A message of a device is not taken.
fn tell_of_refusal(session: &Session, why: Refusal) {
    let (client_id, topic) = (&*session.id, session.up_topic.as_name().as_str());
    tracing::debug!(protocol = "tcp", client_id, topic, reason = why.reason(), "publication refused");
}
