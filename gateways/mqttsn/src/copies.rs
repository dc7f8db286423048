//! Messages that the broker keeps until it hears what became of them: where clients have MQTT connections of their own.
//!
//! Such a message comes with a receipt, which is given back once: when the client has acknowledged the message, when it
//! was sent at QoS 0, or when the client will never get it. What a session still holds when it ends is not told: its
//! connection has ended by then, and the broker keeps what it has not heard of as long as it keeps its own session.

use crate::base::Base;
use crate::down::{Down, Stage};
use crate::hold::Held;
use crate::session::Session;
use bridge_core::downlink::Delivery;
use bridge_core::machine::Cx;
use bridge_core::time::Now;
use bridge_core::uplink::{ClientRef, Receipt, Taken, Uplink};

impl Base {
    /// A session holds one more, if there is one.
    pub(crate) fn holds(&self, receipt: Option<Receipt>) {
        self.copies.set(self.copies.get().saturating_add(u64::from(receipt.is_some())));
    }

    /// No session holds these any more.
    pub(crate) fn holds_no_more(&self, receipts: u64) {
        self.copies.set(self.copies.get().saturating_sub(receipts));
    }
}

impl Session {
    /// The client has these messages, or never will: the broker need not keep them any more.
    pub(crate) fn release(&self, base: &Base, cx: &mut Cx<'_>, receipts: impl IntoIterator<Item = Receipt>) {
        release(base, cx, self.client, receipts);
    }
}

/// The same, of the client that the bridge knows by this.
pub(crate) fn release(
    base: &Base,
    cx: &mut Cx<'_>,
    client: Option<ClientRef>,
    receipts: impl IntoIterator<Item = Receipt>,
) {
    for receipt in receipts {
        base.holds_no_more(1);
        let Some(client) = client else { continue };
        match cx.bridge.up(cx.now, client, Uplink::Delivered(receipt)) {
            // Refused: its connection has ended since, and the broker will send the message again.
            Taken::Done | Taken::Owed | Taken::Full | Taken::Later(_) | Taken::Denied(_) => {}
        }
    }
}

impl Session {
    /// True for a message that is here already: the broker, which has not heard of it yet, has sent it again over a new
    /// connection. The new receipt takes the place of the old.
    pub(crate) fn has_already(&mut self, base: &Base, cx: &mut Cx<'_>, delivery: &Delivery<'_>) -> bool {
        let Some(receipt) = delivery.receipt.filter(|receipt| receipt.again) else { return false };
        let flight = self.down.in_flight.as_mut().map(|flight| {
            let had = flight.stage == Stage::Released;
            (&mut flight.held, had)
        });
        let waiting = self.down.queue.iter_mut().map(|held| (held, false));
        // Of several that are equal the one whose receipt is the oldest: all of them come again.
        let same = flight.into_iter().chain(waiting).filter(|(held, _)| is_again(held, delivery, cx.now));
        let age = |held: &Held| held.receipt.map(|old| (old.link == receipt.link, old.number));
        let Some((held, had)) = same.min_by_key(|(held, _)| age(held)) else { return false };
        let old = held.receipt.replace(receipt);
        base.holds(Some(receipt));
        if had {
            // The client has it: what was said of that came too late for the earlier connection.
            self.release(base, cx, Some(receipt));
        } else {
            self.release(base, cx, old);
        }
        true
    }
}

fn is_again(held: &Held, delivery: &Delivery<'_>, now: Now) -> bool {
    let came = delivery.message.view();
    held.receipt.is_some()
        && held.qos == delivery.qos
        && held
            .message
            .view(now)
            .is_some_and(|view| (view.topic, view.payload, view.retain) == (came.topic, came.payload, came.retain))
}

impl Down {
    /// Receipts that are held with the messages here. (The one of a message that the client has got is given back.)
    pub(crate) fn receipts(&self) -> u64 {
        let flight = self.in_flight.iter().filter(|flight| flight.stage == Stage::Published).map(|flight| &flight.held);
        self.queue.iter().chain(flight).map(|held| u64::from(held.receipt.is_some())).sum()
    }
}
