//! What devices on raw TCP say and hear, in either framing.

use crate::dialling::{Credentials, Framing};
use crate::failure::Failure;
use codec_rawtcp::{Connect, Delimiter, EncodeFault, Framer, FromDevice, FromGateway, ReturnCode, Scan};
use std::num::NonZeroU32;

/// DISCONNECT, encoded.
pub(crate) const DISCONNECT: &[u8] = &[0x60];
/// PING, encoded.
pub(crate) const PING: &[u8] = &[0x40];

/// What a frame from the gateway means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// CONNACK's return code and message.
    Connack(u8, &'a str),
    Data(&'a [u8]),
    Pong,
}

/// How all devices of a run speak.
#[derive(Debug)]
pub(crate) struct Speech {
    framing: Framing,
    lines: Framer,
    credentials: Credentials,
}

impl Speech {
    pub(crate) fn new(framing: Framing, credentials: Credentials) -> Result<Self, Failure> {
        let newline = Delimiter::new(b"\n").ok_or_else(|| Failure::Usage("no delimiter".into()))?;
        let lines = Framer { framing: codec_rawtcp::Framing::Line(newline), max_frame: MOST };
        Ok(Self { framing, lines, credentials })
    }

    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the gateway answers who comes, and PING.
    pub(crate) fn is_answered(&self) -> bool {
        self.framing == Framing::Emqx
    }

    /// Appends the first that a client says.
    ///
    /// # Errors
    /// [`Failure::Usage`] for credentials that are too long.
    pub(crate) fn greet(&self, client_id: &str, keepalive_s: u8, out: &mut Vec<u8>) -> Result<(), Failure> {
        let username = self.credentials.username(client_id);
        let (username, password) = (username.as_deref(), self.credentials.password());
        match self.framing {
            Framing::Emqx => {
                let connect = Connect { version: 1, keepalive_s, client_id, username, password };
                FromDevice::Connect(connect).encode(out).map_err(cannot)
            }
            Framing::Line => self.lines.encode(client_id.as_bytes(), out).map_err(cannot),
        }
    }

    /// Appends a message.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a payload that is too long.
    pub(crate) fn say(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        match self.framing {
            Framing::Emqx => FromDevice::Data(payload).encode(out).map_err(cannot),
            Framing::Line => self.lines.encode(payload, out).map_err(cannot),
        }
    }

    /// Tells `hear` of every whole frame that `octets` begin with; how many octets those are.
    ///
    /// # Errors
    /// [`Failure::Gateway`] for what is no frame.
    pub(crate) fn hear(&self, octets: &[u8], mut hear: impl FnMut(Heard<'_>)) -> Result<usize, Failure> {
        let mut consumed = 0;
        loop {
            let rest = octets.get(consumed..).unwrap_or_default();
            let frame = match self.framing {
                Framing::Emqx => FromGateway::decode(rest).map(|frame| frame.map(|(frame, size)| (heard(frame), size))),
                Framing::Line => {
                    let line = self.lines.next(&mut Scan::default(), rest);
                    line.map(|line| line.map(|(payload, size)| (Heard::Data(payload), size)))
                }
            };
            match frame {
                Ok(Some((frame, size))) => {
                    hear(frame);
                    consumed += size;
                }
                Ok(None) => return Ok(consumed),
                Err(fault) => return Err(Failure::Gateway(format!("it sent what is no frame: {fault}"))),
            }
        }
    }
}

const fn heard(frame: FromGateway<'_>) -> Heard<'_> {
    match frame {
        FromGateway::Connack { code, message } => Heard::Connack(
            match code {
                ReturnCode::Accepted => 0,
                ReturnCode::AuthFailed => 1,
                ReturnCode::IllegalVersion => 2,
            },
            message,
        ),
        FromGateway::Data(payload) => Heard::Data(payload),
        FromGateway::Pong => Heard::Pong,
    }
}

fn cannot(fault: EncodeFault) -> Failure {
    Failure::Usage(fault.to_string())
}

/// More than any line of a load.
const MOST: NonZeroU32 = NonZeroU32::MAX;
