//! What waits to be sent.

use crate::sys::Outgoing;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

/// Datagrams of one listener on their way out: their bytes end to end in one buffer, which is used again once it is
/// empty. Bounded; when it is full, the newest datagram is dropped and counted.
#[derive(Debug)]
pub struct SendQueue {
    bytes: Vec<u8>,
    /// Where the first datagram that still waits begins in `bytes`.
    start: usize,
    waiting: VecDeque<Waiting>,
    limit: usize,
    byte_limit: usize,
    counts: SendCounts,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    peer: SocketAddr,
    local: Option<IpAddr>,
    bytes: usize,
}

/// What became of the datagrams, counted since the queue was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounts {
    /// Taken by the kernel.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// System calls that took at least one: `sent / batches` is the mean batch.
    pub batches: u64,
    /// Dropped because the queue was full.
    pub overflowed: u64,
    /// Dropped: no way to the peer, or its host said so.
    pub unreachable: u64,
    /// Dropped: longer than UDP or the path carries.
    pub too_long: u64,
    /// Dropped: forbidden here, by a packet filter for instance.
    pub forbidden: u64,
    /// Dropped for any other reason.
    pub failed: u64,
}

impl SendCounts {
    /// All that were dropped, for whatever reason.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.overflowed + self.unreachable + self.too_long + self.forbidden + self.failed
    }

    /// Counts one datagram that the kernel refused.
    fn refuse(&mut self, fault: &io::Error) {
        let count = match fault.raw_os_error() {
            Some(libc::EMSGSIZE) => &mut self.too_long,
            Some(libc::EPERM | libc::EACCES) => &mut self.forbidden,
            Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN) => {
                &mut self.unreachable
            }
            _ => &mut self.failed,
        };
        *count += 1;
    }
}

