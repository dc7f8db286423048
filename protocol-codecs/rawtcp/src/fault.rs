use wire::WireFault;

/// Why a stream was refused. What follows on it cannot be told apart any more, so its connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A frame of this reserved type, 0 or 7 to 15.
    UnknownType(u8),
    /// A frame that only the other side may send.
    WrongDirection,
    /// The device's first frame is not CONNECT.
    FirstNotConnect,
    /// CONNECT on a connection that has had one.
    SecondConnect,
    /// CONNECT's payload is not keepalive, client id, and at most user name and password behind it.
    BadConnect(WireFault),
    /// The named field is not UTF-8.
    NotUtf8(&'static str),
    /// A CONNACK with this return code, 3 to 15.
    UnknownCode(u8),
    /// A frame with more octets of payload than may come.
    TooLarge {
        /// What there are already, or what the header claims, in octets.
        bytes: usize,
        /// The limit, in octets.
        limit: usize,
    },
}

impl Fault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownType(_) => "unknown_type",
            Self::WrongDirection => "wrong_direction",
            Self::FirstNotConnect => "first_not_connect",
            Self::SecondConnect => "second_connect",
            Self::BadConnect(_) => "bad_connect",
            Self::NotUtf8(_) => "not_utf8",
            Self::UnknownCode(_) => "unknown_code",
            Self::TooLarge { .. } => "frame_too_large",
        }
    }
}

/// Faults of CONNECT's payload: broken text is told apart from a broken layout.
impl From<WireFault> for Fault {
    fn from(fault: WireFault) -> Self {
        match fault {
            WireFault::NotUtf8(field) => Self::NotUtf8(field),
            WireFault::Truncated(_) | WireFault::Trailing(_) => Self::BadConnect(fault),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownType(kind) => write!(f, "frame type {kind} is reserved"),
            Self::WrongDirection => f.write_str("this frame goes the other way"),
            Self::FirstNotConnect => f.write_str("the first frame is not CONNECT"),
            Self::SecondConnect => f.write_str("a second CONNECT"),
            Self::BadConnect(fault) => write!(f, "CONNECT: {fault}"),
            Self::NotUtf8(field) => write!(f, "{field} is not UTF-8"),
            Self::UnknownCode(code) => write!(f, "return code {code} is unknown"),
            Self::TooLarge { bytes, limit } => write!(f, "a frame of {bytes} bytes, at most {limit} may come"),
        }
    }
}

impl std::error::Error for Fault {}

/// Why a frame could not be written: its framing cannot say it. Nothing is appended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeFault {
    /// More octets than a frame may have, or than its length field can say.
    TooLong {
        /// What there are, in octets.
        bytes: usize,
        /// The most there may be, in octets.
        limit: usize,
    },
    /// Every frame of the stream has the same size, and this is another.
    WrongSize {
        /// What there are, in octets.
        bytes: usize,
        /// What there should be, in octets.
        size: usize,
    },
    /// A password without a user name before it.
    PasswordAlone,
}

impl EncodeFault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "message_too_long",
            Self::WrongSize { .. } => "wrong_size",
            Self::PasswordAlone => "password_alone",
        }
    }
}

impl std::fmt::Display for EncodeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => write!(f, "{bytes} bytes do not fit a frame of {limit}"),
            Self::WrongSize { bytes, size } => write!(f, "{bytes} bytes where every frame has {size}"),
            Self::PasswordAlone => f.write_str("a password needs a user name"),
        }
    }
}

impl std::error::Error for EncodeFault {}
