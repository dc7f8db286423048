//! A page of a list that lies on several shards, gathered slice by slice.

use std::fmt;
use std::str::FromStr;

use bridge_core::ask::ClientRow;
use bridge_core::uplink::Token;

use super::fault::Fault;

/// Clients looked at in one slice: a quarter of a millisecond of a shard's time while none of them is in a cache.
pub(super) const SCAN: usize = 1000;

/// Where a list goes on. As text it is a cursor: opaque to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The shard.
    pub(super) shard: u8,
    /// Where the slice before has ended; `None` = at its first client.
    pub(super) after: Option<Token>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            Some(Token(after)) => write!(f, "{}-{after:x}", self.shard),
            None => write!(f, "{}", self.shard),
        }
    }
}

impl FromStr for Position {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let read = || {
            let (shard, after) = match text.split_once('-') {
                Some((shard, after)) => (shard, Some(Token(u64::from_str_radix(after, 16).ok()?))),
                None => (text, None),
            };
            Some(Self { shard: shard.parse().ok()?, after })
        };
        read().ok_or_else(|| {
            Fault::bad_request(format!("cursor is what meta.cursor of a page before said, found {text:?}"))
        })
    }
}

/// What is to be asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Whom, and from where on.
    pub(super) at: Position,
    /// Rows at most.
    pub(super) rows: usize,
}

/// See the [module](self). Once the page is full it goes on until it has met one more client, or none: so that
/// `hasnext` tells the truth under any filter.
#[derive(Debug)]
pub(super) struct Walk {
    /// Up to 256: one more than a number of theirs can tell.
    shards: u16,
    /// `None`: all shards are done.
    at: Option<Position>,
    skip: usize,
    limit: usize,
    /// The page.
    pub(super) rows: Vec<ClientRow>,
    /// Where the next page begins, once this one is full.
    full: Option<Position>,
    /// Where the next page begins, once it is known that there is one.
    pub(super) next: Option<Position>,
}

impl Walk {
    /// A page of `limit` rows behind the first `skip` ones from `from` on.
    pub(super) fn new(shards: u16, from: Position, skip: usize, limit: usize) -> Self {
        let at = (u16::from(from.shard) < shards).then_some(from);
        Self { shards, at, skip, limit, rows: Vec::new(), full: None, next: None }
    }

    /// `None` when the page is complete.
    pub(super) fn step(&self) -> Option<Step> {
        let at = self.at.filter(|_| self.next.is_none())?;
        let missing = self.limit.saturating_sub(self.rows.len()).saturating_add(self.skip);
        Some(Step { at, rows: missing.clamp(1, SCAN) })
    }

    /// The answer to a [`Step`].
    pub(super) fn take(&mut self, rows: Vec<ClientRow>, next: Option<Token>) {
        let Some(at) = self.at else { return };
        if let Some(full) = self.full
            && !rows.is_empty()
        {
            self.next = Some(full);
            return;
        }
        self.at = match next {
            Some(after) => Some(Position { after: Some(after), ..at }),
            None => {
                let shard = at.shard.checked_add(1).filter(|shard| u16::from(*shard) < self.shards);
                shard.map(|shard| Position { shard, after: None })
            }
        };
        let skipped = rows.len().min(self.skip);
        self.skip = self.skip.saturating_sub(skipped);
        self.rows.extend(rows.into_iter().skip(skipped));
        if self.full.is_none() && self.rows.len() >= self.limit {
            self.full = self.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shards with these clients; odd ones fit.
    const SHARDS: [&[u32]; 4] = [&[1, 2, 3, 5], &[], &[7, 8, 9], &[10, 12]];

    fn row(n: u32) -> ClientRow {
        ClientRow {
            id: n.to_string().into(),
            username: "".into(),
            address: "127.0.0.1:1".parse().unwrap(),
            node: None,
            state: "connected",
            version: "1.2",
            clean: true,
            keepalive_s: 0,
            expiry_s: 0,
            connected_at_ms: 0,
            disconnected_at_ms: None,
            subscriptions: 0,
            held: 0,
            in_flight: 0,
        }
    }

    /// As a machine answers, looking at two clients at most.
    fn answer(step: Step) -> (Vec<ClientRow>, Option<Token>) {
        let clients = SHARDS[usize::from(step.at.shard)];
        let first = step.at.after.map_or(0, |after| usize::try_from(after.0).unwrap() + 1);
        let (mut rows, mut end) = (Vec::new(), first + 2);
        for (place, n) in clients.iter().enumerate().skip(first).take(2) {
            if n % 2 == 0 {
                continue;
            }
            if rows.len() >= step.rows {
                end = place;
                break;
            }
            rows.push(row(*n));
        }
        (rows, (end < clients.len()).then(|| Token(end as u64 - 1)))
    }

    fn page(from: Position, skip: usize, limit: usize) -> (String, Option<Position>) {
        let mut walk = Walk::new(4, from, skip, limit);
        for _ in 0..20 {
            let Some(step) = walk.step() else {
                let ids: Vec<&str> = walk.rows.iter().map(|row| &*row.id).collect();
                return (ids.join(" "), walk.next);
            };
            let (rows, next) = answer(step);
            walk.take(rows, next);
        }
        panic!("it does not end");
    }

    const START: Position = Position { shard: 0, after: None };

    #[test]
    #[rustfmt::skip]
    fn a_page_goes_over_shards_and_tells_whether_there_is_another() {
        for (skip, limit, rows, more) in [
            (0, 100, "1 3 5 7 9", false),
            (0, 5,   "1 3 5 7 9", false), // 10 and 12 are there, but do not fit
            (0, 4,   "1 3 5 7",   true),
            (0, 3,   "1 3 5",     true),
            (0, 1,   "1",         true),
            (2, 2,   "5 7",       true),
            (4, 2,   "9",         false),
            (5, 2,   "",          false),
            (100, 2, "",          false),
        ] {
            let (found, next) = page(START, skip, limit);
            assert_eq!((found.as_str(), next.is_some()), (rows, more), "skip {skip}, limit {limit}");
        }
    }

    #[test]
    fn a_cursor_goes_on_where_a_page_has_ended() {
        for limit in 1..7 {
            let (mut from, mut all) = (START, Vec::new());
            for _ in 0..10 {
                let (rows, next) = page(from, 0, limit);
                all.push(rows);
                let Some(next) = next else { break };
                from = next.to_string().parse().unwrap();
            }
            assert_eq!(all.join(" "), "1 3 5 7 9", "limit {limit}");
        }
        assert_eq!(page(Position { shard: 9, after: None }, 0, 10), (String::new(), None), "no shard of this node");
    }

    #[test]
    fn a_cursor_is_a_text_that_comes_back() {
        for (position, text) in [
            (START, "0"),
            (Position { shard: 255, after: Some(Token(u64::MAX)) }, "255-ffffffffffffffff"),
            (Position { shard: 3, after: Some(Token(0x2_0000_0001)) }, "3-200000001"),
        ] {
            assert_eq!(position.to_string(), text);
            assert_eq!(text.parse(), Ok(position));
        }
        for text in ["", "-", "0-", "256", "0-x", "0-1ffffffffffffffff", "-1", " 0"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
