//! CONNACK (3.2).

use crate::property::Allowed;
use crate::sink::{Sink, put_u8};
use crate::{EncodeFault, Fault, Properties, ReasonCode, Version};
use wire::Reader;

/// CONNACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack<'a> {
    /// Whether the server goes on with a session it kept; never with a refusal.
    pub session_present: bool,
    /// The return codes of 3.1.1 come as the reason codes that mean the same.
    pub reason: ReasonCode,
    /// 5.0 only.
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    pub(crate) fn read(mut r: Reader<'a>, version: Version) -> Result<Self, Fault> {
        let session_present = match r.u8("connect acknowledge flags")? {
            0 => false,
            1 => true,
            _ => return Err(Fault::Malformed("connect acknowledge flags")),
        };
        let code = r.u8("reason code")?;
        let (reason, properties) = match version {
            Version::V311 => {
                let reason = ReasonCode::from_v311_return_code(code).ok_or(Fault::Malformed("return code"))?;
                (reason, Properties::EMPTY)
            }
            Version::V5 if is_connack_code(code) => (ReasonCode(code), Properties::read(&mut r, Allowed::CONNACK)?),
            Version::V5 => return Err(Fault::Protocol("reason code")),
        };
        if session_present && reason.is_error() {
            return Err(Fault::Protocol("session present with a refusal"));
        }
        r.finish()?;
        Ok(Self { session_present, reason, properties })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        put_u8(sink, u8::from(self.session_present && !self.reason.is_error()));
        match version {
            Version::V311 => put_u8(sink, self.reason.v311_return_code()),
            Version::V5 => {
                put_u8(sink, self.reason.0);
                self.properties.write(sink, Allowed::CONNACK)?;
            }
        }
        Ok(())
    }
}

/// 5.0, table 3-1.
const fn is_connack_code(code: u8) -> bool {
    matches!(code, 0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F)
}
