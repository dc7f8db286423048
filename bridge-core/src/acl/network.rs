//! Addresses and networks in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network: `10.0.0.0/8`, `2001:db8::/32`, or one address. Bits behind the prefix do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    base: IpAddr,
    /// Bits that are its own.
    prefix: u32,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// What stands before the `/` is no address.
    #[error("is no IP address, nor a network such as 10.0.0.0/8")]
    Address,
    /// What stands behind the `/` is no number of bits.
    #[error("has a prefix that is no number from 0 to {0}")]
    Prefix(u32),
}

impl Network {
    /// True when the address lies in it. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix).is_some_and(|base| base == self.base)
    }
}

/// The first address of the network around `address`; `None` when it has fewer bits than that.
fn masked(address: IpAddr, prefix: u32) -> Option<IpAddr> {
    let hidden = bits(address).checked_sub(prefix)?;
    Some(match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(hidden).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(hidden).unwrap_or(0)).into()),
    })
}

const fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = NetworkFault;

    fn from_str(text: &str) -> Result<Self, NetworkFault> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(before, after)| (before, Some(after)));
        let address: IpAddr = address.parse().map_err(|_no_address| NetworkFault::Address)?;
        let fault = NetworkFault::Prefix(bits(address));
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix {
            None => bits(address),
            Some(text) if plain(text) => text.parse().map_err(|_too_large| fault)?,
            Some(_) => return Err(fault),
        };
        // Addresses are compared as IPv4 where they are that, so a network of such is one of IPv4.
        let (address, prefix) = match (address.to_canonical(), prefix.checked_sub(96)) {
            (v4 @ IpAddr::V4(_), Some(prefix)) if address.is_ipv6() => (v4, prefix),
            _ => (address, prefix),
        };
        let base = masked(address, prefix).ok_or(fault)?;
        Ok(Self { base, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_network_holds_the_addresses_of_its_prefix() {
        let table = [
            ("10.0.0.0/8",         "10.1.2.3",          true),
            ("10.0.0.0/8",         "11.0.0.0",          false),
            ("10.1.2.3/8",         "10.9.9.9",          true),
            ("10.1.2.3",           "10.1.2.3",          true),
            ("10.1.2.3",           "10.1.2.4",          false),
            ("10.1.2.2/31",        "10.1.2.3",          true),
            ("0.0.0.0/0",          "203.0.113.9",       true),
            ("0.0.0.0/0",          "::1",               false),
            ("::/0",               "2001:db8::1",       true),
            ("::/0",               "10.0.0.1",          false),
            ("2001:db8::/32",      "2001:db8:1::1",     true),
            ("2001:db8::/32",      "2001:db9::1",       false),
            ("10.0.0.0/8",         "::ffff:10.0.0.1",   true),
            ("::ffff:10.0.0.1",    "10.0.0.1",          true),
            ("::ffff:10.0.0.0/104", "10.1.2.3",         true),
            ("::ffff:10.0.0.0/104", "11.0.0.0",         false),
            ("::ffff:0:0/96",      "203.0.113.9",       true),
        ];
        for (network, address, inside) in table {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{address} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let table = [
            ("", NetworkFault::Address),
            ("lamp", NetworkFault::Address),
            ("10.0.0/8", NetworkFault::Address),
            ("10.0.0.0/33", NetworkFault::Prefix(32)),
            ("10.0.0.0/", NetworkFault::Prefix(32)),
            ("10.0.0.0/+8", NetworkFault::Prefix(32)),
            ("10.0.0.0/99999999999", NetworkFault::Prefix(32)),
            ("::/129", NetworkFault::Prefix(128)),
            ("::ffff:10.0.0.0/129", NetworkFault::Prefix(128)),
        ];
        for (text, fault) in table {
            assert_eq!(text.parse::<Network>(), Err(fault), "{text:?}");
        }
    }
}
