//! Which addresses a listener hears at all: rules in order, the first that an address lies in decides.

use crate::acl::{Network, Verdict};
use settings::{Item, Leaf, Misfit, quoted};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// One rule: `allow all`, `deny 10.0.0.0/8`, `allow 192.168.1.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRule {
    permit: Verdict,
    /// None: all addresses.
    network: Option<Network>,
}

impl AccessRule {
    /// Everybody is heard.
    pub const ALLOW_ALL: Self = Self { permit: Verdict::Allow, network: None };

    fn concerns(&self, address: IpAddr) -> bool {
        self.network.is_none_or(|network| network.contains(address))
    }
}

impl FromStr for AccessRule {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let mut words = text.split_ascii_whitespace();
        let permit = match words.next() {
            Some("allow") => Verdict::Allow,
            Some("deny") => Verdict::Deny,
            Some(_) | None => return Err(Misfit::Unexpected),
        };
        let (Some(whom), None) = (words.next(), words.next()) else { return Err(Misfit::Unexpected) };
        let network = match whom {
            "all" => None,
            network => {
                Some(network.parse().map_err(|fault| Misfit::Refused(format!("is no rule: {network} {fault}")))?)
            }
        };
        Ok(Self { permit, network })
    }
}

impl fmt::Display for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permit = match self.permit {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        };
        match &self.network {
            None => write!(f, "{permit} all"),
            Some(network) => write!(f, "{permit} {network}"),
        }
    }
}

impl Leaf for AccessRule {
    const EXPECTED: &'static str = "a rule like \"allow all\", \"deny 10.0.0.0/8\" or \"allow 192.168.1.5\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        item.text().ok_or(Misfit::Unexpected)?.parse()
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// The rules of one listener, in order. An address that none of them concerns is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessList(Box<[AccessRule]>);

impl Default for AccessList {
    /// Everybody is heard.
    fn default() -> Self {
        Self(Box::new([AccessRule::ALLOW_ALL]))
    }
}

impl From<&[AccessRule]> for AccessList {
    fn from(rules: &[AccessRule]) -> Self {
        Self(rules.into())
    }
}

impl AccessList {
    /// Whether this address is heard. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let first = self.0.iter().find(|rule| rule.concerns(address));
        first.is_some_and(|rule| rule.permit == Verdict::Allow)
    }

    /// True when everybody is heard: the rules need not be asked.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.first() == Some(&AccessRule::ALLOW_ALL)
    }

    /// True when nobody is heard, whatever the address.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        let before_all = self.0.iter().take_while(|rule| **rule != Self::DENY_ALL);
        before_all.into_iter().all(|rule| rule.permit == Verdict::Deny)
    }

    /// The first rule that decides nothing, because one before it concerns everybody.
    #[must_use]
    pub fn unreached(&self) -> Option<&AccessRule> {
        let last = self.0.iter().position(|rule| rule.network.is_none())?;
        self.0.get(last.checked_add(1)?)
    }

    const DENY_ALL: AccessRule = AccessRule { permit: Verdict::Deny, network: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rules: &[&str]) -> AccessList {
        let rules: Vec<AccessRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        AccessList::from(&*rules)
    }

    #[test]
    #[rustfmt::skip]
    fn the_first_rule_that_concerns_an_address_decides() {
        let table: [(&[&str], &str, bool); 15] = [
            (&["allow all"],                                  "203.0.113.9",      true),
            (&["allow all"],                                  "2001:db8::1",      true),
            (&["deny all"],                                   "203.0.113.9",      false),
            (&["allow all", "deny 10.0.0.0/8"],               "10.0.0.1",         true),
            (&["deny 10.0.0.0/8", "allow all"],               "10.0.0.1",         false),
            (&["deny 10.0.0.0/8", "allow all"],               "11.0.0.1",         true),
            (&["allow 10.1.0.0/16", "deny 10.0.0.0/8", "allow all"], "10.1.2.3",  true),
            (&["allow 10.1.0.0/16", "deny 10.0.0.0/8", "allow all"], "10.2.2.3",  false),
            (&["deny 10.0.0.0/8", "allow all"],               "::ffff:10.0.0.1",  false),
            (&["allow ::ffff:10.0.0.0/104"],                  "10.0.0.1",         true),
            (&["allow 10.0.0.0/8"],                           "2001:db8::1",      false),
            (&["deny 2001:db8::/32", "allow all"],            "2001:db8::1",      false),
            (&["allow 192.168.1.5"],                          "192.168.1.5",      true),
            // None of them concerns it.
            (&["allow 192.168.1.5"],                          "192.168.1.6",      false),
            (&[],                                             "127.0.0.1",        false),
        ];
        for (rules, address, heard) in table {
            assert_eq!(list(rules).admits(address.parse().unwrap()), heard, "{address} by {rules:?}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_list_knows_whether_it_is_open_or_shut_and_what_it_never_reaches() {
        for (rules, open, shut, unreached) in [
            (&["allow all"][..],                           true,  false, None),
            (&["allow all", "deny 10.0.0.0/8"],            true,  false, Some("deny 10.0.0.0/8")),
            (&["deny all"],                                false, true,  None),
            (&["deny all", "allow 10.0.0.0/8"],            false, true,  Some("allow 10.0.0.0/8")),
            (&["deny 10.0.0.0/8"],                         false, true,  None),
            (&["deny 10.0.0.0/8", "allow all"],            false, false, None),
            (&["allow 10.0.0.0/8", "deny all"],            false, false, None),
            (&[],                                          false, true,  None),
        ] {
            let list = list(rules);
            let told = list.unreached().map(ToString::to_string);
            assert_eq!((list.is_open(), list.is_shut(), told.as_deref()), (open, shut, unreached), "{rules:?}");
        }
        assert!(AccessList::default().is_open());
    }

    #[test]
    fn a_rule_is_printed_as_it_is_read() {
        let table = [
            ("allow all", "allow all"),
            (" deny  all ", "deny all"),
            ("deny 10.1.2.3/8", "deny 10.0.0.0/8"),
            ("allow 192.168.1.5", "allow 192.168.1.5/32"),
            ("allow ::1", "allow ::1/128"),
        ];
        for (text, printed) in table {
            let rule: AccessRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), printed);
            assert_eq!(printed.parse(), Ok(rule));
        }
        for text in ["", "all", "allow", "Allow all", "permit all", "allow all 10.0.0.1", "allow,all"] {
            assert_eq!(text.parse::<AccessRule>(), Err(Misfit::Unexpected), "{text:?}");
        }
        let wrong = |text: &str| match text.parse::<AccessRule>() {
            Err(Misfit::Refused(why)) => why,
            other => format!("{other:?}"),
        };
        assert_eq!(wrong("deny lamp"), "is no rule: lamp is no IP address, nor a network such as 10.0.0.0/8");
        assert_eq!(wrong("deny 10.0.0.0/33"), "is no rule: 10.0.0.0/33 has a prefix that is no number from 0 to 32");
    }
}