impl SendQueue {
    /// An empty queue for at most `limit` datagrams and `byte_limit` bytes.
    #[must_use]
    pub const fn new(limit: usize, byte_limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            waiting: VecDeque::new(),
            limit,
            byte_limit,
            counts: SendCounts {
                sent: 0,
                sent_bytes: 0,
                batches: 0,
                overflowed: 0,
                unreachable: 0,
                too_long: 0,
                forbidden: 0,
                failed: 0,
            },
        }
    }

    /// Adds a datagram to `peer`, to be sent from `local` if the listener is bound to all addresses. Returns false,
    /// and has counted it, if the queue is full and the datagram is dropped.
    pub fn push(&mut self, peer: SocketAddr, local: Option<IpAddr>, bytes: &[u8]) -> bool {
        let held = self.bytes.len() - self.start;
        if self.waiting.len() >= self.limit || bytes.len() > self.byte_limit.saturating_sub(held) {
            self.counts.overflowed += 1;
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        self.waiting.push_back(Waiting { peer, local, bytes: bytes.len() });
        true
    }

    /// How many datagrams wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub const fn counts(&self) -> SendCounts {
        self.counts
    }

    /// The datagrams that wait, the oldest first.
    pub(super) fn outgoing(&self) -> impl Iterator<Item = Outgoing<'_>> {
        let mut rest = self.bytes.get(self.start..).unwrap_or_default();
        self.waiting.iter().map_while(move |waiting| {
            let (bytes, after) = rest.split_at_checked(waiting.bytes)?;
            rest = after;
            Some(Outgoing { peer: waiting.peer, local: waiting.local, bytes })
        })
    }

    /// Has `send` take datagrams off the front until none waits (`Ready`) or it would block (`Pending`). Any other
    /// error is the first datagram's own: it is dropped and counted, and the next one has its turn.
    pub(super) fn drain(&mut self, mut send: impl FnMut(&Self) -> io::Result<usize>) -> Poll<()> {
        while !self.waiting.is_empty() {
            match send(self) {
                Ok(taken) => {
                    self.counts.batches += 1;
                    self.remove_sent(taken);
                }
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {
                    self.compact();
                    return Poll::Pending;
                }
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => {
                    self.counts.refuse(&fault);
                    self.remove_first();
                }
            }
        }
        self.bytes.clear();
        self.start = 0;
        Poll::Ready(())
    }

    fn remove_sent(&mut self, taken: usize) {
        for _ in 0..taken {
            let bytes = self.remove_first();
            self.counts.sent += 1;
            self.counts.sent_bytes += bytes as u64;
        }
    }

    /// Forgets the first datagram; returns its length.
    fn remove_first(&mut self) -> usize {
        let bytes = self.waiting.pop_front().map_or(0, |waiting| waiting.bytes);
        self.start += bytes;
        bytes
    }

    /// Gives the room of what was sent back, once it is the larger part: a queue that never quite empties must not
    /// grow, and each byte is moved at most once on average.
    fn compact(&mut self) {
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn queue_of(datagrams: u16) -> SendQueue {
        let mut queue = SendQueue::new(100, 1000);
        for port in 1..=datagrams {
            assert!(queue.push(peer(port), None, &port.to_be_bytes()));
        }
        queue
    }

    fn ports(queue: &SendQueue) -> Vec<u16> {
        queue
            .outgoing()
            .map(|datagram| {
                assert_eq!(datagram.bytes, datagram.peer.port().to_be_bytes(), "bytes stay with their peer");
                datagram.peer.port()
            })
            .collect()
    }

    #[test]
    fn what_the_kernel_did_not_take_stays_in_order() {
        let mut queue = queue_of(5);
        let mut answers = [Ok(2), Err(io::ErrorKind::WouldBlock.into())].into_iter();
        assert_eq!(queue.drain(|_| answers.next().unwrap()), Poll::Pending);
        assert_eq!(ports(&queue), [3, 4, 5]);
        assert!(queue.push(peer(6), None, &6u16.to_be_bytes()));
        assert_eq!(queue.drain(|queue| Ok(queue.len())), Poll::Ready(()));
        assert_eq!(queue.counts(), SendCounts { sent: 6, sent_bytes: 12, batches: 2, ..SendCounts::default() });
    }

    #[test]
    fn a_fault_costs_the_first_datagram_alone() {
        let table = [
            (libc::EMSGSIZE, SendCounts { too_long: 1, ..SendCounts::default() }),
            (libc::ECONNREFUSED, SendCounts { unreachable: 1, ..SendCounts::default() }),
            (libc::ENETUNREACH, SendCounts { unreachable: 1, ..SendCounts::default() }),
            (libc::EPERM, SendCounts { forbidden: 1, ..SendCounts::default() }),
            (libc::EINVAL, SendCounts { failed: 1, ..SendCounts::default() }),
        ];
        for (code, counts) in table {
            let mut queue = queue_of(3);
            let mut calls = 0;
            let done = queue.drain(|queue| {
                calls += 1;
                assert_eq!(ports(queue).len(), if calls == 1 { 3 } else { 2 });
                if calls == 1 { Err(io::Error::from_raw_os_error(code)) } else { Ok(2) }
            });
            assert_eq!(done, Poll::Ready(()));
            assert_eq!(queue.counts(), SendCounts { sent: 2, sent_bytes: 4, batches: 1, ..counts }, "errno {code}");
            assert_eq!(queue.counts().dropped(), 1);
        }
    }

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut queue = queue_of(1);
        let mut answers = [Err(io::ErrorKind::Interrupted.into()), Ok(1)].into_iter();
        assert_eq!(queue.drain(|_| answers.next().unwrap()), Poll::Ready(()));
        assert_eq!((queue.counts().sent, queue.counts().dropped()), (1, 0));
    }

    #[test]
    fn a_full_queue_drops_the_newest_and_counts_it() {
        let mut by_count = SendQueue::new(2, 1000);
        assert_eq!([(); 3].map(|()| by_count.push(peer(1), None, b"x")), [true, true, false]);
        let mut by_bytes = SendQueue::new(100, 10);
        assert_eq!([4, 7, 6].map(|bytes| by_bytes.push(peer(1), None, &vec![0; bytes])), [true, false, true]);
        assert_eq!((by_count.counts().overflowed, by_bytes.counts().overflowed), (1, 1));
        assert_eq!((by_count.len(), by_bytes.len()), (2, 2));
    }

    #[test]
    fn a_queue_that_never_empties_does_not_grow() {
        let mut queue = SendQueue::new(100, 1000);
        for round in 0..1000u16 {
            while queue.push(peer(round), None, &round.to_be_bytes()) {}
            let mut answers = [Ok(99), Err(io::ErrorKind::WouldBlock.into())].into_iter();
            assert_eq!(queue.drain(|_| answers.next().unwrap()), Poll::Pending);
            assert_eq!(ports(&queue), [round]);
            assert!(queue.bytes.len() <= 200, "{} bytes held for one datagram", queue.bytes.len());
        }
    }
}
