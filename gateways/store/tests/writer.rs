//! The writer, on a thread of its own as in the node.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};
use store::{Change, Entry, Hand, Home, Loaded, MemoryStore, SessionStore, StoreFault, Table, Verdict, Writer};

const PATIENCE: Duration = Duration::from_secs(20);

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits as a driver does: polls when it is woken, and only then.
fn written(hand: &mut Hand) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut cx, until) = (Context::from_waker(&waker), Instant::now() + PATIENCE);
    let mut waiting = pin!(poll_fn(|cx| hand.poll_written(cx)));
    while waiting.as_mut().poll(&mut cx).is_pending() {
        assert!(Instant::now() < until, "not written in time");
        thread::park_timeout(PATIENCE);
    }
}

fn put(id: &str) -> Change {
    let home = Home { shard: 0, of: 1 };
    Change::Session { gateway: "mqttsn", id: id.into(), home, session: Some((*b"state").into()) }
}

fn ids(store: &mut dyn SessionStore) -> Vec<String> {
    let mut found = Vec::new();
    let all = |entry: Entry<'_>| {
        if let Entry::Session { id, .. } = entry {
            found.push(id.to_owned());
        }
        Verdict::Keep
    };
    let mut all = all;
    store.load(Table::Sessions, &mut all).unwrap();
    found
}

/// A store that says when it begins a commit, and waits for leave to end it.
#[derive(Debug)]
struct Slow {
    inner: MemoryStore,
    begun: mpsc::Sender<usize>,
    leave: mpsc::Receiver<()>,
}

impl SessionStore for Slow {
    fn load(&mut self, table: Table, visit: &mut dyn FnMut(Entry<'_>) -> Verdict) -> Result<Loaded, StoreFault> {
        self.inner.load(table, visit)
    }

    fn write(&mut self, changes: &[Change]) -> Result<u64, StoreFault> {
        self.begun.send(changes.len()).unwrap();
        self.leave.recv_timeout(PATIENCE).unwrap();
        self.inner.write(changes)
    }
}

#[test]
fn what_gathers_during_a_commit_goes_into_the_next_together() {
    let (inner, (begun, begins), (leave, leaves)) = (MemoryStore::default(), mpsc::channel(), mpsc::channel());
    let slow = Slow { inner: inner.clone(), begun, leave: leaves };
    let (writer, hands) = Writer::new(Box::new(slow), 3);
    let meter = writer.meter();
    let thread = thread::spawn(|| writer.run());
    let [mut a, mut b, mut c] = <[Hand; 3]>::try_from(hands).unwrap();
    a.send(vec![put("a")]);
    assert_eq!(begins.recv_timeout(PATIENCE), Ok(1));
    b.send(vec![put("b")]);
    c.send(vec![put("c"), put("d")]);
    assert!(!a.is_free() && !b.is_free());
    leave.send(()).unwrap();
    written(&mut a);
    assert!(a.is_free());
    assert_eq!(begins.recv_timeout(PATIENCE), Ok(3), "b and c and d");
    leave.send(()).unwrap();
    written(&mut b);
    written(&mut c);
    drop((a, b, c));
    thread.join().unwrap().unwrap();
    assert_eq!(ids(&mut inner.clone()), ["a", "b", "c", "d"]);
    let counted = |name: &str| meter.read().find(|(series, _)| series.family.name == name).unwrap().1;
    assert_eq!((counted("tidegate_store_commits_total"), counted("tidegate_store_records_total")), (2, 4));
}

#[test]
fn a_lot_that_fails_is_tried_again_with_what_has_come_since() {
    let store = MemoryStore::default();
    store.fail(1);
    let (writer, hands) = Writer::new(Box::new(store.clone()), 2);
    let meter = writer.meter();
    let thread = thread::spawn(|| writer.run());
    let [mut a, mut b] = <[Hand; 2]>::try_from(hands).unwrap();
    a.send(vec![put("a")]);
    b.send(vec![put("b")]);
    written(&mut a);
    written(&mut b);
    drop((a, b));
    thread.join().unwrap().unwrap();
    assert_eq!(ids(&mut store.clone()), ["a", "b"]);
    let failures = meter.read().find(|(series, _)| series.family.name == "tidegate_store_failures_total");
    assert_eq!(failures.unwrap().1, 1);
}

#[test]
fn the_last_lots_are_written_when_the_shards_are_gone_or_it_is_said_that_they_are_not() {
    for (failures, whole) in [(1, true), (100, false)] {
        let store = MemoryStore::default();
        let (writer, mut hands) = Writer::new(Box::new(store.clone()), 2);
        store.fail(failures);
        hands.iter_mut().for_each(|hand| hand.send(vec![put("a")]));
        drop(hands);
        assert_eq!(writer.run().is_ok(), whole);
        assert_eq!(!ids(&mut store.clone()).is_empty(), whole);
    }
}

#[test]
fn a_hand_has_one_lot_under_way() {
    let store = MemoryStore::default();
    let (writer, mut hands) = Writer::new(Box::new(store.clone()), 1);
    let hand = &mut hands[0];
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(hand.poll_written(cx) == Poll::Pending && hand.is_free(), "nothing to wait for");
    hand.send(vec![put("a")]);
    hand.send(vec![put("b")]);
    assert_eq!(hand.poll_written(cx), Poll::Pending);
    drop(hands);
    writer.run().unwrap();
    assert_eq!(ids(&mut store.clone()), ["a"]);
}

#[test]
fn without_a_writer_a_lot_stays_under_way() {
    let (writer, mut hands) = Writer::new(Box::new(MemoryStore::default()), 1);
    let hand = &mut hands[0];
    drop(writer);
    hand.send(vec![put("a")]);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(hand.poll_written(cx) == Poll::Pending && !hand.is_free(), "who took it for written would acknowledge it");
}
