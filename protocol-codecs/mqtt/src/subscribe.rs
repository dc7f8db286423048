//! SUBSCRIBE and SUBACK (3.8, 3.9).

use crate::frame::text;
use crate::property::Allowed;
use crate::sink::{Sink, put_bytes16, put_u8, put_u16};
use crate::{EncodeFault, Fault, PacketId, Properties, Qos, ReasonCode, Version, topic};
use wire::Reader;

/// SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// SUBACK carries it back.
    pub packet_id: PacketId,
    /// 5.0 only; the subscription identifier is here.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: Filters<'a>,
}

/// One filter of SUBSCRIBE with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Topic filter.
    pub filter: &'a str,
    /// Highest QoS wanted.
    pub qos: Qos,
    /// 5.0: own publications do not come back.
    pub no_local: bool,
    /// 5.0: publications keep their RETAIN flag.
    pub retain_as_published: bool,
    /// 5.0: when retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When a subscription brings retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// Each time it is made.
    #[default]
    Send,
    /// Only when it did not exist yet.
    SendIfNew,
    /// Never.
    DoNotSend,
}

/// SUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suback<'a> {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// 5.0 only.
    pub properties: Properties<'a>,
    /// One per filter, in their order.
    pub codes: ReasonCodes<'a>,
}

impl<'a> Subscription<'a> {
    /// A subscription with the default options, as 3.1.1 has it.
    #[must_use]
    pub const fn new(filter: &'a str, qos: Qos) -> Self {
        Self { filter, qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Send }
    }

    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, Fault> {
        let filter = text(r, "topic filter")?;
        let options = r.u8("subscription options")?;
        let fault = match version {
            Version::V311 => Fault::Malformed("requested qos"),
            Version::V5 => Fault::Protocol("subscription options"),
        };
        let reserved = match version {
            Version::V311 => 0xFC,
            Version::V5 => 0xC0,
        };
        if options & reserved != 0 {
            return Err(Fault::Malformed("subscription options"));
        }
        let qos = Qos::from_bits(options & 3).ok_or(fault)?;
        let retain_handling = RetainHandling::from_bits(options >> 4).ok_or(fault)?;
        let (no_local, retain_as_published) = (options & 4 != 0, options & 8 != 0);
        Ok(Self { filter, qos, no_local, retain_as_published, retain_handling })
    }

    fn check(&self, version: Version) -> Result<(), Fault> {
        check_filter(self.filter, version)?;
        // 5.0, 3.8.3.1: nobody could say which of the group's members is local.
        if self.no_local && self.filter.starts_with("$share/") {
            return Err(Fault::Protocol("no local on a shared subscription"));
        }
        Ok(())
    }

    fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        if self.filter.is_empty() {
            return Err(EncodeFault::Empty("topic filter"));
        }
        put_bytes16(sink, self.filter.as_bytes(), "topic filter")?;
        let more = match version {
            Version::V311 => 0,
            Version::V5 => {
                (u8::from(self.no_local) << 2)
                    | (u8::from(self.retain_as_published) << 3)
                    | (self.retain_handling.bits() << 4)
            }
        };
        put_u8(sink, self.qos.bits() | more);
        Ok(())
    }
}

impl RetainHandling {
    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Send => 0,
            Self::SendIfNew => 1,
            Self::DoNotSend => 2,
        }
    }
}

/// Filters of a SUBSCRIBE in their order: received and checked, or a list to write.
#[derive(Clone, Copy)]
pub struct Filters<'a>(Store<'a>);

#[derive(Clone, Copy)]
enum Store<'a> {
    Block(&'a [u8], Version),
    List(&'a [Subscription<'a>]),
}

