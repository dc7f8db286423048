//! What a session is to the bridge: attached, known to be there or gone, with its subscriptions.

use crate::base::Base;
use crate::connect::VERSION;
use crate::counts::Count;
use crate::registry::Registry;
use crate::session::Session;
use bridge_core::machine::Cx;
use bridge_core::peer::{Proven, ProvenBuf};
use bridge_core::slab::Key;
use bridge_core::topic::ClientId;
use bridge_core::uplink::{Connect, Ending, Online, OwnLink, Refusal, Taken, Token, Uplink};

/// Ends an MQTT connection that was made for a client which is not let in after all.
pub(crate) fn dismiss(cx: &mut Cx<'_>, link: Option<OwnLink>) {
    if let Some(link) = link {
        cx.bridge.dismiss(link);
    }
}

impl Session {
    /// True unless the session's client has proved to be somebody else.
    pub(crate) fn may_be(&self, proven: Proven<'_>) -> bool {
        self.proven == ProvenBuf::Nothing || self.proven.view() == proven
    }

    /// Makes the bridge know it, if it does not yet, and what MQTT connection it has of its own. That is taken if all is
    /// well, and left else.
    pub(crate) fn attach(
        &mut self,
        base: &Base,
        cx: &mut Cx<'_>,
        key: Key,
        link: &mut Option<OwnLink>,
    ) -> Result<(), Refusal> {
        if let Some(client) = self.client {
            let Some(own) = *link else { return Ok(()) };
            return match cx.bridge.up(cx.now, client, Uplink::Relink(own)) {
                Taken::Done | Taken::Owed => {
                    *link = None;
                    Ok(())
                }
                Taken::Full | Taken::Later(_) => Err(Refusal::Busy),
                Taken::Denied(why) => Err(why),
            };
        }
        let who = Connect {
            gateway: base.gateway,
            listener: self.address.listener(),
            id: ClientId::try_from(&*self.id).map_err(|_fault| Refusal::BadIdentity)?,
            identity: &self.identity,
            address: Some(self.address.at().peer.addr),
            connectionless: false,
            link: *link,
        };
        self.client = Some(cx.bridge.connect(Token(key.to_bits()), &who)?);
        *link = None;
        Ok(())
    }

    /// The bridge forgets it, and its subscriptions there.
    pub(crate) fn detach(&mut self, base: &Base, cx: &mut Cx<'_>) {
        self.tell(base, cx, Uplink::Disconnect);
        self.client = None;
    }

    /// It is connected: told to whoever follows the events.
    pub(crate) fn arrived(&self, base: &Base, cx: &mut Cx<'_>) {
        let online = Online {
            address: self.address.at().peer.addr,
            version: VERSION,
            clean: self.clean,
            keepalive_s: self.keepalive_s.into(),
        };
        self.tell(base, cx, Uplink::Online(online));
    }

    /// It is elsewhere: rules that go by the address hold for the new one.
    pub(crate) fn moved(&self, base: &Base, cx: &mut Cx<'_>) {
        self.tell(base, cx, Uplink::Moved(self.address.at().peer.addr));
    }

    /// It is not connected any more: told to whoever follows the events.
    pub(crate) fn gone(&self, base: &Base, cx: &mut Cx<'_>, why: Ending) {
        self.tell(base, cx, Uplink::Offline(why));
    }

    pub(crate) fn tell(&self, base: &Base, cx: &mut Cx<'_>, uplink: Uplink<'_>) {
        let Some(client) = self.client else { return };
        match cx.bridge.up(cx.now, client, uplink) {
            Taken::Done | Taken::Owed => {}
            Taken::Full | Taken::Later(_) | Taken::Denied(_) => base.counts.up(Count::BrokerRefused),
        }
    }

    /// Empties it: what CleanSession asks for.
    pub(crate) fn reset(&mut self, base: &Base, cx: &mut Cx<'_>) {
        self.detach(base, cx);
        self.will = None;
        self.registry = Registry::default();
        self.subscriptions.clear();
        self.receipts.clear();
        base.counts.add(Count::HoldDroppedEnded, self.down.unsent());
        base.holds_no_more(self.down.receipts());
        self.down.clear();
    }

    /// It has come through another listener, whose topics may stand elsewhere: its subscriptions follow it.
    pub(crate) fn rehome(&mut self, base: &Base, cx: &mut Cx<'_>, key: Key, link: &mut Option<OwnLink>) {
        self.detach(base, cx);
        self.subscriptions.forget_pending();
        if self.attach(base, cx, key, link).is_ok() {
            self.resubscribe(base, cx);
        }
    }
}
