//! A device that has nothing but a socket. It speaks EMQ X's frames, or lines. Nothing in it knows the gateway's code; it
//! speaks through the codec alone.

use super::{FRAMES, LINES, StreamPlan};
use bridge_core::peer::ListenerId;
use bridge_core::rng::Rng;
use codec_rawtcp::{Connect, FromDevice, FromGateway, ReturnCode};

/// One device.
pub(crate) struct StreamDevice {
    pub(super) index: usize,
    pub(crate) id: String,
    speech: Speech,
    /// Seconds; 0 = it need not say anything.
    keepalive_s: u8,
    rng: Rng,
    slowest_ms: u64,
    /// The connection that it has.
    pub(crate) conn: Option<u64>,
    /// It has been told that it is in, where it is told.
    welcome: bool,
    /// What it was sent that is no frame yet.
    heard: Vec<u8>,
    /// Messages that it has not said, and those said over this connection.
    left: u32,
    said: u32,
    say_at: u64,
    retry_at: u64,
    ping_at: u64,
    /// PINGs that are not answered, and when it takes the connection for gone.
    pong_by: Option<u64>,
    /// It reads nothing.
    pub(crate) deaf_until: u64,
    calm: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Frames,
    Lines,
}

/// What it does when its time has come.
pub(crate) enum Act {
    Nothing,
    Open,
    Close,
    Write {
        octets: Vec<u8>,
        /// The number of the message, if it is one.
        message: Option<u32>,
    },
}

impl StreamDevice {
    pub(super) fn new(index: usize, plan: &StreamPlan, seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let speech = if rng.chance(600) { Speech::Frames } else { Speech::Lines };
        let keepalive_s = if rng.chance(700) { 4 + u8::try_from(rng.below(20)).expect("small") } else { 0 };
        let (left, retry_at) = (10 + u32::try_from(rng.below(60)).expect("small"), rng.below(3000));
        Self {
            index,
            id: format!("t{index}"),
            speech,
            keepalive_s: if speech == Speech::Frames { keepalive_s } else { 0 },
            slowest_ms: plan.slowest_ms,
            rng,
            conn: None,
            welcome: false,
            heard: Vec::new(),
            left,
            said: 0,
            say_at: 0,
            retry_at,
            ping_at: u64::MAX,
            pong_by: None,
            deaf_until: 0,
            calm: false,
        }
    }

    pub(super) fn listener(&self) -> ListenerId {
        if self.speech == Speech::Frames { FRAMES } else { LINES }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_in() && self.left == 0
    }

    pub(super) const fn is_in(&self) -> bool {
        self.conn.is_some() && self.welcome
    }

    /// It has been told that it is in.
    pub(super) fn is_told(&self) -> bool {
        self.is_in() && self.speech == Speech::Frames
    }

    pub(super) fn state(&self) -> String {
        let Self { id, conn, welcome, left, said, speech, pong_by, .. } = self;
        format!("{id} {speech:?}: connection {conn:?}, in {welcome}, {said} said, {left} left, pong by {pong_by:?}")
    }

    pub(super) fn calm(&mut self, now: u64) {
        self.calm = true;
        self.deaf_until = now;
    }

    pub(super) fn wake_at(&self, now: u64) -> u64 {
        let at = match (self.conn, self.welcome) {
            (None, _) => self.retry_at,
            (Some(_), false) => self.pong_by.unwrap_or(u64::MAX),
            (Some(_), true) => {
                let say_at = if self.left > 0 { self.say_at } else { u64::MAX };
                say_at.min(self.ping_at).min(self.pong_by.unwrap_or(u64::MAX))
            }
        };
        at.max(now + 1)
    }

