//! Connections of devices, as far as pure code knows them: what is to leave over each, and whether it is read.
//!
//! A machine writes ([`Streams::write`]), pauses and closes; a driver looks at what was [touched](Streams::take_touched),
//! writes what is [`pending`](Streams::pending), and reads where it [may](Streams::reads). What a device does not take
//! in time waits in its connection's buffer up to a mark. Then the machine is told, holds what follows, and is told
//! again when there is room.

use crate::batch::Batch;
use crate::peer::Peer;
use crate::slab::{Key, Slab};

/// A connection of a shard. Stale once that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnRef(pub Key);

/// How full the buffer of a connection may get, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Above, the machine is to hold what follows.
    pub high: u32,
    /// From here down, it may go on.
    pub low: u32,
}

impl Default for Marks {
    fn default() -> Self {
        Self { high: 64 * 1024, low: 16 * 1024 }
    }
}

/// What became of something written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// It leaves, and more may follow.
    Open,
    /// It leaves, and nothing more should follow until [`Input::Writable`](crate::machine::Input::Writable).
    Full,
    /// There is no such connection any more, or it is being closed: nothing was written.
    Gone,
}

/// How a connection ended that its machine did not close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The device closed it.
    Peer,
    /// It broke.
    Broken,
    /// The device took nothing of what was sent for too long.
    Stalled,
}

/// The connections of one shard.
#[derive(Debug, Default)]
pub struct Streams {
    slab: Slab<Stream>,
    /// Connections that a driver must look at; each is there once.
    touched: Vec<ConnRef>,
}

#[derive(Debug)]
struct Stream {
    peer: Peer,
    out: Batch,
    marks: Marks,
    /// Above the high mark, and not down at the low one since.
    full: bool,
    paused: bool,
    closing: bool,
    touched: bool,
}

impl Streams {
    /// Appends to what leaves over a connection: `fill` writes straight into its buffer.
    pub fn write(&mut self, conn: ConnRef, fill: impl FnOnce(&mut Vec<u8>)) -> Flow {
        let Some(stream) = self.slab.get_mut(conn.0).filter(|stream| !stream.closing) else { return Flow::Gone };
        fill(stream.out.end());
        if stream.out.len() > stream.marks.high as usize {
            stream.full = true;
        }
        let flow = if stream.full { Flow::Full } else { Flow::Open };
        self.touch(conn);
        flow
    }

    /// True while nothing more should be written; of a connection that is gone, too.
    #[must_use]
    pub fn is_full(&self, conn: ConnRef) -> bool {
        self.slab.get(conn.0).is_none_or(|stream| stream.full || stream.closing)
    }

    /// It is not read from now on: the device's own flow control holds it back.
    pub fn pause(&mut self, conn: ConnRef) {
        self.set_paused(conn, true);
    }

    /// It is read again, and what was not taken is offered again.
    pub fn resume(&mut self, conn: ConnRef) {
        self.set_paused(conn, false);
    }

    fn set_paused(&mut self, conn: ConnRef, paused: bool) {
        if let Some(stream) = self.slab.get_mut(conn.0)
            && stream.paused != paused
        {
            stream.paused = paused;
            self.touch(conn);
        }
    }

    /// Ends a connection: what is pending leaves first, and nothing is read any more. The machine hears no more of it.
    pub fn close(&mut self, conn: ConnRef) {
        if let Some(stream) = self.slab.get_mut(conn.0) {
            stream.closing = true;
            self.touch(conn);
        }
    }

