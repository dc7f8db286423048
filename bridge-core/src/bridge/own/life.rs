//! What becomes of a client's own link: up, lost, refused, over, gone.

use super::super::{Bridge, FIRST, LinkId, Notice};
use super::counts::OwnCount;
use super::{GONE_WITHIN_MS, Own, Stage};
use crate::link::{Link, LinkEvent, LinkStatus, Origin};
use crate::time::Now;
use crate::uplink::{Ending, Refusal};

impl Bridge {
    fn own_mut(&mut self, link: LinkId) -> Option<(&mut Link, &mut Own)> {
        let line = self.lines.get_mut(link)?;
        Some((&mut line.link, line.own.as_deref_mut()?))
    }

    pub(in crate::bridge) fn on_own_event(&mut self, now: Now, link: LinkId, event: &LinkEvent) {
        match *event {
            LinkEvent::Settled { origin: Origin { gateway, client, token }, outcome } => {
                self.notices.push_back(Notice::Settled { gateway, client, token, outcome });
            }
            LinkEvent::Subscribed { id, granted } => self.on_own_suback(now, link, id, granted),
            LinkEvent::Up { session_present } => self.on_own_up(now, link, session_present),
            LinkEvent::Down => {
                if let Some((_, own)) = self.own_mut(link) {
                    own.up = false;
                }
            }
            LinkEvent::Room => self.notices.push_back(Notice::Room),
            LinkEvent::Refused { reason } => self.on_own_refused(now, link, reason),
            LinkEvent::Unreached => self.on_unreached(now, link),
            LinkEvent::Over(why) => self.on_over(now, link, why),
            LinkEvent::Caught => self.on_caught(now, link),
            LinkEvent::Unsubscribed { .. } => {}
        }
    }

    fn on_own_up(&mut self, now: Now, link: LinkId, session_present: bool) {
        let Some(line) = self.lines.get_mut(link) else { return };
        let Some(own) = line.own.as_deref_mut() else { return };
        (own.up, own.resumed) = (true, session_present);
        match own.stage {
            Stage::Applying(_) => self.admitted(now, link),
            Stage::Taken(client) => {
                if let Some(who) = self.clients.get_mut(client.0) {
                    who.ask_again(&mut line.link, session_present);
                }
                if own.waking {
                    line.link.probe(now);
                }
                self.count_own(OwnCount::Reconnected);
            }
            Stage::Admitted(_) | Stage::Leaving => {}
        }
    }

    fn on_own_refused(&mut self, now: Now, link: LinkId, reason: u8) {
        self.count_own(OwnCount::refused(reason));
        self.refuse(now, link, Refusal::Broker(reason));
        self.woken(link, Err(Refusal::Broker(reason)));
    }

    fn on_unreached(&mut self, now: Now, link: LinkId) {
        let most = self.fleet.as_ref().map_or(1, |fleet| fleet.like.servers.len());
        let Some((_, own)) = self.own_mut(link) else { return };
        own.unreached = own.unreached.saturating_add(1);
        if usize::from(own.unreached) >= most && matches!(own.stage, Stage::Applying(_)) {
            self.count_own(OwnCount::Unanswered);
            self.refuse(now, link, Refusal::BrokerAway);
        }
    }

    /// The broker ended it for good.
    fn on_over(&mut self, now: Now, link: LinkId, why: Ending) {
        let Some((_, own)) = self.own_mut(link) else { return };
        match own.stage {
            Stage::Taken(client) => {
                let rival = own.rival;
                self.count_own(OwnCount::ended(why));
                self.finish(now, link);
                // What we have brought about ourselves is told once it is known who takes the newer link.
                match rival.and_then(|rival| self.own_mut(rival)) {
                    Some((_, newer)) => newer.evicted = Some((client, why)),
                    None => self.tell_ended(client, why),
                }
            }
            Stage::Applying(_) | Stage::Admitted(_) | Stage::Leaving => self.refuse(now, link, Refusal::BrokerAway),
        }
    }

    /// A client hears that its own connection is over.
    pub(super) fn tell_ended(&mut self, client: crate::uplink::ClientRef, why: Ending) {
        if let Some(who) = self.clients.get(client.0) {
            let (gateway, client) = (who.gateway, who.handle);
            self.notices.push_back(Notice::Ended { gateway, client, why });
        }
    }

    /// Nobody speaks through the link any more, and nobody waits for what is in it.
    pub(super) fn finish(&mut self, now: Now, link: LinkId) {
        let Some(line) = self.lines.get_mut(link) else { return };
        line.watch = Some(now.after_ms(GONE_WITHIN_MS));
        line.link.abandon(now);
        if let Some(own) = line.own.as_deref_mut() {
            own.stage = Stage::Leaving;
            own.receipts = None;
        }
    }

