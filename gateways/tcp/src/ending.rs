//! How connections and sessions end.

use crate::connection::{Connection, State};
use crate::counts::Count;
use crate::machine::Tcp;
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::uplink::{Ending, Taken, Uplink};

impl Tcp {
    /// Closes a connection; what is on its way to the device leaves first.
    pub(crate) fn close(&mut self, cx: &mut Cx<'_>, key: Key, why: Ending) {
        if let Some(connection) = self.table.get(key) {
            cx.streams.close(connection.conn);
            self.end(cx, key, why);
        }
    }

    /// Another connection of the same client id is coming in: the id stays here.
    pub(crate) fn give_way(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(connection) = self.forget(key) else { return };
        cx.streams.close(connection.conn);
        self.detach(cx, key, &connection, Ending::TakenOver);
    }

    /// A connection has ended, with all that it had.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>, key: Key, why: Ending) {
        let Some(connection) = self.forget(key) else { return };
        self.detach(cx, key, &connection, why);
        if let Some(id) = connection.id() {
            self.disclaim(cx, id);
        }
    }

    /// Nothing is known of a connection any more.
    pub(crate) fn forget(&mut self, key: Key) -> Option<Connection> {
        let connection = self.table.remove(key)?;
        if let Some(timer) = connection.timer {
            self.base.wheel.cancel(timer.id);
        }
        let gauge = match &connection.state {
            State::New => Count::Connecting,
            State::Waiting(_) => Count::Waiting,
            State::Connected(session) => {
                if session.block.is_some() {
                    self.base.gauge(Count::Held, false);
                }
                Count::Active
            }
        };
        self.base.gauge(gauge, false);
        Some(connection)
    }

    /// The bridge forgets the device, and its subscriptions there. What the broker keeps copies of it need not know: the
    /// session there ends, too.
    fn detach(&mut self, cx: &mut Cx<'_>, key: Key, connection: &Connection, why: Ending) {
        let Some(session) = connection.session() else { return };
        tracing::debug!(protocol = "tcp", client_id = %session.id, reason = why.reason(), "gone");
        self.base.copies = self.base.copies.saturating_sub(session.copies());
        self.base.counts.add(Count::HoldDroppedEnded, session.waits() as u64);
        if !session.own_link {
            self.lingering.add(key, &session.id, session.owed);
        }
        for uplink in [Uplink::Offline(why), Uplink::Disconnect] {
            match cx.bridge.up(cx.now, session.client, uplink) {
                Taken::Done | Taken::Owed => {}
                Taken::Full | Taken::Later(_) | Taken::Denied(_) => self.base.counts.up(Count::Refused),
            }
        }
    }
}
