//! The properties of one packet.

use super::rules::{bit, has_alias};
use super::{Allowed, Checker, Property, skip};
use crate::frame::{size, varint};
use crate::sink::{Count, Sink, put_varint};
use crate::{EncodeFault, Fault, Qos, Version};
use wire::Reader;

/// The properties of one packet, in their order: a block that [`decode`](crate::decode) has checked, or a list to write.
///
/// Getters allocate nothing; one for a property that a received packet does not carry looks at one bit. Comparison goes
/// property by property.
#[derive(Clone, Copy, Default)]
pub struct Properties<'a>(Store<'a>);

#[derive(Clone, Copy)]
enum Store<'a> {
    /// Checked for `allowed`; `seen` has a bit per identifier that occurs.
    Block {
        octets: &'a [u8],
        seen: u64,
        allowed: Allowed,
    },
    List(&'a [Property<'a>]),
}

impl Default for Store<'_> {
    fn default() -> Self {
        Self::List(&[])
    }
}

impl<'a> Properties<'a> {
    /// None at all.
    pub const EMPTY: Self = Self(Store::List(&[]));

    /// The properties to write. They are checked when they are: what does not belong to the packet is
    /// [`EncodeFault::Property`].
    #[must_use]
    pub const fn list(properties: &'a [Property<'a>]) -> Self {
        Self(Store::List(properties))
    }

    /// True when there is none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        match self.0 {
            Store::Block { octets, .. } => octets.is_empty(),
            Store::List(list) => list.is_empty(),
        }
    }

    /// All of them, in their order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Property<'a>> + Clone + use<'a> {
        let (octets, list) = match self.0 {
            Store::Block { octets, .. } => (octets, &[][..]),
            Store::List(list) => (&[][..], list),
        };
        let mut r = Reader::new(octets);
        // The block was checked when it was decoded: reading stops at its end only.
        let block = std::iter::from_fn(move || if r.is_empty() { None } else { Property::read(&mut r).ok() });
        block.chain(list.iter().copied())
    }

    /// Reads and checks a property length and that many octets.
    #[inline]
    pub(crate) fn read(r: &mut Reader<'a>, allowed: Allowed) -> Result<Self, Fault> {
        let length = varint(r, "property length")?;
        if length == 0 {
            return Ok(Self::EMPTY);
        }
        Self::check(r.take(size(length), "properties")?, allowed)
    }

    /// Nothing in 3.1.1, which has no properties.
    #[inline]
    pub(crate) fn read_in(version: Version, r: &mut Reader<'a>, allowed: Allowed) -> Result<Self, Fault> {
        match version {
            Version::V311 => Ok(Self::EMPTY),
            Version::V5 => Self::read(r, allowed),
        }
    }

    fn check(octets: &'a [u8], allowed: Allowed) -> Result<Self, Fault> {
        let mut checker = Checker::new(allowed);
        let mut r = Reader::new(octets);
        while !r.is_empty() {
            checker.see(&Property::read(&mut r)?)?;
        }
        let seen = checker.finish()?;
        Ok(Self(Store::Block { octets, seen, allowed }))
    }

    /// Writes the property length and the properties, which must be `allowed`.
    pub(crate) fn write(&self, sink: &mut impl Sink, allowed: Allowed) -> Result<(), EncodeFault> {
        if let Store::Block { octets, allowed: checked, .. } = self.0
            && checked == allowed
        {
            put_varint(sink, octets.len())?;
            sink.put(octets);
            return Ok(());
        }
        let mut checker = Checker::new(allowed);
        let mut length = Count::default();
        for property in self.iter() {
            checker.see(&property).map_err(EncodeFault::Property)?;
            property.write(&mut length)?;
        }
        checker.finish().map_err(EncodeFault::Property)?;
        put_varint(sink, length.0)?;
        self.iter().try_for_each(|property| property.write(sink))
    }

    /// The first property `id`.
    fn find(&self, id: u8) -> Option<Property<'a>> {
        match self.0 {
            Store::Block { seen, .. } if seen & bit(id) == 0 => None,
            Store::Block { octets, .. } => {
                let mut r = Reader::new(octets);
                loop {
                    let mut value = r;
                    let found = value.u8("property identifier").ok()?;
                    if found == id {
                        return Property::read(&mut r).ok();
                    }
                    skip(found, &mut value).ok()?;
                    r = value;
                }
            }
            Store::List(list) => list.iter().copied().find(|property| property.id() == id),
        }
    }
}

