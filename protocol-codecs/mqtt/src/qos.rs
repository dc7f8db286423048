use crate::{Fault, Version};
use std::num::NonZeroU16;
use wire::Reader;

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// QoS 0: at most once.
    #[default]
    AtMostOnce,
    /// QoS 1: at least once.
    AtLeastOnce,
    /// QoS 2: exactly once.
    ExactlyOnce,
}

impl Qos {
    /// The QoS of the number 0, 1 or 2; `None` for any other.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
            Self::ExactlyOnce => 2,
        }
    }
}

/// Packet identifier, 1 to 65,535. A QoS 0 publication has none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// 1, where a client begins.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// `None` for 0.
    #[must_use]
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// 1 to 65,535.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The identifier after this one; 1 after 65,535.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(id) => Self(id),
            None => Self::FIRST,
        }
    }

    /// Zero is malformed in 3.1.1 (2.3.1) and a protocol error in 5.0 (2.2.1).
    #[inline]
    pub(crate) fn read(r: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        match (Self::new(r.u16("packet identifier")?), version) {
            (Some(id), _) => Ok(id),
            (None, Version::V311) => Err(Fault::Malformed("packet identifier")),
            (None, Version::V5) => Err(Fault::Protocol("packet identifier")),
        }
    }
}

impl From<NonZeroU16> for PacketId {
    fn from(id: NonZeroU16) -> Self {
        Self(id)
    }
}

impl std::fmt::Display for PacketId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_ids_run_from_1_to_65535_and_around() {
        assert_eq!(PacketId::new(0), None);
        assert_eq!(PacketId::FIRST.next().get(), 2);
        assert_eq!(PacketId::new(65_535).map(PacketId::next), Some(PacketId::FIRST));
    }

    #[test]
    fn there_is_no_qos_3() {
        let all: Vec<_> = (0..=3).map(|bits| Qos::from_bits(bits).map(Qos::bits)).collect();
        assert_eq!(all, [Some(0), Some(1), Some(2), None]);
    }
}
