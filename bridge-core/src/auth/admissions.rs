//! Decisions of one shard: taken at once where nothing needs to be asked, else under way from store to store.

use super::{Answer, AuthRules, Credentials, EntryKind, Opinion, Question, Shown};
use crate::meter::{Counts, Meter};
use crate::metrics::{ADMISSIONS, ADMISSIONS_WAITING};
use crate::peer::{GatewayId, Proven, ProvenBuf};
use crate::slab::{Key, Slab};
use crate::time::{Deadline, Now};
use crate::uplink::{Admission, Applicant, Identity, Refusal, SessionWish, Token};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Decisions under way at once on a shard, at most; whoever comes then is told to come again later.
pub const MAX_WAITING: usize = 16_384;

/// A decision that had to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Whose machine.
    pub gateway: GatewayId,
    /// The machine's number for the applicant.
    pub applicant: Token,
    /// Who it is, or why it is not let in.
    pub verdict: Result<Identity, Refusal>,
}

/// A client that the chain has let in, and that is to have an MQTT connection of its own: the broker has the last word.
#[derive(Clone, Debug)]
pub struct OwnRequest {
    /// Whose machine.
    pub gateway: GatewayId,
    /// The machine's number for the applicant.
    pub applicant: Token,
    /// Who it is to us.
    pub identity: Identity,
    /// What the broker is shown: what the client gave, or what static entries put in its place.
    pub credentials: Arc<Credentials>,
    /// What it asks of its session there.
    pub wish: SessionWish,
}

/// The chain as one shard goes through it. Each question has an id of its own, so that an answer that comes twice, or
/// too late, finds nothing.
#[derive(Debug)]
pub struct Admissions {
    rules: Arc<AuthRules>,
    waiting: Slab<Waiting>,
    /// Of all that wait; each ends once.
    deadlines: BTreeSet<(Deadline, Key)>,
    questions: VecDeque<Question>,
    decided: VecDeque<Decided>,
    /// Clients have MQTT connections of their own.
    own_links: bool,
    own_requests: VecDeque<OwnRequest>,
    counts: Counts<AdmissionCount>,
}

/// A decision that waits for a store.
#[derive(Debug)]
struct Waiting {
    gateway: GatewayId,
    applicant: Token,
    /// As the store was shown them.
    credentials: Arc<Credentials>,
    /// Who it is, as the transport has found.
    proven: ProvenBuf,
    /// The first entry that has not been heard.
    next: usize,
    deadline: Deadline,
    /// It is to have an MQTT connection of its own.
    wish: Option<SessionWish>,
}

