//! PUBLISH (3.3).

mod out;

pub use out::{PublishOut, PublishProperties};

use crate::frame::open;
use crate::property::Allowed;
use crate::sink::{Sink, put_bytes16, put_u16};
use crate::{EncodeFault, Fault, PacketId, Properties, Qos, Version, topic};
use wire::Reader;

/// QoS of a publication with what it brings: QoS 0 has neither packet identifier nor DUP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce {
        /// PUBACK carries it back.
        packet_id: PacketId,
        /// Sent before.
        dup: bool,
    },
    /// QoS 2.
    ExactlyOnce {
        /// PUBREC carries it back.
        packet_id: PacketId,
        /// Sent before.
        dup: bool,
    },
}

impl Delivery {
    /// The QoS alone.
    #[must_use]
    #[inline]
    pub const fn qos(self) -> Qos {
        match self {
            Self::AtMostOnce => Qos::AtMostOnce,
            Self::AtLeastOnce { .. } => Qos::AtLeastOnce,
            Self::ExactlyOnce { .. } => Qos::ExactlyOnce,
        }
    }

    /// `None` for QoS 0.
    #[must_use]
    #[inline]
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { packet_id, .. } | Self::ExactlyOnce { packet_id, .. } => Some(packet_id),
        }
    }

    /// Whether it was sent before.
    #[must_use]
    #[inline]
    pub const fn dup(self) -> bool {
        matches!(self, Self::AtLeastOnce { dup: true, .. } | Self::ExactlyOnce { dup: true, .. })
    }
}

/// A PUBLISH as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Topic name; empty only beside a topic alias.
    pub topic: &'a str,
    /// QoS, packet identifier and DUP.
    pub delivery: Delivery,
    /// To be retained, or retained until now.
    pub retain: bool,
    /// 5.0 only.
    pub properties: Properties<'a>,
    /// May be empty.
    pub payload: &'a [u8],
}

const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;

impl<'a> Publish<'a> {
    #[inline]
    pub(crate) fn read(first: u8, mut r: Reader<'a>, version: Version) -> Result<Self, Fault> {
        let topic = r.str16("topic name")?;
        let delivery = read_delivery(first, &mut r, version)?;
        let properties = Properties::read_in(version, &mut r, Allowed::PUBLISH)?;
        check_topic(topic, &properties, version)?;
        Ok(Self { topic, delivery, retain: first & RETAIN != 0, properties, payload: r.rest() })
    }

    /// How a whole PUBLISH that [`decode`](crate::decode) refuses is to be answered, if its frame and its packet
    /// identifier are sound: the fault may lie in a value that somebody else chose. `None` for other packets.
    #[must_use]
    pub fn delivery_of_refused(packet: &[u8], version: Version) -> Option<Delivery> {
        let (first, mut body) = open(packet).ok().filter(|(first, _)| first >> 4 == 3)?;
        body.bytes16("topic name").ok()?;
        read_delivery(first, &mut body, version).ok()
    }

    pub(crate) const fn first_octet(&self) -> u8 {
        first_octet(self.delivery, self.retain)
    }

    pub(crate) fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        if self.topic.is_empty() && !(version == Version::V5 && self.properties.has_topic_alias()) {
            return Err(EncodeFault::Empty("topic name"));
        }
        put_bytes16(sink, self.topic.as_bytes(), "topic name")?;
        if let Some(packet_id) = self.delivery.packet_id() {
            put_u16(sink, packet_id.get());
        }
        if version == Version::V5 {
            self.properties.write(sink, Allowed::PUBLISH)?;
        }
        sink.put(self.payload);
        Ok(())
    }
}

#[inline]
const fn first_octet(delivery: Delivery, retain: bool) -> u8 {
    let dup = if delivery.dup() { DUP } else { 0 };
    let retain = if retain { RETAIN } else { 0 };
    0x30 | dup | (delivery.qos().bits() << 1) | retain
}

/// DUP of a QoS 0 publication means nothing (3.3.1.1) and is dropped: every broker and client accepts it.
#[inline]
fn read_delivery(first: u8, r: &mut Reader<'_>, version: Version) -> Result<Delivery, Fault> {
    let dup = first & DUP != 0;
    match Qos::from_bits((first >> 1) & 3) {
        Some(Qos::AtMostOnce) => Ok(Delivery::AtMostOnce),
        Some(Qos::AtLeastOnce) => Ok(Delivery::AtLeastOnce { packet_id: PacketId::read(r, version)?, dup }),
        Some(Qos::ExactlyOnce) => Ok(Delivery::ExactlyOnce { packet_id: PacketId::read(r, version)?, dup }),
        None => Err(Fault::Malformed("publish qos")),
    }
}

#[inline]
fn check_topic(topic: &str, properties: &Properties<'_>, version: Version) -> Result<(), Fault> {
    match topic::check_name(topic) {
        Ok(()) => Ok(()),
        Err(topic::TopicFault::Nul) => Err(Fault::Malformed("topic name")),
        Err(topic::TopicFault::Empty) if version == Version::V5 => {
            if properties.has_topic_alias() {
                Ok(())
            } else {
                Err(Fault::Protocol("neither topic name nor alias"))
            }
        }
        Err(fault) => Err(Fault::TopicName(fault)),
    }
}
