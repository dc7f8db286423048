//! Who a device is: CONNECT, or what stands for it where devices say none.

use crate::base::{Base, VERSION};
use crate::config::Naming;
use crate::connect::Claimant;
use crate::connection::Connection;
use crate::counts::{Count, malformed};
use crate::machine::{Step, Tcp};
use crate::place::Speech;
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::uplink::{Ending, Refusal};
use codec_rawtcp::{Connect, Fault, FromDevice, FromGateway, ReturnCode, Turn};
use regex_lite::Regex;
use std::borrow::Cow;

/// Versions of the protocol: EMQ X's manual says 1, and its examples have 0.
const VERSIONS: [u8; 2] = [0, 1];

/// How a first frame names its device.
enum Named {
    /// As this. So many octets are done with then: a frame that is a message, too, is left.
    As(Box<str>, usize),
    /// Not at all.
    Not,
    /// It is not all there.
    Later,
}

impl Tcp {
    /// The first frame of a device.
    pub(crate) fn on_first(&mut self, cx: &mut Cx<'_>, key: Key, rest: &[u8]) -> Step {
        let Some(connection) = self.table.get_mut(key) else { return Step::Gone };
        let Some(place) = self.base.places.iter().find(|place| place.listener == connection.listener) else {
            return Step::Gone;
        };
        match &place.speech {
            Speech::Emqx { max } => match FromDevice::decode(rest, Turn::First, *max) {
                Ok(None) => Step::NeedMore,
                Ok(Some((FromDevice::Connect(connect), used))) => self.on_connect(cx, key, &connect, used),
                // Its turn has seen to it that there is no other.
                Ok(Some(_)) => self.break_off(cx, key, Fault::FirstNotConnect),
                Err(fault) => self.break_off(cx, key, fault),
            },
            Speech::Plain { framer, naming } => {
                let named = match naming {
                    Naming::Peer => Ok(Named::As(connection.addr.to_string().into(), 0)),
                    Naming::FirstFrame => framer.next(&mut connection.scan, rest).map(by_frame),
                    Naming::Pattern(pattern) => {
                        framer.next(&mut connection.scan, rest).map(|frame| by_pattern(pattern, frame))
                    }
                };
                match named {
                    Ok(Named::As(id, used)) => {
                        let claimant =
                            Claimant { id: &id, username: "", password: &[], keepalive_s: 0, version: VERSION };
                        self.judge(cx, key, &claimant, used)
                    }
                    Ok(Named::Later) => Step::NeedMore,
                    Ok(Named::Not) => {
                        self.base.counts.up(Count::Unnamed);
                        self.tell_of_fault(key, "unnamed");
                        self.close(cx, key, Ending::Protocol);
                        Step::Gone
                    }
                    Err(fault) => self.break_off(cx, key, fault),
                }
            }
        }
    }

    /// Whoever is named by its address need not say a word.
    pub(crate) fn name_by_peer(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(connection) = self.table.get(key) else { return };
        let speech = self.base.place(connection.listener).map(|place| &place.speech);
        let Some(Speech::Plain { naming: Naming::Peer, .. }) = speech else { return };
        let id = connection.addr.to_string();
        if self.lives_elsewhere(cx, &id).is_some() {
            // The connection goes there with its first octet.
            return;
        }
        let claimant = Claimant { id: &id, username: "", password: &[], keepalive_s: 0, version: VERSION };
        let _step = self.judge(cx, key, &claimant, 0);
    }

    fn on_connect(&mut self, cx: &mut Cx<'_>, key: Key, connect: &Connect<'_>, used: usize) -> Step {
        if !VERSIONS.contains(&connect.version) {
            self.base.counts.up(Count::UpConnect);
            self.base.counts.up(Count::IllegalVersion);
            self.tell_of_fault(key, "illegal_version");
            self.connack(cx, key, ReturnCode::IllegalVersion, "");
            self.close(cx, key, Ending::Protocol);
            return Step::Gone;
        }
        let claimant = Claimant {
            id: connect.client_id,
            username: connect.username.unwrap_or_default(),
            password: connect.password.unwrap_or_default(),
            keepalive_s: connect.keepalive_s,
            version: connect.version,
        };
        let step = self.judge(cx, key, &claimant, used);
        if !matches!(step, Step::Elsewhere(_)) {
            self.base.counts.up(Count::UpConnect);
        }
        step
    }

    /// What came is none of the protocol, and what follows cannot be told apart.
    pub(crate) fn break_off(&mut self, cx: &mut Cx<'_>, key: Key, fault: Fault) -> Step {
        if let Fault::NotUtf8(_) = fault {
            // A client id or a user name that MQTT cannot carry, like any other.
            self.turn_away(cx, key, None, Refusal::BadIdentity);
            return Step::Gone;
        }
        self.base.counts.up(malformed(fault));
        self.tell_of_fault(key, fault.reason());
        self.close(cx, key, Ending::Protocol);
        Step::Gone
    }

    /// The connection is to be closed, for this fault of its device.
    pub(crate) fn tell_of_fault(&self, key: Key, reason: &'static str) {
        let Some(connection) = self.table.get(key) else { return };
        let client_id = connection.id().unwrap_or_default();
        tracing::debug!(protocol = "tcp", client_id, peer = %connection.addr, reason, "broken off");
    }

    /// CONNACK, to a device that knows it.
    pub(crate) fn connack(&self, cx: &mut Cx<'_>, key: Key, code: ReturnCode, message: &str) {
        if let Some(connection) = self.table.get(key).filter(|connection| speaks_emqx(&self.base, connection)) {
            self.base.counts.up(Count::DownConnack);
            // The next message is held if this fills it.
            let _flow = cx.streams.write(connection.conn, |out| {
                // Our own words always fit.
                let _fits = FromGateway::Connack { code, message }.encode(out);
            });
        }
    }
}

fn speaks_emqx(base: &Base, connection: &Connection) -> bool {
    base.place(connection.listener).is_some_and(|place| matches!(place.speech, Speech::Emqx { .. }))
}

/// The frame is the client id and nothing else. Blanks, line ends and NULs around it belong to its form.
fn by_frame(frame: Option<(&[u8], usize)>) -> Named {
    let Some((payload, used)) = frame else { return Named::Later };
    match std::str::from_utf8(payload) {
        Ok(text) => Named::As(text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0').into(), used),
        Err(_at) => Named::Not,
    }
}

/// The frame is a message, too: it is left where it is.
fn by_pattern(pattern: &Regex, frame: Option<(&[u8], usize)>) -> Named {
    let Some((payload, _)) = frame else { return Named::Later };
    // What is no text around the client id is no matter. In it, it would make one of what are several.
    let text = String::from_utf8_lossy(payload);
    let is_text = |id: &str| matches!(text, Cow::Borrowed(_)) || !id.contains(char::REPLACEMENT_CHARACTER);
    match pattern.captures(&text).and_then(|found| found.get(1)) {
        Some(id) if is_text(id.as_str()) => Named::As(id.as_str().into(), 0),
        Some(_) | None => Named::Not,
    }
}