    /// After what it has said: its time, its turn to dial, its end.
    pub(in crate::bridge) fn tend_own(&mut self, now: Now, link: LinkId) {
        let Some(line) = self.lines.get_mut(link) else { return };
        let Some(own) = line.own.as_deref_mut() else { return };
        if line.watch.is_some_and(|watch| watch.is_due(now)) {
            line.watch = None;
            match own.stage {
                Stage::Applying(_) => {
                    self.count_own(OwnCount::Unanswered);
                    self.refuse(now, link, Refusal::BrokerAway);
                }
                Stage::Admitted(_) => self.refuse(now, link, Refusal::BrokerAway),
                Stage::Leaving => line.link.abandon(now),
                Stage::Taken(_) => self.woken(link, Err(Refusal::BrokerAway)),
            }
        }
        let Some((link_state, own)) = self.own_mut(link) else { return };
        if link_state.is_drained() {
            return self.drop_own(link);
        }
        if link_state.is_held() && !own.queued && own.rival.is_none() {
            own.queued = true;
            let applies = matches!(own.stage, Stage::Applying(_)) || own.waking;
            if let Some(fleet) = self.fleet.as_deref_mut() {
                fleet.pacer.wait(link, applies);
            }
        }
    }

    fn drop_own(&mut self, link: LinkId) {
        // What it said last.
        while let Some(event) = self.lines.take_event(link) {
            if let LinkEvent::Settled { origin: Origin { gateway, client, token }, outcome } = event {
                self.notices.push_back(Notice::Settled { gateway, client, token, outcome });
            }
        }
        let Some(line) = self.lines.remove(link) else { return };
        let Some(own) = line.own else { return };
        if let Some(fleet) = self.fleet.as_deref_mut() {
            fleet.newest.remove(line.link.client_id(), link);
        }
        if let Stage::Applying(application) = &own.stage {
            self.decide(application, Err(Refusal::BrokerAway), None);
        }
        if let Some((_, newer)) = own.rival.and_then(|rival| self.own_mut(rival)) {
            newer.older = newer.older.filter(|older| *older != link);
        }
        if let Some((client, why)) = own.evicted {
            self.tell_ended(client, why);
        }
        if let Some(older) = own.older {
            self.reinstate(older);
        }
    }

    /// Its rival came to nothing: it is the newest again, and dials if it must.
    fn reinstate(&mut self, link: LinkId) {
        let Some((_, own)) = self.own_mut(link) else { return };
        own.rival = None;
        let Some(id) = self.lines.get(link).map(|line| line.link.client_id()) else { return };
        if let Some(fleet) = self.fleet.as_deref_mut()
            && fleet.newest.find(&self.lines, id).is_none()
        {
            fleet.newest.put(&self.lines, link);
        }
    }

    /// Lets links dial whose turn it is. True if there were any.
    pub(in crate::bridge) fn pace(&mut self, now: Now) -> bool {
        let Some(fleet) = self.fleet.as_deref_mut() else { return false };
        let away = self.lines.get(FIRST).is_some_and(|line| line.link.is_in_the_dark());
        let mut any = false;
        while !away && let Some(link) = fleet.pacer.next(now) {
            let Some(line) = self.lines.get_mut(link) else { continue };
            let Some(own) = line.own.as_deref_mut() else { continue };
            own.queued = false;
            if line.link.is_held() && own.rival.is_none() {
                fleet.pacer.charge();
                line.link.permit();
                any = true;
            }
        }
        if fleet.is_full && fleet.budget.is_roomy() {
            fleet.is_full = false;
            self.notices.push_back(Notice::Room);
        }
        any
    }

    /// When [`Bridge::pace`] is to be called.
    pub(in crate::bridge) fn next_turn(&self) -> Option<crate::time::Deadline> {
        let away = self.lines.get(FIRST).is_some_and(|line| line.link.is_in_the_dark());
        self.fleet.as_ref().filter(|_| !away)?.pacer.next_deadline()
    }

    fn count_own(&self, what: OwnCount) {
        if let Some(fleet) = &self.fleet {
            fleet.counts.up(what);
        }
    }

    pub(in crate::bridge) fn gauge_own(&self) {
        let Some(fleet) = &self.fleet else { return };
        let mut states =
            [(OwnCount::Waiting, 0_u64), (OwnCount::Connecting, 0), (OwnCount::Up, 0), (OwnCount::Resting, 0)];
        let [waiting, connecting, up, resting] = &mut states;
        for line in self.lines.iter().filter(|line| line.own.is_some()) {
            let state = match line.link.state() {
                _ if line.link.is_held() => &mut *waiting,
                LinkStatus::Online { .. } => &mut *up,
                LinkStatus::Resting => &mut *resting,
                LinkStatus::Connecting { .. }
                | LinkStatus::Waiting { .. }
                | LinkStatus::Conflict { .. }
                | LinkStatus::Stopped => &mut *connecting,
            };
            state.1 += 1;
        }
        for (state, count) in states {
            fleet.counts.set(state, count);
        }
        fleet.gauge_queue();
    }
}