    /// From whom it came.
    #[must_use]
    pub fn peer(&self, conn: ConnRef) -> Option<Peer> {
        self.slab.get(conn.0).map(|stream| stream.peer)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slab.len()
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Takes a connection in; `None` when 2^32 − 1 are there already.
    pub fn open(&mut self, peer: Peer, marks: Marks) -> Option<ConnRef> {
        let out = Batch::default();
        let stream = Stream { peer, out, marks, full: false, paused: false, closing: false, touched: false };
        self.slab.insert(stream).map(ConnRef)
    }

    /// Forgets a connection, with what was pending; returns from whom it came.
    pub fn remove(&mut self, conn: ConnRef) -> Option<Peer> {
        self.slab.remove(conn.0).map(|stream| stream.peer)
    }

    /// What is to be written to it.
    #[must_use]
    pub fn pending(&self, conn: ConnRef) -> &[u8] {
        self.slab.get(conn.0).map_or(&[], |stream| stream.out.pending())
    }

    /// The first `n` octets of what was pending have left. True when the machine is to be told that there is room again.
    pub fn written(&mut self, conn: ConnRef, n: usize) -> bool {
        let Some(stream) = self.slab.get_mut(conn.0) else { return false };
        stream.out.written(n);
        if stream.out.is_empty() {
            stream.out.let_go();
        }
        let room = stream.full && stream.out.len() <= stream.marks.low as usize;
        stream.full &= !room;
        room && !stream.closing
    }

    /// True while it may be read.
    #[must_use]
    pub fn reads(&self, conn: ConnRef) -> bool {
        self.slab.get(conn.0).is_some_and(|stream| !stream.paused && !stream.closing)
    }

    /// True once its machine has closed it.
    #[must_use]
    pub fn is_closing(&self, conn: ConnRef) -> bool {
        self.slab.get(conn.0).is_some_and(|stream| stream.closing)
    }

    /// A connection that was written to, paused, resumed or closed since it was asked last. It may be gone by now.
    pub fn take_touched(&mut self) -> Option<ConnRef> {
        let conn = self.touched.pop()?;
        if let Some(stream) = self.slab.get_mut(conn.0) {
            stream.touched = false;
        }
        Some(conn)
    }

    fn touch(&mut self, conn: ConnRef) {
        if let Some(stream) = self.slab.get_mut(conn.0)
            && !std::mem::replace(&mut stream.touched, true)
        {
            self.touched.push(conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::ListenerId;
    use std::net::SocketAddr;

    fn streams() -> (Streams, ConnRef) {
        let mut streams = Streams::default();
        let peer = Peer::plain(ListenerId(0), SocketAddr::from(([127, 0, 0, 1], 4000)), None);
        let conn = streams.open(peer, Marks { high: 10, low: 4 }).unwrap();
        (streams, conn)
    }

    fn write(streams: &mut Streams, conn: ConnRef, octets: usize) -> Flow {
        streams.write(conn, |out| out.resize(out.len() + octets, b'x'))
    }

    #[test]
    fn above_the_high_mark_it_is_full_until_it_is_down_at_the_low_one() {
        let (mut streams, conn) = streams();
        assert_eq!(write(&mut streams, conn, 10), Flow::Open);
        assert_eq!(write(&mut streams, conn, 1), Flow::Full, "and what is written leaves all the same");
        assert_eq!(streams.pending(conn).len(), 11);
        assert!(!streams.written(conn, 6), "5 are left: more than 4");
        assert!(streams.is_full(conn));
        assert!(streams.written(conn, 1), "once");
        assert!(!streams.written(conn, 1) && !streams.is_full(conn));
        assert_eq!(write(&mut streams, conn, 1), Flow::Open);
    }

    #[test]
    fn what_is_closed_takes_no_more_and_is_not_read_but_what_is_pending_leaves() {
        let (mut streams, conn) = streams();
        assert_eq!(write(&mut streams, conn, 11), Flow::Full);
        streams.close(conn);
        assert!(!streams.reads(conn) && streams.is_closing(conn) && streams.is_full(conn));
        assert_eq!(write(&mut streams, conn, 1), Flow::Gone);
        assert_eq!(streams.pending(conn).len(), 11);
        assert!(!streams.written(conn, 11), "nobody waits for room");
        assert!(streams.remove(conn).is_some() && streams.is_empty());
        assert_eq!(write(&mut streams, conn, 1), Flow::Gone);
        assert!(streams.is_full(conn) && !streams.reads(conn) && streams.pending(conn).is_empty());
    }

    #[test]
    fn a_driver_looks_at_each_once_whatever_happened_to_it() {
        let (mut streams, conn) = streams();
        assert_eq!(streams.take_touched(), None, "there is nothing to be done for a new one");
        assert_eq!(write(&mut streams, conn, 1), Flow::Open);
        streams.pause(conn);
        streams.resume(conn);
        assert_eq!((streams.take_touched(), streams.take_touched()), (Some(conn), None));
        streams.resume(conn);
        assert_eq!(streams.take_touched(), None, "nothing has changed");
        streams.pause(conn);
        assert!(!streams.reads(conn));
        assert_eq!(streams.take_touched(), Some(conn));
        streams.resume(conn);
        assert!(streams.reads(conn));
        streams.remove(conn);
        assert_eq!(streams.take_touched(), Some(conn), "gone since");
    }

    #[test]
    fn an_idle_connection_holds_no_buffer() {
        let (mut streams, conn) = streams();
        assert_eq!(write(&mut streams, conn, 100_000), Flow::Full);
        streams.written(conn, 100_000);
        assert_eq!(streams.slab.get(conn.0).unwrap().out.capacity(), 0);
        assert!(size_of::<Stream>() <= 144, "{}", size_of::<Stream>());
    }
}
