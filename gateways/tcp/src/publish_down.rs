//! Messages for devices: written while a connection takes them, held within bounds while it does not.

use crate::connection::{Block, Session};
use crate::counts::{Count, unsayable};
use crate::hold::{Held, HoldQueue};
use crate::machine::Tcp;
use bridge_core::downlink::Delivery;
use bridge_core::machine::Cx;
use bridge_core::publication::Stored;
use bridge_core::slab::Key;
use bridge_core::streams::ConnRef;
use bridge_core::uplink::{Receipt, Taken, Uplink};
use bridge_core::{Qos, publication::Shared};
use codec_rawtcp::EncodeFault;
use std::sync::Arc;

impl Tcp {
    /// A message for one device, from a subscription of its own.
    pub(crate) fn on_message(&mut self, cx: &mut Cx<'_>, key: Key, delivery: &Delivery<'_>) {
        let Delivery { message, qos, receipt, .. } = *delivery;
        self.base.copies += u64::from(receipt.is_some());
        self.deliver(cx, key, message, qos, receipt);
    }

    /// A message for one device, from wherever.
    pub(crate) fn deliver(
        &mut self,
        cx: &mut Cx<'_>,
        key: Key,
        message: &Shared<'_>,
        qos: Qos,
        receipt: Option<Receipt>,
    ) {
        match self.takes_more(cx, key) {
            // Its own connection to the broker has gone with it, and the copy.
            None => self.base.copies = self.base.copies.saturating_sub(u64::from(receipt.is_some())),
            Some(true) => self.send(cx, key, message.view().payload, receipt),
            Some(false) => {
                let message = message.keep(cx.now);
                self.hold(cx, key, Held { message, qos, receipt });
            }
        }
    }

    /// The same with a message that is kept already.
    pub(crate) fn deliver_stored(&mut self, cx: &mut Cx<'_>, key: Key, message: &Arc<Stored>, qos: Qos) {
        match self.takes_more(cx, key) {
            None => {}
            Some(true) => match message.view(cx.now) {
                Some(view) => self.send(cx, key, view.payload, None),
                None => self.base.counts.up(Count::Expired),
            },
            Some(false) => self.hold(cx, key, Held { message: Arc::clone(message), qos, receipt: None }),
        }
    }

    /// Whether nothing waits for the device, and its connection takes more. `None`: there is no such device.
    fn takes_more(&self, cx: &Cx<'_>, key: Key) -> Option<bool> {
        let connection = self.table.get(key)?;
        Some(connection.session()?.held.is_none() && !cx.streams.is_full(connection.conn))
    }

    /// Writes a message, or drops what the framing cannot say.
    fn send(&mut self, cx: &mut Cx<'_>, key: Key, payload: &[u8], receipt: Option<Receipt>) {
        let Some(connection) = self.table.get(key) else { return };
        let Some(place) = self.base.place(connection.listener) else { return };
        let mut written: Result<(), EncodeFault> = Ok(());
        // A connection that is full by this takes the next message later.
        let _flow = cx.streams.write(connection.conn, |out| written = place.speech.encode(payload, out));
        self.base.counts.up(match written {
            Ok(()) => Count::DownData,
            Err(fault) => {
                let client_id = connection.id().unwrap_or_default();
                tracing::debug!(protocol = "tcp", client_id, reason = %fault, "a message for a device is dropped");
                unsayable(fault)
            }
        });
        self.delivered(cx, key, receipt);
    }

    fn hold(&mut self, cx: &mut Cx<'_>, key: Key, held: Held) {
        let limits = self.base.rules.hold;
        let Some(session) = self.table.session_mut(key) else { return };
        let queue = session.held.get_or_insert_default();
        let mut gone = Vec::new();
        queue.push(held, limits, |dropped| gone.push((dropped.qos, dropped.receipt)));
        if queue.is_empty() {
            session.held = None;
        }
        for (qos, receipt) in gone {
            let zero = qos == Qos::AtMostOnce;
            self.base.counts.up(if zero { Count::HoldDroppedQos0 } else { Count::HoldDroppedOldest });
            self.delivered(cx, key, receipt);
        }
    }

    /// A connection takes more again: first what waits.
    pub(crate) fn on_writable(&mut self, cx: &mut Cx<'_>, conn: ConnRef) {
        let Some(key) = self.table.at(conn) else { return };
        while !cx.streams.is_full(conn)
            && let Some(held) = self.next_held(key)
        {
            match held.message.view(cx.now) {
                Some(view) => self.send(cx, key, view.payload, held.receipt),
                None => {
                    self.base.counts.up(Count::Expired);
                    self.delivered(cx, key, held.receipt);
                }
            }
        }
        if !cx.streams.is_full(conn) {
            self.unblock(cx, key, Block::Output);
        }
    }

    fn next_held(&mut self, key: Key) -> Option<Held> {
        let session = self.table.session_mut(key)?;
        let held = session.held.as_mut()?.pop();
        if session.held.as_ref().is_some_and(|queue| queue.is_empty()) {
            // An idle session owns no queue.
            session.held = None;
        }
        held
    }

    /// The broker may forget its copy.
    fn delivered(&mut self, cx: &mut Cx<'_>, key: Key, receipt: Option<Receipt>) {
        if let Some(receipt) = receipt {
            self.base.copies = self.base.copies.saturating_sub(1);
            self.tell(cx, key, Uplink::Delivered(receipt));
        }
    }

    /// Says something for which nothing is owed.
    pub(crate) fn tell(&self, cx: &mut Cx<'_>, key: Key, uplink: Uplink<'_>) {
        let Some(client) = self.table.session(key).map(|session| session.client) else { return };
        match cx.bridge.up(cx.now, client, uplink) {
            Taken::Done | Taken::Owed => {}
            Taken::Full | Taken::Later(_) | Taken::Denied(_) => self.base.counts.up(Count::Refused),
        }
    }
}

impl Session {
    /// Messages among those that wait for it of which the broker keeps copies.
    pub(crate) fn copies(&self) -> u64 {
        self.held.as_deref().map_or(0, HoldQueue::receipts)
    }

    /// Messages that wait for it.
    pub(crate) fn waits(&self) -> usize {
        self.held.as_deref().map_or(0, HoldQueue::len)
    }
}