impl<'a> Filters<'a> {
    /// The subscriptions to write; at least one.
    #[must_use]
    pub const fn list(subscriptions: &'a [Subscription<'a>]) -> Self {
        Self(Store::List(subscriptions))
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'a>> + Clone + use<'a> {
        let (octets, version, list) = match self.0 {
            Store::Block(octets, version) => (octets, version, &[][..]),
            Store::List(list) => (&[][..], Version::V5, list),
        };
        let mut r = Reader::new(octets);
        let block =
            std::iter::from_fn(move || if r.is_empty() { None } else { Subscription::read(&mut r, version).ok() });
        block.chain(list.iter().copied())
    }

    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, Fault> {
        let octets = r.rest();
        let mut r = Reader::new(octets);
        if r.is_empty() {
            return Err(Fault::Protocol("no topic filter"));
        }
        while !r.is_empty() {
            Subscription::read(&mut r, version)?.check(version)?;
        }
        Ok(Self(Store::Block(octets, version)))
    }
}

impl PartialEq for Filters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Filters<'_> {}

impl std::fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Reason codes of a SUBACK or UNSUBACK, one octet each, in the order of the filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonCodes<'a>(&'a [u8]);

impl<'a> ReasonCodes<'a> {
    /// The codes to write, as their numbers.
    #[must_use]
    pub const fn new(codes: &'a [u8]) -> Self {
        Self(codes)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none, as in an UNSUBACK of 3.1.1.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ReasonCode> + Clone + use<'a> {
        self.0.iter().copied().map(ReasonCode)
    }
}

impl<'a> Subscribe<'a> {
    pub(crate) fn read(mut r: Reader<'a>, version: Version) -> Result<Self, Fault> {
        let packet_id = PacketId::read(&mut r, version)?;
        let properties = Properties::read_in(version, &mut r, Allowed::SUBSCRIBE)?;
        let filters = Filters::read(&mut r, version)?;
        Ok(Self { packet_id, properties, filters })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        put_u16(sink, self.packet_id.get());
        if version == Version::V5 {
            self.properties.write(sink, Allowed::SUBSCRIBE)?;
        }
        let mut any = false;
        for subscription in self.filters.iter() {
            any = true;
            subscription.write(sink, version)?;
        }
        if any { Ok(()) } else { Err(EncodeFault::Empty("topic filters")) }
    }
}

impl<'a> Suback<'a> {
    pub(crate) fn read(mut r: Reader<'a>, version: Version) -> Result<Self, Fault> {
        let packet_id = PacketId::read(&mut r, version)?;
        let properties = Properties::read_in(version, &mut r, Allowed::ACK)?;
        let codes = r.rest();
        if codes.is_empty() {
            return Err(Fault::Protocol("no reason code"));
        }
        match version {
            Version::V311 if !codes.iter().all(|code| matches!(code, 0..=2 | 0x80)) => {
                Err(Fault::Malformed("return code"))
            }
            Version::V5 if !codes.iter().all(|code| is_suback_code(*code)) => Err(Fault::Protocol("reason code")),
            Version::V311 | Version::V5 => Ok(Self { packet_id, properties, codes: ReasonCodes(codes) }),
        }
    }

    pub(crate) fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        if self.codes.is_empty() {
            return Err(EncodeFault::Empty("reason codes"));
        }
        put_u16(sink, self.packet_id.get());
        match version {
            // 3.1.1 knows one failure.
            Version::V311 => {
                self.codes.iter().for_each(|code| put_u8(sink, if code.is_error() { 0x80 } else { code.0 }))
            }
            Version::V5 => {
                self.properties.write(sink, Allowed::ACK)?;
                sink.put(self.codes.0);
            }
        }
        Ok(())
    }
}

/// 5.0, table 3-8.
const fn is_suback_code(code: u8) -> bool {
    matches!(code, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
}

pub(crate) fn check_filter(filter: &str, version: Version) -> Result<(), Fault> {
    match version {
        // `$share` means nothing there.
        Version::V311 => topic::check_unshared_filter(filter),
        Version::V5 => topic::check_filter(filter),
    }
    .map_err(Fault::TopicFilter)
}
