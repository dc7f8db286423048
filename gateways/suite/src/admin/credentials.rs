//! HTTP Basic (RFC 7617): user name and password of `[admin]`.

use std::fmt;

use axum::http::HeaderValue;

/// What a request must bring.
pub(super) struct Credentials {
    /// The whole header after `Basic `.
    expected: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Credentials {
    /// None are asked for while neither is set. (The configuration allows that on loopback only.)
    pub(super) fn new(username: &str, password: &str) -> Option<Self> {
        if username.is_empty() && password.is_empty() {
            return None;
        }
        Some(Self { expected: openssl::base64::encode_block(format!("{username}:{password}").as_bytes()) })
    }

    /// True for the right pair.
    pub(super) fn admit(&self, header: Option<&HeaderValue>) -> bool {
        let Some(header) = header.and_then(|header| header.to_str().ok()) else { return false };
        let Some((scheme, given)) = header.split_once(' ') else { return false };
        // Equal lengths are compared in constant time; the length itself is no secret worth hiding.
        scheme.eq_ignore_ascii_case("basic")
            && given.len() == self.expected.len()
            && openssl::memcmp::eq(given.as_bytes(), self.expected.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_pair_gets_in() {
        let credentials = Credentials::new("Aladdin", "open sesame").unwrap();
        // The pair and its encoding are RFC 7617's own.
        for (header, expected) in [
            (Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), true),
            (Some("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), true),
            (Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZA=="), false),
            (Some("Basic QWxhZGRpbjo="), false),
            (Some("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), false),
            (Some("Basic"), false),
            (None, false),
        ] {
            assert_eq!(credentials.admit(header.map(HeaderValue::from_static).as_ref()), expected, "{header:?}");
        }
    }

    #[test]
    fn nothing_is_asked_for_while_nothing_is_set() {
        assert!(Credentials::new("", "").is_none());
        assert!(Credentials::new("ops", "").is_some());
        assert_eq!(format!("{:?}", Credentials::new("ops", "hunter2")), "Some(Credentials(***))");
    }
}
