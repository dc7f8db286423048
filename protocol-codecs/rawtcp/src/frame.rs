//! The frames of EMQ X's TCP gateway: what a device sends, and what it is sent.

use crate::header::{self, Kind};
use crate::{EncodeFault, Fault};
use wire::Reader;

/// The largest payload of a frame, in octets.
pub const MAX_PAYLOAD: usize = 65_535;

/// What a device may say next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has said nothing yet: CONNECT.
    First,
    /// It has said CONNECT: anything else.
    Connected,
}

/// A frame from a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromDevice<'a> {
    /// It introduces itself.
    Connect(Connect<'a>),
    /// DATATRANS: a message, opaque. Its flags are ignored, and written as 0.
    Data(&'a [u8]),
    /// It is alive and wants to know whether we are.
    Ping,
    /// It leaves.
    Disconnect,
}

/// CONNECT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Of the protocol, 0 to 15: both 0 and 1 stand for the only one there is.
    pub version: u8,
    /// The longest silence that the device promises to keep, in seconds; 0 = none.
    pub keepalive_s: u8,
    /// May be empty here; a session needs one.
    pub client_id: &'a str,
    /// The user name, which may be there and empty.
    pub username: Option<&'a str>,
    /// The password, any octets; only behind a user name.
    pub password: Option<&'a [u8]>,
}

/// A frame to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromGateway<'a> {
    /// The answer to CONNECT.
    Connack {
        /// Whether the device is in.
        code: ReturnCode,
        /// What a person would read; may be empty.
        message: &'a str,
    },
    /// DATATRANS: a message, opaque. Its flags are ignored, and written as 0.
    Data(&'a [u8]),
    /// The answer to PING.
    Pong,
}

/// CONNACK's return code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnCode {
    /// 0: the device is in.
    Accepted,
    /// 1: it is not.
    AuthFailed,
    /// 2: it speaks a version that we do not.
    IllegalVersion,
}

impl ReturnCode {
    const fn bits(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::AuthFailed => 1,
            Self::IllegalVersion => 2,
        }
    }

    const fn from_bits(bits: u8) -> Result<Self, Fault> {
        match bits {
            0 => Ok(Self::Accepted),
            1 => Ok(Self::AuthFailed),
            2 => Ok(Self::IllegalVersion),
            other => Err(Fault::UnknownCode(other)),
        }
    }
}

/// Without the password.
impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("keepalive_s", &self.keepalive_s)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.map(|_secret| "***"))
            .finish()
    }
}

impl<'a> FromDevice<'a> {
    /// The frame that `bytes` begin with, and its octets; `None` while it is not all there. `max` is the most octets of
    /// payload that may come.
    ///
    /// # Errors
    /// [`Fault::WrongDirection`] before [`Fault::FirstNotConnect`] and [`Fault::SecondConnect`], all at the first octet;
    /// [`Fault::TooLarge`] at the length; [`Fault::BadConnect`] and [`Fault::NotUtf8`] once CONNECT is all there.
    #[inline]
    pub fn decode(bytes: &'a [u8], turn: Turn, max: usize) -> Result<Option<(Self, usize)>, Fault> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (kind, flags) = header::split(first)?;
        match (kind, turn) {
            (Kind::Connack | Kind::Pong, _) => Err(Fault::WrongDirection),
            (Kind::Data | Kind::Ping | Kind::Disconnect, Turn::First) => Err(Fault::FirstNotConnect),
            (Kind::Connect, Turn::Connected) => Err(Fault::SecondConnect),
            (Kind::Connect, Turn::First) => match header::payload(bytes, max)? {
                None => Ok(None),
                Some((payload, size)) => Ok(Some((Self::Connect(Connect::read(flags, payload)?), size))),
            },
            (Kind::Data, Turn::Connected) => {
                Ok(header::payload(bytes, max)?.map(|(payload, size)| (Self::Data(payload), size)))
            }
            (Kind::Ping, Turn::Connected) => Ok(Some((Self::Ping, 1))),
            (Kind::Disconnect, Turn::Connected) => Ok(Some((Self::Disconnect, 1))),
        }
    }

