/// Reason code of 5.0, in which the return codes of 3.1.1 are told too. 0x80 and above are failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u8);

/// One line per code: its constant, its number, its words in a log.
macro_rules! reason_codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl ReasonCode {
            $(#[doc = concat!("`", stringify!($code), "`: ", $text, ".")]
            pub const $name: Self = Self($code);)*

            /// Plain words for a log; the same words for codes that no version defines.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "undefined reason code",
                }
            }

            /// Every code that a version defines, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self($code),)*];
        }
    };
}

reason_codes! {
    SUCCESS = 0x00, "success";
    GRANTED_QOS_1 = 0x01, "granted QoS 1";
    GRANTED_QOS_2 = 0x02, "granted QoS 2";
    DISCONNECT_WITH_WILL = 0x04, "disconnect and publish the will";
    NO_MATCHING_SUBSCRIBERS = 0x10, "nobody is subscribed to the topic";
    NO_SUBSCRIPTION_EXISTED = 0x11, "there was no such subscription";
    CONTINUE_AUTHENTICATION = 0x18, "authentication goes on";
    RE_AUTHENTICATE = 0x19, "authenticate again";
    UNSPECIFIED_ERROR = 0x80, "failure without a stated reason";
    MALFORMED_PACKET = 0x81, "malformed packet";
    PROTOCOL_ERROR = 0x82, "protocol error";
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "refused by a rule of the receiver";
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "protocol version not supported";
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "client id not accepted";
    BAD_USER_NAME_OR_PASSWORD = 0x86, "bad user name or password";
    NOT_AUTHORIZED = 0x87, "not authorized";
    SERVER_UNAVAILABLE = 0x88, "server unavailable";
    SERVER_BUSY = 0x89, "server busy";
    BANNED = 0x8A, "client is banned";
    SERVER_SHUTTING_DOWN = 0x8B, "server is shutting down";
    BAD_AUTHENTICATION_METHOD = 0x8C, "authentication method not supported";
    KEEP_ALIVE_TIMEOUT = 0x8D, "nothing received within the keep alive";
    SESSION_TAKEN_OVER = 0x8E, "another connection uses the same client id";
    TOPIC_FILTER_INVALID = 0x8F, "topic filter not accepted";
    TOPIC_NAME_INVALID = 0x90, "topic name not accepted";
    PACKET_IDENTIFIER_IN_USE = 0x91, "packet identifier already in use";
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "packet identifier not found";
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "more publications in flight than the receive maximum";
    TOPIC_ALIAS_INVALID = 0x94, "topic alias not accepted";
    PACKET_TOO_LARGE = 0x95, "packet larger than the maximum packet size";
    MESSAGE_RATE_TOO_HIGH = 0x96, "message rate too high";
    QUOTA_EXCEEDED = 0x97, "quota exceeded";
    ADMINISTRATIVE_ACTION = 0x98, "closed by an administrator";
    PAYLOAD_FORMAT_INVALID = 0x99, "payload does not match its format indicator";
    RETAIN_NOT_SUPPORTED = 0x9A, "retained messages not supported";
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported";
    USE_ANOTHER_SERVER = 0x9C, "use another server for now";
    SERVER_MOVED = 0x9D, "server has moved";
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "shared subscriptions not supported";
    CONNECTION_RATE_EXCEEDED = 0x9F, "connection rate exceeded";
    MAXIMUM_CONNECT_TIME = 0xA0, "maximum connect time reached";
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "subscription identifiers not supported";
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// True from 0x80 on.
    #[must_use]
    #[inline]
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The code of a CONNACK return code of 3.1.1 (3.2.2.3); `None` above 5.
    #[must_use]
    pub const fn from_v311_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::SUCCESS),
            1 => Some(Self::UNSUPPORTED_PROTOCOL_VERSION),
            2 => Some(Self::CLIENT_IDENTIFIER_NOT_VALID),
            3 => Some(Self::SERVER_UNAVAILABLE),
            4 => Some(Self::BAD_USER_NAME_OR_PASSWORD),
            5 => Some(Self::NOT_AUTHORIZED),
            _ => None,
        }
    }

    /// The CONNACK return code of 3.1.1 that comes nearest, 0 to 5.
    #[must_use]
    pub const fn v311_return_code(self) -> u8 {
        match self {
            Self::UNSUPPORTED_PROTOCOL_VERSION => 1,
            Self::CLIENT_IDENTIFIER_NOT_VALID => 2,
            Self::BAD_USER_NAME_OR_PASSWORD | Self::BAD_AUTHENTICATION_METHOD => 4,
            Self::NOT_AUTHORIZED | Self::BANNED => 5,
            other if other.is_error() => 3,
            _ => 0,
        }
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (0x{:02X})", self.text(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words_of_its_own() {
        let mut texts: Vec<_> = ReasonCode::ALL.iter().map(|code| code.text()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), ReasonCode::ALL.len());
        assert_eq!(ReasonCode::ALL.len(), 43);
        assert!(!texts.contains(&ReasonCode(0xFF).text()));
    }

    #[test]
    fn failures_begin_at_0x80() {
        assert!(!ReasonCode::RE_AUTHENTICATE.is_error());
        assert!(ReasonCode::UNSPECIFIED_ERROR.is_error());
        assert_eq!(ReasonCode::NOT_AUTHORIZED.to_string(), "not authorized (0x87)");
    }

    #[test]
    fn return_codes_of_3_1_1_come_back() {
        for code in 0..=5 {
            let reason = ReasonCode::from_v311_return_code(code);
            assert_eq!(reason.map(ReasonCode::v311_return_code), Some(code));
        }
        assert_eq!(ReasonCode::from_v311_return_code(6), None);
        assert_eq!(ReasonCode::QUOTA_EXCEEDED.v311_return_code(), 3);
    }
}
