//! Who guesses passwords has to wait: by address, longer each time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Wrong passwords from one address within [`WINDOW_MS`] that lock it out.
pub(super) const MOST_TRIES: u32 = 5;
/// Over which they count, in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// The first lock-out, in milliseconds; each further one is twice as long.
const FIRST_MS: u64 = 30_000;
/// The longest.
const LONGEST_MS: u64 = 15 * 60_000;
/// An address that has been quiet for so long is as good as new. Longer than any lock-out.
const FORGOTTEN_MS: u64 = 30 * 60_000;
/// Addresses remembered.
pub(super) const MOST_ADDRESSES: usize = 1024;

/// What is remembered of one address.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Wrong passwords since `since_ms`.
    tries: u32,
    since_ms: u64,
    /// Lock-outs so far.
    lockouts: u32,
    until_ms: u64,
    latest_ms: u64,
}

/// Addresses that have given wrong passwords. Times are milliseconds of a monotone clock.
#[derive(Debug, Default)]
pub(super) struct Lockout {
    records: BTreeMap<IpAddr, Record>,
}

impl Lockout {
    /// Milliseconds that the address has to wait yet; `None` = it may try.
    pub(super) fn wait_ms(&self, from: IpAddr, now_ms: u64) -> Option<u64> {
        let record = self.records.get(&place(from))?;
        record.until_ms.checked_sub(now_ms).filter(|wait| *wait > 0)
    }

    /// A wrong password. A right one does not undo it: that may be somebody else's behind the same address.
    pub(super) fn failed(&mut self, from: IpAddr, now_ms: u64) {
        let from = place(from);
        if !self.records.contains_key(&from) {
            self.make_room(now_ms);
        }
        let fresh = Record { tries: 0, since_ms: now_ms, lockouts: 0, until_ms: 0, latest_ms: now_ms };
        let record = self.records.entry(from).or_insert(fresh);
        if now_ms.saturating_sub(record.latest_ms) >= FORGOTTEN_MS {
            *record = fresh;
        }
        if now_ms.saturating_sub(record.since_ms) >= WINDOW_MS {
            (record.tries, record.since_ms) = (0, now_ms);
        }
        record.latest_ms = now_ms;
        record.tries = record.tries.saturating_add(1);
        if record.tries >= MOST_TRIES {
            let longer = 1_u64.checked_shl(record.lockouts).unwrap_or(u64::MAX);
            record.until_ms = now_ms.saturating_add(FIRST_MS.saturating_mul(longer).min(LONGEST_MS));
            record.lockouts = record.lockouts.saturating_add(1);
            record.tries = 0;
        }
    }

    /// The table is full: those that are forgotten anyway go, else the one that has been quiet longest.
    fn make_room(&mut self, now_ms: u64) {
        if self.records.len() < MOST_ADDRESSES {
            return;
        }
        self.records.retain(|_, record| now_ms.saturating_sub(record.latest_ms) < FORGOTTEN_MS);
        if self.records.len() >= MOST_ADDRESSES {
            let quietest = self.records.iter().min_by_key(|(_, record)| (record.until_ms > now_ms, record.latest_ms));
            if let Some((&from, _)) = quietest {
                self.records.remove(&from);
            }
        }
    }
}

/// One network of IPv6 counts as one address: its owner has 2^64 of them.
fn place(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(lockout: &mut Lockout, from: IpAddr, times: u32, now_ms: u64) {
        (0..times).for_each(|_| lockout.failed(from, now_ms));
    }

    #[test]
    fn the_fifth_wrong_password_within_a_minute_locks_out() {
        let (mut lockout, from) = (Lockout::default(), ip("10.0.0.1"));
        fail(&mut lockout, from, 4, 0);
        assert_eq!(lockout.wait_ms(from, 0), None);
        lockout.failed(from, 59_999);
        assert_eq!(lockout.wait_ms(from, 59_999), Some(30_000));
        assert_eq!((lockout.wait_ms(from, 89_998), lockout.wait_ms(from, 89_999)), (Some(1), None));
        assert_eq!(lockout.wait_ms(ip("10.0.0.2"), 59_999), None, "nobody else");
    }

    #[test]
    fn tries_of_more_than_a_minute_ago_do_not_count() {
        let (mut lockout, from) = (Lockout::default(), ip("10.0.0.1"));
        for minute in 0..10 {
            fail(&mut lockout, from, 4, minute * 60_000);
            assert_eq!(lockout.wait_ms(from, minute * 60_000), None);
        }
    }

    #[test]
    fn each_lockout_is_twice_as_long_up_to_a_quarter_of_an_hour() {
        let (mut lockout, from, mut now) = (Lockout::default(), ip("10.0.0.1"), 0);
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                fail(&mut lockout, from, 5, now);
                let wait = lockout.wait_ms(from, now).unwrap();
                now += wait;
                wait / 1000
            })
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
        now += FORGOTTEN_MS;
        fail(&mut lockout, from, 5, now);
        assert_eq!(lockout.wait_ms(from, now), Some(30_000), "forgotten after half an hour");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_address_is_ipv4() {
        let mut lockout = Lockout::default();
        for host in 0..5 {
            lockout.failed(ip(&format!("2001:db8::{host:x}")), 0);
        }
        assert!(lockout.wait_ms(ip("2001:db8::ffff"), 0).is_some());
        assert!(lockout.wait_ms(ip("2001:db8:0:1::1"), 0).is_none());
        fail(&mut lockout, ip("::ffff:10.0.0.1"), 5, 0);
        assert!(lockout.wait_ms(ip("10.0.0.1"), 0).is_some());
    }

    #[test]
    fn a_full_table_forgets_who_is_not_locked_out_and_quiet_longest() {
        let mut lockout = Lockout::default();
        let address = |n: usize| IpAddr::from((0x0A00_0000_u32 + u32::try_from(n).unwrap()).to_be_bytes());
        fail(&mut lockout, address(0), 5, 0);
        for n in 1..MOST_ADDRESSES {
            lockout.failed(address(n), n as u64);
        }
        assert_eq!(lockout.records.len(), MOST_ADDRESSES);
        lockout.failed(address(MOST_ADDRESSES), 5000);
        assert_eq!(lockout.records.len(), MOST_ADDRESSES);
        assert!(lockout.records.contains_key(&address(0)) && !lockout.records.contains_key(&address(1)));
        assert!(lockout.wait_ms(address(0), 5000).is_some(), "a flood of addresses frees nobody");
    }
}
