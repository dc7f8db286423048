//! PUBLISH as our client writes it: the hot path.

use super::{Delivery, first_octet};
use crate::property::Property;
use crate::sink::{Count, Sink, put_u16, put_varint, varint_len};
use crate::{EncodeFault, MAX_REMAINING, Version};
use std::num::NonZeroU16;

/// A publication to write. Its topic name is `prefix` and `name` in a row, so that a mountpoint costs no allocation.
///
/// Topic and texts are written as they are: the caller has parsed them, so they hold no wildcard and no U+0000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishOut<'a> {
    /// First part of the topic name; may be empty.
    pub prefix: &'a str,
    /// Rest of the topic name; both are empty only beside a topic alias.
    pub name: &'a str,
    /// QoS, packet identifier and DUP.
    pub delivery: Delivery,
    /// To be retained.
    pub retain: bool,
    /// Left out in 3.1.1.
    pub properties: PublishProperties<'a>,
    /// May be empty.
    pub payload: &'a [u8],
}

/// Properties that a client may give to a publication. The subscription identifier is the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties<'a> {
    /// The payload is UTF-8; false writes no indicator.
    pub payload_is_utf8: bool,
    /// Seconds.
    pub message_expiry_interval: Option<u32>,
    /// Stands for the topic name from now on, or instead of it.
    pub topic_alias: Option<NonZeroU16>,
    /// What the payload is.
    pub content_type: Option<&'a str>,
    /// Topic name for the answer.
    pub response_topic: Option<&'a str>,
    /// What the answer carries back.
    pub correlation_data: Option<&'a [u8]>,
    /// Names and values.
    pub user_properties: &'a [(&'a str, &'a str)],
}

/// The lengths on the wire, in octets.
struct Lengths {
    topic: u16,
    properties: usize,
    remaining: usize,
}

impl PublishOut<'_> {
    /// Octets that [`Self::encode`] appends, to compare with the peer's Maximum Packet Size.
    ///
    /// # Errors
    /// As [`Self::encode`].
    #[inline]
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeFault> {
        let remaining = self.lengths(version)?.remaining;
        Ok(remaining.saturating_add(varint_len(remaining)).saturating_add(1))
    }

    /// Appends the packet; allocates only when `out` has not the capacity, and then once.
    ///
    /// # Errors
    /// [`EncodeFault`] `TooLong`, `TooLarge` or, without topic name and alias, `Empty`. Nothing is appended then.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        let lengths = self.lengths(version)?;
        out.reserve(lengths.remaining.saturating_add(5));
        out.push(first_octet(self.delivery, self.retain));
        put_varint(out, lengths.remaining)?;
        put_u16(out, lengths.topic);
        out.put(self.prefix.as_bytes());
        out.put(self.name.as_bytes());
        if let Some(packet_id) = self.delivery.packet_id() {
            put_u16(out, packet_id.get());
        }
        if version == Version::V5 {
            put_varint(out, lengths.properties)?;
            self.properties.write(out)?;
        }
        out.put(self.payload);
        Ok(())
    }

    /// All that can fail is found here, before anything is written.
    #[inline]
    fn lengths(&self, version: Version) -> Result<Lengths, EncodeFault> {
        let octets = self.prefix.len().saturating_add(self.name.len());
        let Ok(topic) = u16::try_from(octets) else {
            return Err(EncodeFault::TooLong("topic name"));
        };
        if topic == 0 && (version == Version::V311 || self.properties.topic_alias.is_none()) {
            return Err(EncodeFault::Empty("topic name"));
        }
        let mut remaining = octets.saturating_add(2).saturating_add(self.payload.len());
        if self.delivery.packet_id().is_some() {
            remaining = remaining.saturating_add(2);
        }
        let mut properties = Count::default();
        if version == Version::V5 {
            self.properties.write(&mut properties)?;
            remaining = remaining.saturating_add(properties.0).saturating_add(varint_len(properties.0));
        }
        if remaining > MAX_REMAINING {
            return Err(EncodeFault::TooLarge);
        }
        Ok(Lengths { topic, properties: properties.0, remaining })
    }
}

impl PublishProperties<'_> {
    #[inline]
    fn write(&self, sink: &mut impl Sink) -> Result<(), EncodeFault> {
        if self.payload_is_utf8 {
            Property::PayloadFormatIndicator(true).write(sink)?;
        }
        if let Some(seconds) = self.message_expiry_interval {
            Property::MessageExpiryInterval(seconds).write(sink)?;
        }
        if let Some(alias) = self.topic_alias {
            Property::TopicAlias(alias.get()).write(sink)?;
        }
        if let Some(content_type) = self.content_type {
            Property::ContentType(content_type).write(sink)?;
        }
        if let Some(name) = self.response_topic {
            Property::ResponseTopic(name).write(sink)?;
        }
        if let Some(data) = self.correlation_data {
            Property::CorrelationData(data).write(sink)?;
        }
        self.user_properties.iter().try_for_each(|(name, value)| Property::UserProperty(name, value).write(sink))
    }
}
