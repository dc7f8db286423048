//! The uplink's other end: a thread that reads the broker and counts.

use crate::failure::Failure;
use crate::load::broker::Incoming;
use crate::load::course::Course;
use crate::load::tally::Tally;
use codec_mqtt::Qos;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Milliseconds in which the thread notices that it is to end.
const NOTICE: u16 = 50;

#[derive(Debug)]
pub(crate) struct Subscriber {
    thread: JoinHandle<(Tally, Option<Failure>)>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    arrived: AtomicU64,
    stop: AtomicBool,
}

impl Subscriber {
    /// Subscribes to `filter` at QoS 0, which the broker neither queues nor bounds, and counts into `tally` from then on.
    ///
    /// # Errors
    /// [`Failure::Broker`] if the broker does not take the subscription.
    pub(crate) fn start(filter: &str, mut tally: Tally, course: &Course, is_paced: bool) -> Result<Self, Failure> {
        let mut broker = course.broker("up")?;
        let (clock, rest) = (course.clock, course.rest(is_paced));
        broker.subscribe(filter, Qos::AtMostOnce)?;
        let shared = Arc::new(Shared::default());
        let other = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !other.stop.load(Ordering::Relaxed) {
                let heard = broker.receive(NOTICE, |incoming| {
                    if let Incoming::Publication { payload } = incoming {
                        tally.arrive(payload, None, clock.now());
                    }
                });
                other.arrived.store(tally.arrived, Ordering::Relaxed);
                if let Err(failure) = heard {
                    return (tally, Some(failure));
                }
                // A broker writes each message by itself; read one by one they cost both sides a wake-up each.
                std::thread::sleep(rest);
            }
            (tally, None)
        });
        Ok(Self { thread, shared })
    }

    /// Messages that have arrived so far.
    pub(crate) fn arrived(&self) -> u64 {
        self.shared.arrived.load(Ordering::Relaxed)
    }

    /// It lost its connection.
    pub(crate) fn is_gone(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the thread: all it counted, and why it stopped if the broker cut it off before.
    pub(crate) fn finish(self) -> (Option<Tally>, Option<Failure>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok((tally, failure)) => (Some(tally), failure),
            Err(_panic) => (None, Some(Failure::Broker("the subscriber panicked".into()))),
        }
    }
}