/// One line per getter: its name, the identifier, the variant, the type, its words.
macro_rules! getters {
    ($($name:ident, $id:literal, $variant:ident, $type:ty, $doc:literal;)*) => {
        impl<'a> Properties<'a> {
            $(#[doc = $doc]
            #[must_use]
            #[inline]
            pub fn $name(&self) -> Option<$type> {
                match self.find($id)? {
                    Property::$variant(value) => Some(value),
                    _ => None,
                }
            })*
        }
    };
}

getters! {
    payload_format_indicator, 0x01, PayloadFormatIndicator, bool, "True when the payload is UTF-8.";
    message_expiry_interval, 0x02, MessageExpiryInterval, u32, "Seconds until the message is worthless.";
    content_type, 0x03, ContentType, &'a str, "What the payload is.";
    response_topic, 0x08, ResponseTopic, &'a str, "Topic name for the answer, without wildcards.";
    correlation_data, 0x09, CorrelationData, &'a [u8], "What the answer carries back.";
    session_expiry_interval, 0x11, SessionExpiryInterval, u32, "Seconds the session outlives the connection.";
    assigned_client_identifier, 0x12, AssignedClientIdentifier, &'a str, "The client id that the server chose.";
    server_keep_alive, 0x13, ServerKeepAlive, u16, "Keep alive in seconds that the server wants.";
    authentication_method, 0x15, AuthenticationMethod, &'a str, "Name of the authentication method.";
    request_problem_information, 0x17, RequestProblemInformation, bool, "Whether reasons are wanted on failures.";
    will_delay_interval, 0x18, WillDelayInterval, u32, "Seconds from the loss of the connection to the will.";
    request_response_information, 0x19, RequestResponseInformation, bool, "Whether response information is wanted.";
    response_information, 0x1A, ResponseInformation, &'a str, "Basis for response topics.";
    server_reference, 0x1C, ServerReference, &'a str, "Another server to use.";
    reason_string, 0x1F, ReasonString, &'a str, "The reason in words.";
    receive_maximum, 0x21, ReceiveMaximum, u16, "Publications in flight that the sender can hold, at least 1.";
    topic_alias_maximum, 0x22, TopicAliasMaximum, u16, "Highest topic alias that the sender accepts.";
    topic_alias, 0x23, TopicAlias, u16, "1 to 65,535.";
    maximum_qos, 0x24, MaximumQos, Qos, "QoS 0 or 1; absent means 2.";
    retain_available, 0x25, RetainAvailable, bool, "Whether the server keeps retained messages; absent means it does.";
    maximum_packet_size, 0x27, MaximumPacketSize, u32, "Longest packet that the sender accepts, in octets.";
    wildcard_subscription_available, 0x28, WildcardSubscriptionAvailable, bool, "Absent means true.";
    subscription_identifier_available, 0x29, SubscriptionIdentifierAvailable, bool, "Absent means true.";
    shared_subscription_available, 0x2A, SharedSubscriptionAvailable, bool, "Absent means true.";
}

impl<'a> Properties<'a> {
    /// Octets of the authentication method.
    #[must_use]
    pub fn authentication_data(&self) -> Option<&'a [u8]> {
        match self.find(0x16)? {
            Property::AuthenticationData(data) => Some(data.0),
            _ => None,
        }
    }

    /// Subscription identifiers, 1 to 268,435,455: in PUBLISH one per subscription that matched.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + Clone + use<'a> {
        self.having(0x0B).iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        })
    }

    /// User properties, name and value, in their order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        self.having(0x26).iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Itself, or none at all when a block has no property `id`, so that nothing is searched in vain.
    const fn having(&self, id: u8) -> Self {
        match self.0 {
            Store::Block { seen, .. } if seen & bit(id) == 0 => Self::EMPTY,
            _ => *self,
        }
    }

    #[inline]
    pub(crate) fn has_topic_alias(&self) -> bool {
        match self.0 {
            Store::Block { seen, .. } => has_alias(seen),
            Store::List(_) => self.topic_alias().is_some(),
        }
    }
}

impl PartialEq for Properties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Properties<'_> {}

impl std::fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