    /// Its time has come. `room`: what it writes does not have to wait for what it has written.
    pub(super) fn timer(&mut self, now: u64, room: bool) -> Act {
        if self.conn.is_none() {
            if self.retry_at > now {
                return Act::Nothing;
            }
            self.heard.clear();
            (self.welcome, self.said, self.ping_at) = (self.speech == Speech::Lines, 0, u64::MAX);
            // One that says CONNECT waits for its answer as long as for a PONG.
            self.pong_by = (self.speech == Speech::Frames).then_some(now + PATIENCE_MS);
            self.say_at = now + self.rng.below(500);
            return Act::Open;
        }
        if self.pong_by.is_some_and(|by| by <= now) {
            self.ended(now);
            return Act::Close;
        }
        if !room {
            self.say_at = self.say_at.max(now + 50);
            self.ping_at = self.ping_at.max(now + 50);
            return Act::Nothing;
        }
        if !self.welcome {
            return Act::Nothing;
        }
        if self.ping_at <= now {
            self.ping_at = now + self.every_ms();
            self.pong_by = self.pong_by.or(Some(now + PATIENCE_MS));
            return Act::Write { octets: encoded(&FromDevice::Ping), message: None };
        }
        if self.left > 0 && self.say_at <= now {
            return self.say(now);
        }
        Act::Nothing
    }

    fn say(&mut self, now: u64) -> Act {
        // At times it says goodbye in the midst of its work.
        if !self.calm && self.said > 0 && self.rng.chance(15) {
            self.ended(now);
            return Act::Close;
        }
        let number = self.said;
        (self.said, self.left) = (number + 1, self.left - 1);
        let pause = 1 + self.rng.below(self.slowest_ms);
        self.say_at = now + if self.rng.chance(700) { self.rng.below(3) } else { pause };
        let padding = usize::try_from(self.rng.below(200)).expect("small");
        let conn = self.conn.unwrap_or_default();
        let payload = format!("x {conn} {number} {}", ".".repeat(padding)).into_bytes();
        let octets = match self.speech {
            Speech::Frames => encoded(&FromDevice::Data(&payload)),
            Speech::Lines => [&payload[..], b"\n"].concat(),
        };
        Act::Write { octets, message: Some(number) }
    }

    /// What it says first.
    pub(super) fn hello(&self) -> Vec<u8> {
        let Self { id, keepalive_s, .. } = self;
        match self.speech {
            Speech::Frames => encoded(&FromDevice::Connect(Connect {
                version: u8::from(self.index.is_multiple_of(2)),
                keepalive_s: *keepalive_s,
                client_id: id,
                username: None,
                password: None,
            })),
            Speech::Lines => format!("{id}\r\n").into_bytes(),
        }
    }

    /// Half of what it promised, so that two are in time.
    fn every_ms(&self) -> u64 {
        u64::from(self.keepalive_s) * 500
    }

    pub(super) fn opened(&mut self, now: u64) {
        if self.keepalive_s > 0 {
            self.ping_at = now + self.every_ms();
        }
    }

    /// Octets have come. Returns the messages among them.
    pub(super) fn receive(&mut self, now: u64, octets: &[u8]) -> Vec<Vec<u8>> {
        self.heard.extend(octets);
        let heard = std::mem::take(&mut self.heard);
        let (mut rest, mut messages) = (&heard[..], Vec::new());
        if !octets.is_empty() && self.welcome {
            // Whatever comes shows that the gateway lives.
            self.pong_by = None;
        }
        match self.speech {
            Speech::Lines => {
                while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
                    messages.push(rest[..end].to_vec());
                    rest = &rest[end + 1..];
                }
            }
            Speech::Frames => {
                while let Some((frame, used)) = FromGateway::decode(rest).expect("the gateway writes what can be read")
                {
                    match frame {
                        FromGateway::Connack { code: ReturnCode::Accepted, .. } => {
                            assert!(!self.welcome, "{} is told twice that it is in", self.id);
                            (self.welcome, self.pong_by) = (true, None);
                            self.say_at = self.say_at.max(now);
                        }
                        // It is closed next.
                        FromGateway::Connack { .. } => {}
                        FromGateway::Data(payload) => messages.push(payload.to_vec()),
                        FromGateway::Pong => {}
                    }
                    rest = &rest[used..];
                }
                assert!(self.welcome || messages.is_empty(), "{} is sent messages before it is in", self.id);
            }
        }
        self.heard = rest.to_vec();
        messages
    }

    /// Its connection is gone.
    pub(super) fn ended(&mut self, now: u64) {
        if self.conn.is_some() {
            self.retry_at = now + 20 + self.rng.below(2000);
        }
    }
}

fn encoded(frame: &FromDevice<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    frame.encode(&mut octets).expect("small");
    octets
}

/// How long it waits for an answer before it takes its connection for gone.
const PATIENCE_MS: u64 = 12_000;
