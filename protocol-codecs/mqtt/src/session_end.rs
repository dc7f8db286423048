//! DISCONNECT (3.14) and AUTH (5.0, 3.15).

use crate::ack::write_tail;
use crate::property::Allowed;
use crate::sink::Sink;
use crate::{EncodeFault, Fault, Properties, ReasonCode, Version};
use wire::Reader;

/// DISCONNECT. In 3.1.1 it has no reason, and only a client sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Success is a normal disconnection.
    pub reason: ReasonCode,
    /// 5.0 only.
    pub properties: Properties<'a>,
}

/// AUTH, 5.0 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue, or authenticate again.
    pub reason: ReasonCode,
    /// Authentication method and data among them.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A reason without properties.
    #[must_use]
    pub const fn new(reason: ReasonCode) -> Self {
        Self { reason, properties: Properties::EMPTY }
    }

    pub(crate) fn read(r: Reader<'a>, version: Version) -> Result<Self, Fault> {
        if version == Version::V311 {
            r.finish()?;
            return Ok(Self::default());
        }
        let (reason, properties) = read_tail(r, Allowed::DISCONNECT)?;
        if !is_disconnect_code(reason.0) {
            return Err(Fault::Protocol("reason code"));
        }
        Ok(Self { reason, properties })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        match version {
            Version::V311 => Ok(()),
            Version::V5 => write_tail(sink, self.reason, &self.properties, Allowed::DISCONNECT),
        }
    }
}

impl<'a> Auth<'a> {
    pub(crate) fn read(r: Reader<'a>) -> Result<Self, Fault> {
        let (reason, properties) = read_tail(r, Allowed::AUTH)?;
        if !matches!(reason.0, 0x00 | 0x18 | 0x19) {
            return Err(Fault::Protocol("reason code"));
        }
        let short = reason == ReasonCode::SUCCESS && properties.is_empty();
        if !short && properties.authentication_method().is_none() {
            return Err(Fault::Protocol("AUTH without an authentication method"));
        }
        Ok(Self { reason, properties })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink) -> Result<(), EncodeFault> {
        let short = self.reason == ReasonCode::SUCCESS && self.properties.is_empty();
        if !short && self.properties.authentication_method().is_none() {
            return Err(EncodeFault::Empty("authentication method"));
        }
        write_tail(sink, self.reason, &self.properties, Allowed::AUTH)
    }
}

fn read_tail(mut r: Reader<'_>, allowed: Allowed) -> Result<(ReasonCode, Properties<'_>), Fault> {
    if r.is_empty() {
        return Ok((ReasonCode::SUCCESS, Properties::EMPTY));
    }
    let reason = ReasonCode(r.u8("reason code")?);
    let properties = if r.is_empty() { Properties::EMPTY } else { Properties::read(&mut r, allowed)? };
    r.finish()?;
    Ok((reason, properties))
}

/// 5.0, table 3-10.
const fn is_disconnect_code(code: u8) -> bool {
    matches!(code, 0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B | 0x8D..=0x90 | 0x93..=0xA2)
}
