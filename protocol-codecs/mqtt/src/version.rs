/// The MQTT version that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1. Properties are neither read nor written.
    V311,
    /// MQTT 5.0.
    V5,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V311 => "MQTT 3.1.1",
            Self::V5 => "MQTT 5.0",
        })
    }
}

/// The protocol name and level in CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// `MQIsdp`, level 3: MQTT 3.1, laid out like 3.1.1.
    V31,
    /// `MQTT`, level 4.
    V311,
    /// `MQTT`, level 5.
    V5,
}

impl Level {
    /// How packets of this level are laid out.
    #[must_use]
    pub const fn version(self) -> Version {
        match self {
            Self::V31 | Self::V311 => Version::V311,
            Self::V5 => Version::V5,
        }
    }

    pub(crate) const fn name_and_number(self) -> (&'static str, u8) {
        match self {
            Self::V31 => ("MQIsdp", 3),
            Self::V311 => ("MQTT", 4),
            Self::V5 => ("MQTT", 5),
        }
    }
}

impl From<Version> for Level {
    fn from(version: Version) -> Self {
        match version {
            Version::V311 => Self::V311,
            Version::V5 => Self::V5,
        }
    }
}
