//! From the chain's word to the broker's.

use super::super::lines::Line;
use super::super::{Bridge, FIRST, LinkId, Notice};
use super::counts::OwnCount;
use super::{
    Application, EARLY, Fleet, Own, SHORTEST_KEEPALIVE_S, Stage, TAKEN_WITHIN_MS, VERDICT_WITHIN_MS, WAITING_S,
};
use crate::auth::{MAX_WAITING, OwnRequest};
use crate::link::{Link, Password, Persona};
use crate::time::Now;
use crate::uplink::{Identity, OwnLink, Refusal};

impl Fleet {
    /// Links that may have no verdict yet, at most.
    fn most_applying(&self) -> usize {
        match self.pacer.rate() {
            0 => MAX_WAITING,
            rate => usize::try_from(rate.saturating_mul(WAITING_S)).unwrap_or(MAX_WAITING).min(MAX_WAITING),
        }
    }

    fn link_for(&mut self, request: &OwnRequest, like: Option<&Link>) -> Link {
        let (shown, wish) = (&request.credentials, &request.wish);
        let keepalive_s = match wish.keepalive_s {
            0 => self.like.keepalive_s,
            device_s => device_s.max(SHORTEST_KEEPALIVE_S),
        };
        let persona = Persona {
            client_id: shown.client_id.clone(),
            username: shown.username.clone(),
            password: Password::from(&*shown.password),
            keepalive_s,
            session_expiry_s: if wish.clean { 0 } else { wish.expiry_s.max(1) },
            will: None,
        };
        let seed = self.rng.next_u64();
        let mut link = Link::for_client(&self.like, persona, self.link_counts.clone(), &self.budget, seed);
        if let Some(like) = like {
            link.follow(like);
        }
        link
    }
}

impl Bridge {
    /// The chain has let them in: now the broker is asked.
    pub(in crate::bridge) fn ask_broker(&mut self, now: Now) {
        while let Some(request) = self.admissions.take_own_request() {
            let (gateway, applicant) = (request.gateway, request.applicant);
            if let Err(refusal) = self.apply(now, &request) {
                self.notices.push_back(Notice::Decided { gateway, applicant, verdict: Err(refusal), link: None });
            }
        }
    }

    fn apply(&mut self, now: Now, request: &OwnRequest) -> Result<(), Refusal> {
        let fleet = self.fleet.as_deref_mut().ok_or(Refusal::BrokerAway)?;
        if self.draining || fleet.applying >= fleet.most_applying() {
            fleet.counts.up(OwnCount::Busy);
            return Err(Refusal::Busy);
        }
        let first = self.lines.get(FIRST).map(|line| &line.link);
        if first.is_some_and(Link::is_in_the_dark) {
            fleet.counts.up(OwnCount::Unanswered);
            return Err(Refusal::BrokerAway);
        }
        if first.is_some_and(|first| is_of_one_family(first.client_id(), &request.credentials.client_id)) {
            // It would throw out a link of the node, or of another shard.
            fleet.counts.up(OwnCount::RefusedClient);
            return Err(Refusal::BadIdentity);
        }
        let link = fleet.link_for(request, first);
        let identity = request.identity.clone();
        let own = Own::applying(Application { gateway: request.gateway, applicant: request.applicant, identity });
        let mut line = Line::own(link, own);
        line.watch = Some(now.after_ms(VERDICT_WITHIN_MS));
        let id = self.lines.insert(line).ok_or(Refusal::Limit)?;
        fleet.applying += 1;
        self.challenge(now, id);
        Ok(())
    }

    /// A newer link with this client id: the older one does not dial any more, or goes at once if nobody speaks through it.
    fn challenge(&mut self, now: Now, newer: LinkId) {
        let Some(fleet) = self.fleet.as_deref_mut() else { return };
        let older = fleet.newest.put(&self.lines, newer);
        let Some(older) = older else { return };
        let Some(own) = self.lines.get_mut(older).and_then(|line| line.own.as_deref_mut()) else { return };
        own.rival = Some(newer);
        if matches!(own.stage, Stage::Taken(_)) || (matches!(own.stage, Stage::Leaving) && !own.has_replaced()) {
            self.succeed(newer, Some(older), None);
            return;
        }
        // Nobody has come by it: what it was to replace is the newest's to replace.
        let (oldest, evicted) = (own.older.take(), own.evicted.take());
        if let Some(own) = oldest.and_then(|oldest| self.lines.get_mut(oldest)).and_then(|line| line.own.as_deref_mut())
        {
            own.rival = Some(newer);
        }
        self.succeed(newer, oldest, evicted);
        self.refuse(now, older, Refusal::Busy);
    }

    fn succeed(&mut self, newer: LinkId, older: Option<LinkId>, evicted: Option<super::Evicted>) {
        if let Some(own) = self.lines.get_mut(newer).and_then(|line| line.own.as_deref_mut()) {
            (own.older, own.evicted) = (older, evicted);
        }
    }

    /// The broker has let it in.
    pub(super) fn admitted(&mut self, now: Now, link: LinkId) {
        let Some(line) = self.lines.get_mut(link) else { return };
        let Some(own) = line.own.as_deref_mut().filter(|own| matches!(own.stage, Stage::Applying(_))) else { return };
        line.watch = Some(now.after_ms(TAKEN_WITHIN_MS));
        let Stage::Applying(application) = std::mem::replace(&mut own.stage, Stage::Admitted(Vec::new())) else {
            return;
        };
        self.decide(&application, Ok(application.identity.clone()), Some(OwnLink(link.0)));
    }

    /// It does not come in, or nobody took it: the link goes. Harmless for one that is taken.
    pub(in crate::bridge) fn refuse(&mut self, now: Now, link: LinkId, why: Refusal) {
        let Some(own) = self.lines.get_mut(link).and_then(|line| line.own.as_deref_mut()) else { return };
        match std::mem::replace(&mut own.stage, Stage::Leaving) {
            Stage::Applying(application) => self.decide(&application, Err(why), None),
            taken @ Stage::Taken(_) => {
                own.stage = taken;
                return;
            }
            Stage::Admitted(_) | Stage::Leaving => {}
        }
        self.finish(now, link);
    }

    pub(super) fn decide(
        &mut self,
        application: &Application,
        verdict: Result<Identity, Refusal>,
        link: Option<OwnLink>,
    ) {
        if let Some(fleet) = self.fleet.as_deref_mut() {
            fleet.applying = fleet.applying.saturating_sub(1);
        }
        let (gateway, applicant) = (application.gateway, application.applicant);
        self.notices.push_back(Notice::Decided { gateway, applicant, verdict, link });
    }
}

/// Whether two client ids differ in no more than the number at the end, as those of a node's own links do.
fn is_of_one_family(ours: &str, theirs: &str) -> bool {
    let is_number = |c: char| c.is_ascii_digit();
    let (stem, other) = (ours.trim_end_matches(is_number), theirs.trim_end_matches(is_number));
    stem.len() < ours.len() && other.len() < theirs.len() && stem == other
}

const _: () = assert!(EARLY >= crate::link::OWN_RECEIVE_MAXIMUM as usize, "what the broker may send is kept");
