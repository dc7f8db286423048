//! Which packet may carry which property (5.0, table 2-4), how often, and with which value.

use super::Property;
use crate::{Fault, Qos, topic};

/// The properties that a packet, or a will, may carry: bit n stands for identifier n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed(u64);

impl Allowed {
    pub(crate) const WILL: Self = Self::of(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x18]);
    pub(crate) const PUBLISH: Self = Self::of(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23]);
    pub(crate) const CONNECT: Self = Self::of(&[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x27]);
    pub(crate) const CONNACK: Self =
        Self::of(&[0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x27, 0x28, 0x29, 0x2A]);
    pub(crate) const ACK: Self = Self::of(&[0x1F]);
    pub(crate) const SUBSCRIBE: Self = Self::of(&[0x0B]);
    pub(crate) const UNSUBSCRIBE: Self = Self::of(&[]);
    pub(crate) const DISCONNECT: Self = Self::of(&[0x11, 0x1C, 0x1F]);
    pub(crate) const AUTH: Self = Self::of(&[0x15, 0x16, 0x1F]);

    /// These and the user property, which every packet may carry.
    const fn of(mut ids: &[u8]) -> Self {
        let mut mask = bit(USER_PROPERTY);
        while let [first, rest @ ..] = ids {
            mask |= bit(*first);
            ids = rest;
        }
        Self(mask)
    }
}

const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;
const TOPIC_ALIAS: u8 = 0x23;
const USER_PROPERTY: u8 = 0x26;

/// No identifier is above 0x2A; one that were would have no bit, and so be allowed nowhere.
#[inline]
pub(super) const fn bit(id: u8) -> u64 {
    match 1_u64.checked_shl(id as u32) {
        Some(bit) => bit,
        None => 0,
    }
}

/// Looks at the properties of one packet in turn.
#[derive(Debug)]
pub(crate) struct Checker {
    allowed: Allowed,
    seen: u64,
}

impl Checker {
    #[inline]
    pub(crate) const fn new(allowed: Allowed) -> Self {
        Self { allowed, seen: 0 }
    }

    /// Takes the next property.
    pub(crate) fn see(&mut self, property: &Property<'_>) -> Result<(), Fault> {
        let id = property.id();
        if self.allowed.0 & bit(id) == 0 {
            return Err(Fault::Malformed("property of another packet type"));
        }
        let repeats = id == USER_PROPERTY || (id == SUBSCRIPTION_IDENTIFIER && self.allowed == Allowed::PUBLISH);
        if self.seen & bit(id) != 0 && !repeats {
            return Err(Fault::Protocol("property given twice"));
        }
        self.seen |= bit(id);
        check_value(property)
    }

    /// What the properties must be together; the set of identifiers seen.
    pub(crate) const fn finish(self) -> Result<u64, Fault> {
        if self.seen & bit(AUTHENTICATION_DATA) != 0 && self.seen & bit(AUTHENTICATION_METHOD) == 0 {
            return Err(Fault::Protocol("authentication data without a method"));
        }
        Ok(self.seen)
    }
}

const fn check_value_range(property: &Property<'_>) -> Result<(), Fault> {
    match property {
        Property::SubscriptionIdentifier(0) => Err(Fault::Protocol("subscription identifier")),
        Property::ReceiveMaximum(0) => Err(Fault::Protocol("receive maximum")),
        Property::MaximumPacketSize(0) => Err(Fault::Protocol("maximum packet size")),
        Property::MaximumQos(Qos::ExactlyOnce) => Err(Fault::Protocol("maximum qos")),
        Property::TopicAlias(0) => Err(Fault::TopicAlias),
        _ => Ok(()),
    }
}

fn check_value(property: &Property<'_>) -> Result<(), Fault> {
    match property {
        // A name that cannot be published to is a protocol error here (5.0, 3.3.2.3.5), not a bad topic of the packet.
        Property::ResponseTopic(name) if topic::check_name(name).is_err() => Err(Fault::Protocol("response topic")),
        other => check_value_range(other),
    }
}

/// True when `seen` holds the topic alias.
pub(super) const fn has_alias(seen: u64) -> bool {
    seen & bit(TOPIC_ALIAS) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Secret;

    fn check(allowed: Allowed, properties: &[Property<'_>]) -> Result<u64, Fault> {
        let mut checker = Checker::new(allowed);
        properties.iter().try_for_each(|property| checker.see(property))?;
        checker.finish()
    }

    #[test]
    fn each_packet_has_its_properties() {
        let table = [
            (Allowed::WILL, 7),
            (Allowed::PUBLISH, 8),
            (Allowed::CONNECT, 9),
            (Allowed::CONNACK, 17),
            (Allowed::ACK, 2),
            (Allowed::SUBSCRIBE, 2),
            (Allowed::UNSUBSCRIBE, 1),
            (Allowed::DISCONNECT, 4),
            (Allowed::AUTH, 4),
        ];
        for (allowed, count) in table {
            assert_eq!(allowed.0.count_ones(), count, "{allowed:?}");
        }
        let other = Err(Fault::Malformed("property of another packet type"));
        assert_eq!(check(Allowed::ACK, &[Property::TopicAlias(1)]), other);
    }

    #[test]
    fn only_user_properties_and_subscription_identifiers_of_publish_repeat() {
        let twice = Err(Fault::Protocol("property given twice"));
        let ids = [Property::SubscriptionIdentifier(1), Property::SubscriptionIdentifier(1)];
        assert_eq!(check(Allowed::SUBSCRIBE, &ids), twice);
        assert!(check(Allowed::PUBLISH, &ids).is_ok());
        assert_eq!(check(Allowed::PUBLISH, &[Property::TopicAlias(1), Property::TopicAlias(1)]), twice);
        assert!(check(Allowed::ACK, &[Property::UserProperty("k", "v"), Property::UserProperty("k", "v")]).is_ok());
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let method = [Property::AuthenticationData(Secret(b"x")), Property::AuthenticationMethod("m")];
        assert!(check(Allowed::AUTH, &method).is_ok());
        let without = Err(Fault::Protocol("authentication data without a method"));
        assert_eq!(check(Allowed::AUTH, &method[..1]), without);
        assert_eq!(check(Allowed::CONNECT, &[Property::ReceiveMaximum(0)]), Err(Fault::Protocol("receive maximum")));
        assert_eq!(check(Allowed::PUBLISH, &[Property::TopicAlias(0)]), Err(Fault::TopicAlias));
        assert_eq!(check(Allowed::WILL, &[Property::ResponseTopic("a/+")]), Err(Fault::Protocol("response topic")));
    }
}
