//! PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7).

use crate::property::Allowed;
use crate::sink::{Sink, put_u8, put_u16};
use crate::{EncodeFault, Fault, PacketId, Properties, ReasonCode, Version};
use wire::Reader;

/// What the four acknowledgements of a publication carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Of the publication.
    pub packet_id: PacketId,
    /// Always success in 3.1.1, which cannot say anything else.
    pub reason: ReasonCode,
    /// 5.0 only.
    pub properties: Properties<'a>,
}

/// Which reason codes an acknowledgement may carry.
#[derive(Clone, Copy)]
pub(crate) enum AckCodes {
    /// PUBACK and PUBREC: 5.0, tables 3-4 and 3-5.
    Receipt,
    /// PUBREL and PUBCOMP: 5.0, tables 3-6 and 3-7.
    Release,
}

impl<'a> Ack<'a> {
    /// Success, without properties: the short form.
    #[must_use]
    pub const fn new(packet_id: PacketId) -> Self {
        Self::with_reason(packet_id, ReasonCode::SUCCESS)
    }

    /// A reason without properties.
    #[must_use]
    pub const fn with_reason(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, properties: Properties::EMPTY }
    }

    #[inline]
    pub(crate) fn read(mut r: Reader<'a>, version: Version, codes: AckCodes) -> Result<Self, Fault> {
        let mut ack = Self::new(PacketId::read(&mut r, version)?);
        if r.is_empty() {
            return Ok(ack);
        }
        if version == Version::V5 {
            ack.reason = ReasonCode(r.u8("reason code")?);
            if !codes.contain(ack.reason) {
                return Err(Fault::Protocol("reason code"));
            }
            if !r.is_empty() {
                ack.properties = Properties::read(&mut r, Allowed::ACK)?;
            }
        }
        r.finish()?;
        Ok(ack)
    }

    #[inline]
    pub(crate) fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        put_u16(sink, self.packet_id.get());
        if version == Version::V311 {
            return Ok(());
        }
        write_tail(sink, self.reason, &self.properties, Allowed::ACK)
    }
}

impl AckCodes {
    const fn contain(self, code: ReasonCode) -> bool {
        match self {
            Self::Receipt => matches!(code.0, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99),
            Self::Release => matches!(code.0, 0x00 | 0x92),
        }
    }
}

/// Reason code and properties at the end of a packet: both are left out together or not at all. A reader must take a
/// reason code without a property length, but some don't.
#[inline]
pub(crate) fn write_tail(
    sink: &mut impl Sink,
    reason: ReasonCode,
    properties: &Properties<'_>,
    allowed: Allowed,
) -> Result<(), EncodeFault> {
    if reason == ReasonCode::SUCCESS && properties.is_empty() {
        return Ok(());
    }
    put_u8(sink, reason.0);
    properties.write(sink, allowed)
}

#[cfg(test)]
mod tests {
    use crate::{Ack, Disconnect, Packet, PacketId, ReasonCode, Version};

    #[test]
    #[rustfmt::skip]
    fn reason_and_properties_are_left_out_together_or_not_at_all() {
        let ack = |reason| Packet::Puback(Ack::with_reason(PacketId::FIRST, reason));
        let disconnect = |reason| Packet::Disconnect(Disconnect::new(reason));
        let table: [(Packet<'_>, Version, &[u8]); 6] = [
            (ack(ReasonCode::SUCCESS),               Version::V5,   &[0x40, 2, 0, 1]),
            (ack(ReasonCode::NOT_AUTHORIZED),        Version::V5,   &[0x40, 4, 0, 1, 0x87, 0]),
            (ack(ReasonCode::NOT_AUTHORIZED),        Version::V311, &[0x40, 2, 0, 1]),
            (disconnect(ReasonCode::SUCCESS),        Version::V5,   &[0xE0, 0]),
            (disconnect(ReasonCode::PROTOCOL_ERROR), Version::V5,   &[0xE0, 2, 0x82, 0]),
            (disconnect(ReasonCode::PROTOCOL_ERROR), Version::V311, &[0xE0, 0]),
        ];
        for (packet, version, octets) in table {
            let mut out = Vec::new();
            assert_eq!(packet.encode(version, &mut out), Ok(()));
            assert_eq!(out, octets, "{packet:?} in {version:?}");
        }
    }
}