    /// Appends the frame.
    ///
    /// # Errors
    /// [`EncodeFault::TooLong`] when the payload, or a text of CONNECT, is longer than its length field can say;
    /// [`EncodeFault::PasswordAlone`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        match self {
            Self::Connect(connect) => connect.write(out),
            Self::Data(payload) => header::put(out, Kind::Data, 0, [payload]),
            Self::Ping => {
                out.push(header::first(Kind::Ping, 0));
                Ok(())
            }
            Self::Disconnect => {
                out.push(header::first(Kind::Disconnect, 0));
                Ok(())
            }
        }
    }
}

impl<'a> Connect<'a> {
    fn read(version: u8, payload: &'a [u8]) -> Result<Self, Fault> {
        let mut r = Reader::new(payload);
        let keepalive_s = r.u8("keepalive")?;
        let client_id = r.bytes16("client id")?;
        let username = if r.is_empty() { None } else { Some(r.bytes16("user name")?) };
        let password = if r.is_empty() { None } else { Some(r.bytes16("password")?) };
        // The layout before the texts, so that the fault does not hang on what stands behind a broken text.
        r.finish()?;
        let client_id = text(client_id, "client id")?;
        let username = username.map(|octets| text(octets, "user name")).transpose()?;
        Ok(Self { version, keepalive_s, client_id, username, password })
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        if self.username.is_none() && self.password.is_some() {
            return Err(EncodeFault::PasswordAlone);
        }
        let strings = [Some(self.client_id.as_bytes()), self.username.map(str::as_bytes), self.password];
        let mut lengths = [[0; 2]; 3];
        let mut parts = [&[][..]; 7];
        let keepalive = [self.keepalive_s];
        for (length, string) in lengths.iter_mut().zip(strings.into_iter().flatten()) {
            let Ok(octets) = u16::try_from(string.len()) else {
                return Err(EncodeFault::TooLong { bytes: string.len(), limit: MAX_PAYLOAD });
            };
            *length = octets.to_be_bytes();
        }
        let fields = strings.iter().flatten().zip(&lengths).flat_map(|(&string, length)| [&length[..], string]);
        for (part, field) in parts.iter_mut().zip(std::iter::once(&keepalive[..]).chain(fields)) {
            *part = field;
        }
        header::put(out, Kind::Connect, self.version, parts)
    }
}

impl<'a> FromGateway<'a> {
    /// The frame that `bytes` begin with, and its octets; `None` while it is not all there.
    ///
    /// # Errors
    /// [`Fault::UnknownType`], [`Fault::WrongDirection`] and [`Fault::UnknownCode`] at the first octet, [`Fault::NotUtf8`]
    /// for CONNACK's message.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, Fault> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (kind, flags) = header::split(first)?;
        match kind {
            Kind::Connect | Kind::Ping | Kind::Disconnect => Err(Fault::WrongDirection),
            Kind::Pong => Ok(Some((Self::Pong, 1))),
            Kind::Data => Ok(header::payload(bytes, MAX_PAYLOAD)?.map(|(payload, size)| (Self::Data(payload), size))),
            Kind::Connack => {
                let code = ReturnCode::from_bits(flags)?;
                let Some((payload, size)) = header::payload(bytes, MAX_PAYLOAD)? else { return Ok(None) };
                Ok(Some((Self::Connack { code, message: text(payload, "message")? }, size)))
            }
        }
    }

    /// Appends the frame.
    ///
    /// # Errors
    /// [`EncodeFault::TooLong`] above [`MAX_PAYLOAD`].
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        match self {
            Self::Connack { code, message } => header::put(out, Kind::Connack, code.bits(), [message.as_bytes()]),
            Self::Data(payload) => header::put(out, Kind::Data, 0, [payload]),
            Self::Pong => {
                out.push(header::first(Kind::Pong, 0));
                Ok(())
            }
        }
    }
}

fn text<'a>(octets: &'a [u8], field: &'static str) -> Result<&'a str, Fault> {
    match std::str::from_utf8(octets) {
        Ok(text) => Ok(text),
        Err(_at) => Err(Fault::NotUtf8(field)),
    }
}
