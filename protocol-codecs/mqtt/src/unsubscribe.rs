//! UNSUBSCRIBE and UNSUBACK (3.10, 3.11).

use crate::frame::text;
use crate::property::Allowed;
use crate::sink::{Sink, put_bytes16, put_u16};
use crate::subscribe::check_filter;
use crate::{EncodeFault, Fault, PacketId, Properties, ReasonCodes, Version};
use wire::Reader;

/// UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// UNSUBACK carries it back.
    pub packet_id: PacketId,
    /// 5.0 only.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: Names<'a>,
}

/// UNSUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsuback<'a> {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// 5.0 only.
    pub properties: Properties<'a>,
    /// One per filter, in their order; none in 3.1.1.
    pub codes: ReasonCodes<'a>,
}

/// Topic filters of an UNSUBSCRIBE in their order: received and checked, or a list to write.
#[derive(Clone, Copy)]
pub struct Names<'a>(Store<'a>);

#[derive(Clone, Copy)]
enum Store<'a> {
    Block(&'a [u8]),
    List(&'a [&'a str]),
}

impl<'a> Names<'a> {
    /// The filters to write; at least one.
    #[must_use]
    pub const fn list(filters: &'a [&'a str]) -> Self {
        Self(Store::List(filters))
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let (octets, list) = match self.0 {
            Store::Block(octets) => (octets, &[][..]),
            Store::List(list) => (&[][..], list),
        };
        let mut r = Reader::new(octets);
        let block = std::iter::from_fn(move || if r.is_empty() { None } else { r.str16("topic filter").ok() });
        block.chain(list.iter().copied())
    }

    fn read(octets: &'a [u8], version: Version) -> Result<Self, Fault> {
        let mut r = Reader::new(octets);
        if r.is_empty() {
            return Err(Fault::Protocol("no topic filter"));
        }
        while !r.is_empty() {
            check_filter(text(&mut r, "topic filter")?, version)?;
        }
        Ok(Self(Store::Block(octets)))
    }
}

impl PartialEq for Names<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Names<'_> {}

impl std::fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn read(mut r: Reader<'a>, version: Version) -> Result<Self, Fault> {
        let packet_id = PacketId::read(&mut r, version)?;
        let properties = Properties::read_in(version, &mut r, Allowed::UNSUBSCRIBE)?;
        let filters = Names::read(r.rest(), version)?;
        Ok(Self { packet_id, properties, filters })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        put_u16(sink, self.packet_id.get());
        if version == Version::V5 {
            self.properties.write(sink, Allowed::UNSUBSCRIBE)?;
        }
        let mut any = false;
        for filter in self.filters.iter() {
            if filter.is_empty() {
                return Err(EncodeFault::Empty("topic filter"));
            }
            any = true;
            put_bytes16(sink, filter.as_bytes(), "topic filter")?;
        }
        if any { Ok(()) } else { Err(EncodeFault::Empty("topic filters")) }
    }
}

impl<'a> Unsuback<'a> {
    pub(crate) fn read(mut r: Reader<'a>, version: Version) -> Result<Self, Fault> {
        let packet_id = PacketId::read(&mut r, version)?;
        if version == Version::V311 {
            r.finish()?;
            return Ok(Self { packet_id, properties: Properties::EMPTY, codes: ReasonCodes::default() });
        }
        let properties = Properties::read(&mut r, Allowed::ACK)?;
        let codes = r.rest();
        if codes.is_empty() || !codes.iter().all(|code| is_unsuback_code(*code)) {
            return Err(Fault::Protocol("reason code"));
        }
        Ok(Self { packet_id, properties, codes: ReasonCodes::new(codes) })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        put_u16(sink, self.packet_id.get());
        if version == Version::V311 {
            return Ok(());
        }
        if self.codes.is_empty() {
            return Err(EncodeFault::Empty("reason codes"));
        }
        self.properties.write(sink, Allowed::ACK)?;
        self.codes.iter().for_each(|code| sink.put(&[code.0]));
        Ok(())
    }
}

/// 5.0, table 3-9.
const fn is_unsuback_code(code: u8) -> bool {
    matches!(code, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91)
}