/// What the entries up to the next store make of an applicant.
enum Step<'r> {
    /// Ask there; then the entry with this number is next.
    Ask { entry: usize, shown: Shown<'r> },
    /// It may come in with these, under that name.
    Welcome { shown: Shown<'r> },
    /// There is no further store.
    End { shown: Shown<'r> },
}

impl Admissions {
    /// Nobody waits yet.
    #[must_use]
    pub fn new(rules: Arc<AuthRules>) -> Self {
        Self {
            rules,
            waiting: Slab::default(),
            deadlines: BTreeSet::new(),
            questions: VecDeque::new(),
            decided: VecDeque::new(),
            own_links: false,
            own_requests: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Who wants an MQTT connection of its own, and is let in, becomes an [`OwnRequest`] from now on.
    pub fn give_own_links(&mut self) {
        self.own_links = true;
    }

    /// The next client that is to have an MQTT connection of its own.
    pub fn take_own_request(&mut self) -> Option<OwnRequest> {
        self.own_requests.pop_front()
    }

    /// May it come in, and as whom? `applicant` is the machine's own number; what is [`Parked`](Admission::Parked) is
    /// answered once, by [`Admissions::take_decided`], under it.
    pub fn admit(&mut self, now: Now, applicant: Token, who: &Applicant<'_>) -> Admission {
        let rules = Arc::clone(&self.rules);
        let proven = who.proven;
        let bound = match proven {
            Proven::Psk(identity) => rules.endpoints.get(identity),
            Proven::Nothing | Proven::Certificate(_) => None,
        };
        if bound.is_some_and(|client_id| **client_id != *who.id.as_str()) {
            self.counts.up(AdmissionCount::Denied);
            return Admission::Refused(Refusal::BadCredentials);
        }
        let username = if who.username.is_empty() { proven.identity().unwrap_or_default() } else { who.username };
        if rules.open_listeners.contains(&who.listener) {
            return self.let_in(applicant, who, Shown { username, password: who.password.0, proven });
        }
        match step(&rules, who.gateway, 0, Shown { username, password: who.password.0, proven }) {
            Step::Welcome { shown } => {
                self.counts.up(AdmissionCount::Granted);
                self.let_in(applicant, who, shown)
            }
            Step::End { shown } => {
                let verdict = rules.unheard(who.gateway, shown);
                self.count(verdict);
                match verdict {
                    Ok(()) => self.let_in(applicant, who, shown),
                    Err(refusal) => Admission::Refused(refusal),
                }
            }
            Step::Ask { entry, shown } => {
                let credentials = Arc::new(credentials(who, shown));
                let deadline = now.after_ms(rules.timeout_ms);
                let (gateway, proven) = (who.gateway, proven.into());
                let wish = who.wants.filter(|_| self.own_links);
                let waiting = Waiting { gateway, applicant, credentials, proven, next: entry, deadline, wish };
                if self.ask(waiting) {
                    return Admission::Parked;
                }
                self.counts.up(AdmissionCount::Busy);
                Admission::Refused(Refusal::Busy)
            }
        }
    }

    /// Asks the store of the entry `waiting.next`. False when there is no room for another decision, or when nobody
    /// carries the questions away.
    fn ask(&mut self, mut waiting: Waiting) -> bool {
        let entry = self.rules.entries.get(waiting.next).map(|entry| &entry.kind);
        let Some(&EntryKind::Store(store)) = entry else { return false };
        if self.waiting.len() >= MAX_WAITING || self.questions.len() >= MAX_WAITING {
            return false;
        }
        waiting.next += 1;
        let (credentials, deadline) = (Arc::clone(&waiting.credentials), waiting.deadline);
        let Some(id) = self.waiting.insert(waiting) else { return false };
        self.deadlines.insert((deadline, id));
        self.questions.push_back(Question { id, store, credentials });
        true
    }

    /// What a store is to be asked next.
    pub fn take_question(&mut self) -> Option<Question> {
        while let Some(question) = self.questions.pop_front() {
            if self.waiting.get(question.id).is_some() {
                return Some(question);
            }
        }
        None
    }

    /// A store's word. Without effect if nobody waits for it any more.
    pub fn answer(&mut self, now: Now, answer: Answer) {
        let Some(waiting) = self.take(answer.id) else { return };
        if waiting.deadline.is_due(now) {
            return self.decide(&waiting, Err(Refusal::AuthUnavailable), AdmissionCount::TimedOut);
        }
        match answer.opinion {
            Opinion::Allow { superuser } => {
                let username = waiting.credentials.username.clone();
                self.decide(&waiting, Ok(Identity { username, superuser }), AdmissionCount::Granted);
            }
            Opinion::Deny => self.decide(&waiting, Err(Refusal::BadCredentials), AdmissionCount::Denied),
            Opinion::Failed => self.decide(&waiting, Err(Refusal::AuthUnavailable), AdmissionCount::Failed),
            Opinion::Busy => self.decide(&waiting, Err(Refusal::Busy), AdmissionCount::Busy),
            Opinion::Ignore => self.go_on(waiting),
        }
    }

    /// The store does not know the client: the next entry decides.
    fn go_on(&mut self, mut waiting: Waiting) {
        let rules = Arc::clone(&self.rules);
        let shown = Arc::clone(&waiting.credentials);
        let proven = waiting.proven.clone();
        let now = Shown { username: &shown.username, password: &shown.password, proven: proven.view() };
        match step(&rules, waiting.gateway, waiting.next, now) {
            Step::Ask { entry, shown: Shown { username, password, .. } } => {
                waiting.next = entry;
                waiting.show(username, password);
                let (gateway, applicant) = (waiting.gateway, waiting.applicant);
                if !self.ask(waiting) {
                    self.counts.up(AdmissionCount::Busy);
                    self.decided.push_back(Decided { gateway, applicant, verdict: Err(Refusal::Busy) });
                }
            }
            Step::Welcome { shown } => {
                waiting.show(shown.username, shown.password);
                self.decide(&waiting, Ok(named(shown.username)), AdmissionCount::Granted);
            }
            Step::End { shown } => {
                waiting.show(shown.username, shown.password);
                let verdict = rules.unheard(waiting.gateway, shown);
                let count = if verdict.is_ok() { AdmissionCount::Granted } else { AdmissionCount::Denied };
                self.decide(&waiting, verdict.map(|()| named(shown.username)), count);
            }
        }
    }

    /// Takes this chain from now on. Who waits is told to come again: the stores that were asked may not be there any
    /// more, and what they say under the old chain must not let anybody in under the new one.
    pub fn replace(&mut self, rules: Arc<AuthRules>) {
        self.rules = rules;
        self.questions.clear();
        for (_, id) in std::mem::take(&mut self.deadlines) {
            if let Some(waiting) = self.waiting.remove(id) {
                self.decide(&waiting, Err(Refusal::Busy), AdmissionCount::Busy);
            }
        }
    }

    /// When [`Admissions::timer`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Time has come to `now`: who has waited too long is not let in.
    pub fn timer(&mut self, now: Now) {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if !deadline.is_due(now) {
                return;
            }
            self.deadlines.pop_first();
            if let Some(waiting) = self.waiting.remove(id) {
                self.decide(&waiting, Err(Refusal::AuthUnavailable), AdmissionCount::TimedOut);
            }
        }
    }

    /// The next decision that had to wait.
    pub fn take_decided(&mut self) -> Option<Decided> {
        self.decided.pop_front()
    }

    /// For whoever reports.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.counts.meter()
    }

    /// Brings the gauge up to date.
    pub fn gauge(&self) {
        self.counts.set(AdmissionCount::Waiting, self.waiting.len() as u64);
    }

    fn take(&mut self, id: Key) -> Option<Waiting> {
        let waiting = self.waiting.remove(id)?;
        self.deadlines.remove(&(waiting.deadline, id));
        Some(waiting)
    }

    fn decide(&mut self, waiting: &Waiting, verdict: Result<Identity, Refusal>, count: AdmissionCount) {
        self.counts.up(count);
        let (gateway, applicant) = (waiting.gateway, waiting.applicant);
        match (verdict, waiting.wish) {
            (Ok(identity), Some(wish)) => {
                let credentials = Arc::clone(&waiting.credentials);
                self.own_requests.push_back(OwnRequest { gateway, applicant, identity, credentials, wish });
            }
            (verdict, _) => self.decided.push_back(Decided { gateway, applicant, verdict }),
        }
    }

    /// Nothing has to be asked: it is let in, or goes on to the broker.
    fn let_in(&mut self, applicant: Token, who: &Applicant<'_>, shown: Shown<'_>) -> Admission {
        let identity = named(shown.username);
        let Some(wish) = who.wants.filter(|_| self.own_links) else { return Admission::Granted(identity) };
        let (gateway, credentials) = (who.gateway, Arc::new(credentials(who, shown)));
        self.own_requests.push_back(OwnRequest { gateway, applicant, identity, credentials, wish });
        Admission::Parked
    }

    fn count(&self, verdict: Result<(), Refusal>) {
        self.counts.up(if verdict.is_ok() { AdmissionCount::Granted } else { AdmissionCount::Denied });
    }
}

impl Waiting {
    /// What is shown to whoever is asked next.
    fn show(&mut self, username: &str, password: &[u8]) {
        if *username != *self.credentials.username || *password != *self.credentials.password {
            let (username, password) = (username.into(), password.into());
            self.credentials = Arc::new(Credentials { username, password, ..(*self.credentials).clone() });
        }
    }
}

fn credentials(who: &Applicant<'_>, shown: Shown<'_>) -> Credentials {
    Credentials {
        client_id: who.id.as_str().into(),
        username: shown.username.into(),
        password: shown.password.into(),
        gateway: who.gateway,
        address: who.address,
    }
}

/// Goes through the entries from number `from` that serve the gateway, up to the next store.
fn step<'r>(rules: &'r AuthRules, gateway: GatewayId, from: usize, mut shown: Shown<'r>) -> Step<'r> {
    for (entry, each) in rules.entries.iter().enumerate().skip(from).filter(|(_, each)| each.serves(gateway)) {
        match &each.kind {
            EntryKind::Static { username, password } => shown = Shown { username, password, ..shown },
            EntryKind::Store(_) => return Step::Ask { entry, shown },
            EntryKind::Certificate => {
                if let Proven::Certificate(username) = shown.proven {
                    return Step::Welcome { shown: Shown { username, ..shown } };
                }
            }
            EntryKind::Broker => return Step::Welcome { shown },
        }
    }
    Step::End { shown }
}

fn named(username: &str) -> Identity {
    Identity { username: username.into(), superuser: false }
}

crate::count! {
    /// What becomes of those who want to come in. (A listener that asks nobody counts nothing.)
    enum AdmissionCount {
        /// Let in.
        Granted = ADMISSIONS { result: "granted" };
        /// A store said no, or nobody said yes.
        Denied = ADMISSIONS { result: "denied" };
        /// A store could not say.
        Failed = ADMISSIONS { result: "failed" };
        /// A store did not say in time.
        TimedOut = ADMISSIONS { result: "timeout" };
        /// Too many waited, or the chain was replaced.
        Busy = ADMISSIONS { result: "busy" };
        /// Gauge: decisions under way.
        Waiting = ADMISSIONS_WAITING {};
    }
}
