use super::Bridge;
use crate::limit::{Over, Which};
use crate::metrics::BridgeCount;
use crate::publication::Publication;
use crate::time::Now;
use crate::uplink::{ClientRef, Taken, Token};

impl Bridge {
    /// A publication of a client, within the limits of its session. (A will is published whatever was published before it.)
    #[inline]
    pub(super) fn publish_limited(
        &mut self,
        now: Now,
        client: ClientRef,
        token: Option<Token>,
        what: &Publication<'_>,
    ) -> Taken {
        let listener = |client: ClientRef| self.clients.get(client.0).map(|sender| sender.listener);
        let in_force = if self.limits.are_none() { None } else { listener(client).and_then(|at| self.limits.of(at)) };
        let Some(&in_force) = in_force else { return self.publish(now, client, token, what) };
        let octets = (what.topic.as_str().len() as u64).saturating_add(what.payload.len() as u64);
        let spent = self.clients.get(client.0).and_then(|sender| sender.spent.as_deref());
        if let Err(Over { which, until }) = in_force.admit(now, spent, octets) {
            self.counts.up(match which {
                Which::Rate => BridgeCount::OverRate,
                Which::Publish => BridgeCount::OverPublish,
            });
            return Taken::Later(until);
        }
        let taken = self.publish(now, client, token, what);
        if let (Taken::Done | Taken::Owed, Some(sender)) = (taken, self.clients.get_mut(client.0)) {
            in_force.charge(now, &mut sender.spent, octets);
        }
        taken
    }
}
