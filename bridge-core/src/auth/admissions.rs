//! Decisions of one shard: taken at once where nothing needs to be asked, else under way from store to store.

use super::{Answer, AuthRules, Credentials, EntryKind, Opinion, Question, Shown};
use crate::meter::{Counts, Meter};
use crate::metrics::{ADMISSIONS, ADMISSIONS_WAITING};
use crate::peer::GatewayId;
use crate::slab::{Key, Slab};
use crate::time::{Deadline, Now};
use crate::uplink::{Admission, Applicant, Identity, Refusal, Token};
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
    proven: Option<Box<str>>,
    /// The first entry that has not been heard.
    next: usize,
    deadline: Deadline,
}

/// What the entries up to the next store make of an applicant.
enum Step<'r> {
    /// Ask there; then the entry with this number is next.
    Ask { entry: usize, shown: Shown<'r> },
    /// It may come in under this name.
    Welcome { username: &'r str },
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
            counts: Counts::default(),
        }
    }

    /// May it come in, and as whom? `applicant` is the machine's own number; what is [`Parked`](Admission::Parked) is
    /// answered once, by [`Admissions::take_decided`], under it.
    pub fn admit(&mut self, now: Now, applicant: Token, who: &Applicant<'_>) -> Admission {
        let rules = Arc::clone(&self.rules);
        let proven = who.proven.identity;
        let bound = proven.and_then(|identity| rules.endpoints.get(identity));
        if bound.is_some_and(|client_id| **client_id != *who.id.as_str()) {
            self.counts.up(AdmissionCount::Denied);
            return Admission::Refused(Refusal::BadCredentials);
        }
        let username = if who.username.is_empty() { proven.unwrap_or_default() } else { who.username };
        if rules.open_listeners.contains(&who.listener) {
            return granted(username);
        }
        match step(&rules, who.gateway, 0, Shown { username, password: who.password.0, proven }) {
            Step::Welcome { username } => {
                self.counts.up(AdmissionCount::Granted);
                granted(username)
            }
            Step::End { shown } => {
                let verdict = rules.unheard(who.gateway, shown);
                self.count(verdict);
                match verdict {
                    Ok(()) => granted(shown.username),
                    Err(refusal) => Admission::Refused(refusal),
                }
            }
            Step::Ask { entry, shown } => {
                let credentials = Arc::new(Credentials {
                    client_id: who.id.as_str().into(),
                    username: shown.username.into(),
                    password: shown.password.into(),
                    gateway: who.gateway,
                    address: who.address,
                });
                let deadline = now.after_ms(rules.timeout_ms);
                let (gateway, proven) = (who.gateway, proven.map(Into::into));
                let waiting = Waiting { gateway, applicant, credentials, proven, next: entry, deadline };
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
        let now = Shown { username: &shown.username, password: &shown.password, proven: proven.as_deref() };
        match step(&rules, waiting.gateway, waiting.next, now) {
            Step::Ask { entry, shown: Shown { username, password, .. } } => {
                waiting.next = entry;
                if *username != *shown.username || *password != *shown.password {
                    let (username, password) = (username.into(), password.into());
                    waiting.credentials = Arc::new(Credentials { username, password, ..(*shown).clone() });
                }
                let (gateway, applicant) = (waiting.gateway, waiting.applicant);
                if !self.ask(waiting) {
                    self.counts.up(AdmissionCount::Busy);
                    self.decided.push_back(Decided { gateway, applicant, verdict: Err(Refusal::Busy) });
                }
            }
            Step::Welcome { username } => {
                self.decide(&waiting, Ok(named(username)), AdmissionCount::Granted);
            }
            Step::End { shown } => {
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
        self.decided.push_back(Decided { gateway, applicant, verdict });
    }

    fn count(&self, verdict: Result<(), Refusal>) {
        self.counts.up(if verdict.is_ok() { AdmissionCount::Granted } else { AdmissionCount::Denied });
    }
}

/// Goes through the entries from number `from` that serve the gateway, up to the next store.
fn step<'r>(rules: &'r AuthRules, gateway: GatewayId, from: usize, mut shown: Shown<'r>) -> Step<'r> {
    for (entry, each) in rules.entries.iter().enumerate().skip(from).filter(|(_, each)| each.serves(gateway)) {
        match &each.kind {
            EntryKind::Static { username, password } => shown = Shown { username, password, ..shown },
            EntryKind::Store(_) => return Step::Ask { entry, shown },
            EntryKind::Proven => {
                if let Some(username) = shown.proven {
                    return Step::Welcome { username };
                }
            }
            EntryKind::Broker => return Step::Welcome { username: shown.username },
        }
    }
    Step::End { shown }
}

fn granted(username: &str) -> Admission {
    Admission::Granted(named(username))
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
