//! The chain, with the stores played by the test.

use super::*;
use crate::time::{Deadline, Now};
use crate::topic::ClientId;
use crate::uplink::{Admission, Applicant, Identity, Password, Token};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SN: GatewayId = GatewayId(0);
const STOMP: GatewayId = GatewayId(1);
const USERS: StoreId = StoreId(0);
const MORE: StoreId = StoreId(1);

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 0 }
}

fn store(id: StoreId) -> ChainEntry {
    ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(id) }
}

fn fixed(username: &str, password: &str) -> ChainEntry {
    let (username, password) = (username.into(), password.as_bytes().into());
    ChainEntry { gateways: Vec::new(), kind: EntryKind::Static { username, password } }
}

fn only(gateway: GatewayId, entry: ChainEntry) -> ChainEntry {
    ChainEntry { gateways: vec![gateway], ..entry }
}

fn chain(entries: Vec<ChainEntry>) -> AuthRules {
    AuthRules { entries, ..AuthRules::default() }
}

fn applicant<'a>(username: &'a str, password: &'a str) -> Applicant<'a> {
    Applicant {
        gateway: SN,
        listener: ListenerId(0),
        id: ClientId::try_from("lamp").unwrap(),
        username,
        password: Password(password.as_bytes()),
        address: None,
        proven: Proven::Nothing,
        wants: None,
    }
}

fn admit(rules: &AuthRules, who: &Applicant<'_>) -> Admission {
    Admissions::new(Arc::new(rules.clone())).admit(at(0), Token(7), who)
}

fn granted(username: &str, superuser: bool) -> Result<Identity, Refusal> {
    Ok(Identity { username: username.into(), superuser })
}

/// The verdict about `who`, with the stores' words in the order in which they are asked; and who was asked with what.
fn run(rules: AuthRules, who: &Applicant<'_>, words: &[Opinion]) -> (Result<Identity, Refusal>, Vec<(u16, String)>) {
    let mut admissions = Admissions::new(Arc::new(rules));
    let (mut asked, mut words) = (Vec::new(), words.iter());
    match admissions.admit(at(0), Token(7), who) {
        Admission::Granted(identity) => return (Ok(identity), asked),
        Admission::Refused(refusal) => return (Err(refusal), asked),
        Admission::Parked => {}
    }
    while let Some(question) = admissions.take_question() {
        let shown = &question.credentials;
        let password = String::from_utf8_lossy(&shown.password);
        asked.push((question.store.0, format!("{} {}:{password}", shown.client_id, shown.username)));
        let opinion = *words.next().expect("another word for another question");
        admissions.answer(at(1), Answer { id: question.id, opinion });
    }
    let decided = admissions.take_decided().expect("a decision");
    assert_eq!((decided.gateway, decided.applicant, admissions.take_decided()), (SN, Token(7), None));
    assert_eq!(admissions.next_deadline(), None, "nothing is left behind");
    (decided.verdict, asked)
}

const YES: Opinion = Opinion::Allow { superuser: false };

#[test]
fn a_password_is_never_shown() {
    let shown = |credentials: &Credentials| format!("{credentials:?}");
    let mut who = Credentials {
        client_id: "lamp".into(),
        username: "ann".into(),
        password: (*b"s3cret").into(),
        gateway: GatewayId(0),
        address: None,
    };
    assert!(shown(&who).contains("password: ***") && !shown(&who).contains("s3cret"), "{who:?}");
    assert!(!shown(&who).contains("115"), "nor its octets: {who:?}");
    who.password = Box::default();
    assert!(shown(&who).contains("password: none"), "{who:?}");
    assert_eq!(format!("{:?}", fixed("ann", "s3cret").kind), r#"Static { username: "ann", password: *** }"#);
}

#[test]
#[rustfmt::skip]
fn without_a_store_it_is_said_at_once() {
    let (nobody, ann) = (applicant("", ""), applicant("ann", "pw"));
    let rules = |entries: Vec<ChainEntry>, allow_anonymous, on_all_ignore| {
        AuthRules { allow_anonymous, on_all_ignore, ..chain(entries) }
    };
    let bad = Err(Refusal::BadCredentials);
    let elsewhere = || vec![only(STOMP, store(USERS))];
    let stat = || vec![fixed("site", "x")];
    let table = [
        ("empty chain",                     rules(vec![], None, false),              granted("", false), granted("ann", false)),
        ("empty chain, anonymous",          rules(vec![], Some(true), false),        granted("", false), granted("ann", false)),
        ("empty chain, none anonymous",     rules(vec![], Some(false), true),        bad.clone(),        bad.clone()),
        ("entry of another gateway",        rules(elsewhere(), None, false),         granted("", false), granted("ann", false)),
        ("the same, none anonymous",        rules(elsewhere(), Some(false), false),  bad.clone(),        bad.clone()),
        ("static alone decides nothing",    rules(stat(), None, false),              bad.clone(),        bad.clone()),
        ("and leaves nobody anonymous",     rules(stat(), Some(true), false),        bad.clone(),        bad.clone()),
        ("all ignore means allow",          rules(stat(), None, true),               granted("site", false), granted("site", false)),
    ];
    for (what, rules, for_nobody, for_ann) in table {
        assert_eq!(run(rules.clone(), &nobody, &[]), (for_nobody, vec![]), "{what}");
        assert_eq!(run(rules, &ann, &[]), (for_ann, vec![]), "{what}");
    }
}

#[test]
fn a_listener_without_authentication_asks_nobody() {
    let rules = AuthRules { open_listeners: vec![ListenerId(1)], ..chain(vec![fixed("site", "x"), store(USERS)]) };
    assert_eq!(admit(&rules, &applicant("ann", "")), Admission::Parked);
    let open = Applicant { listener: ListenerId(1), ..applicant("ann", "") };
    assert_eq!(admit(&rules, &open), Admission::Granted(Identity { username: "ann".into(), superuser: false }));
}

#[test]
#[rustfmt::skip]
fn a_store_ends_it_or_leaves_it_to_the_next() {
    let two = || chain(vec![store(USERS), store(MORE)]);
    let ann = applicant("ann", "pw");
    let table: [(&[Opinion], Result<Identity, Refusal>); 8] = [
        (&[YES],                                                granted("ann", false)),
        (&[Opinion::Allow { superuser: true }],                 granted("ann", true)),
        (&[Opinion::Deny],                                      Err(Refusal::BadCredentials)),
        (&[Opinion::Failed],                                    Err(Refusal::AuthUnavailable)),
        (&[Opinion::Busy],                                      Err(Refusal::Busy)),
        (&[Opinion::Ignore, YES],                               granted("ann", false)),
        (&[Opinion::Ignore, Opinion::Failed],                   Err(Refusal::AuthUnavailable)),
        (&[Opinion::Ignore, Opinion::Ignore],                   Err(Refusal::BadCredentials)),
    ];
    for (words, expected) in table {
        let (verdict, asked) = run(two(), &ann, words);
        assert_eq!(verdict, expected, "{words:?}");
        let everyone = [(0, "lamp ann:pw".to_owned()), (1, "lamp ann:pw".to_owned())];
        assert_eq!(asked, everyone[..words.len()], "{words:?}");
    }
}

#[test]
fn when_all_ignore_only_who_shows_nothing_is_anonymous() {
    let rules = AuthRules { allow_anonymous: Some(true), ..chain(vec![store(USERS)]) };
    let verdict = |rules: &AuthRules, who| run(rules.clone(), &who, &[Opinion::Ignore]).0;
    assert_eq!(verdict(&rules, applicant("", "")), granted("", false));
    assert_eq!(verdict(&rules, applicant("ann", "")), Err(Refusal::BadCredentials));
    assert_eq!(verdict(&rules, applicant("", "pw")), Err(Refusal::BadCredentials));
    assert_eq!(verdict(&chain(vec![store(USERS)]), applicant("", "")), Err(Refusal::BadCredentials));
    let lenient = AuthRules { on_all_ignore: true, ..chain(vec![store(USERS)]) };
    assert_eq!(verdict(&lenient, applicant("ann", "pw")), granted("ann", false));
}

#[test]
fn a_static_entry_replaces_what_the_client_brought_for_all_entries_after_it() {
    let entries = vec![store(USERS), fixed("site", "x"), only(STOMP, fixed("other", "y")), store(MORE)];
    let (verdict, asked) = run(chain(entries), &applicant("ann", "pw"), &[Opinion::Ignore, YES]);
    assert_eq!(verdict, granted("site", false));
    assert_eq!(asked, [(0, "lamp ann:pw".to_owned()), (1, "lamp site:x".to_owned())]);
}

#[test]
fn an_entry_serves_its_gateways_only() {
    let entries = vec![only(STOMP, store(USERS)), only(SN, store(MORE))];
    let (_, asked) = run(chain(entries), &applicant("ann", "pw"), &[YES]);
    assert_eq!(asked, [(1, "lamp ann:pw".to_owned())]);
}

#[test]
fn a_decision_has_one_deadline_and_a_late_answer_finds_nothing() {
    let rules = AuthRules { timeout_ms: 100, ..chain(vec![store(USERS), store(MORE)]) };
    let mut admissions = Admissions::new(Arc::new(rules));
    assert_eq!(admissions.admit(at(1000), Token(1), &applicant("ann", "")), Admission::Parked);
    assert_eq!(admissions.admit(at(1050), Token(2), &applicant("bob", "")), Admission::Parked);
    let first = admissions.take_question().unwrap();
    assert_eq!(admissions.next_deadline(), Some(Deadline(1100)));
    admissions.answer(at(1090), Answer { id: first.id, opinion: Opinion::Ignore });
    assert_eq!(
        admissions.next_deadline(),
        Some(Deadline(1100)),
        "the second store has what the first left of the time"
    );
    admissions.timer(at(1099));
    assert_eq!(admissions.take_decided(), None);
    admissions.timer(at(1100));
    let late = Decided { gateway: SN, applicant: Token(1), verdict: Err(Refusal::AuthUnavailable) };
    assert_eq!(admissions.take_decided(), Some(late));
    assert_eq!(admissions.take_question().map(|q| q.credentials.username.clone()), Some("bob".into()));
    assert_eq!(admissions.take_question().map(|q| q.id), None, "nobody waits for the other question any more");
    admissions.answer(at(1101), Answer { id: first.id, opinion: YES });
    assert_eq!(admissions.take_decided(), None);
    assert_eq!(admissions.next_deadline(), Some(Deadline(1150)));
}

#[test]
fn an_answer_that_comes_at_the_deadline_comes_too_late() {
    let rules = AuthRules { timeout_ms: 100, ..chain(vec![store(USERS)]) };
    let mut admissions = Admissions::new(Arc::new(rules));
    assert_eq!(admissions.admit(at(0), Token(1), &applicant("ann", "")), Admission::Parked);
    let id = admissions.take_question().unwrap().id;
    admissions.answer(at(100), Answer { id, opinion: YES });
    assert_eq!(admissions.take_decided().unwrap().verdict, Err(Refusal::AuthUnavailable));
}

#[test]
fn an_answer_counts_once_and_for_its_own_question() {
    let mut admissions = Admissions::new(Arc::new(chain(vec![store(USERS), store(MORE)])));
    assert_eq!(admissions.admit(at(0), Token(1), &applicant("ann", "")), Admission::Parked);
    let first = admissions.take_question().unwrap().id;
    admissions.answer(at(1), Answer { id: first, opinion: Opinion::Ignore });
    let second = admissions.take_question().unwrap();
    assert_eq!(second.store, MORE);
    admissions.answer(at(2), Answer { id: first, opinion: YES });
    assert_eq!(admissions.take_decided(), None, "the first store has no say in what the second is asked");
    admissions.answer(at(3), Answer { id: second.id, opinion: Opinion::Deny });
    assert_eq!(admissions.take_decided().unwrap().verdict, Err(Refusal::BadCredentials));
    admissions.answer(at(4), Answer { id: second.id, opinion: YES });
    assert_eq!(admissions.take_decided(), None);
}

#[test]
fn a_new_chain_lets_nobody_in_on_the_word_of_the_old_one() {
    let mut admissions = Admissions::new(Arc::new(chain(vec![store(USERS)])));
    for number in 1..=3 {
        assert_eq!(admissions.admit(at(0), Token(number), &applicant("ann", "")), Admission::Parked);
    }
    let asked = admissions.take_question().unwrap().id;
    admissions.replace(Arc::new(chain(vec![])));
    for number in 1..=3 {
        let told = Decided { gateway: SN, applicant: Token(number), verdict: Err(Refusal::Busy) };
        assert_eq!(admissions.take_decided(), Some(told));
    }
    admissions.answer(at(1), Answer { id: asked, opinion: YES });
    assert_eq!(admissions.take_decided(), None);
    assert!(admissions.take_question().is_none() && admissions.next_deadline().is_none());
    let welcome = Admission::Granted(Identity { username: "ann".into(), superuser: false });
    assert_eq!(admissions.admit(at(2), Token(4), &applicant("ann", "")), welcome);
}

#[test]
fn no_more_wait_than_may() {
    let mut admissions = Admissions::new(Arc::new(chain(vec![store(USERS)])));
    let mut asked = Vec::new();
    for _ in 0..MAX_WAITING {
        assert_eq!(admissions.admit(at(0), Token(1), &applicant("ann", "")), Admission::Parked);
        asked.extend(admissions.take_question());
    }
    assert_eq!(admissions.admit(at(0), Token(2), &applicant("ann", "")), Admission::Refused(Refusal::Busy));
    admissions.answer(at(1), Answer { id: asked[0].id, opinion: YES });
    assert_eq!(admissions.admit(at(1), Token(3), &applicant("ann", "")), Admission::Parked);
}

#[test]
fn while_nobody_carries_the_questions_away_no_more_are_asked() {
    let mut admissions = Admissions::new(Arc::new(chain(vec![store(USERS)])));
    for _ in 0..MAX_WAITING {
        assert_eq!(admissions.admit(at(0), Token(1), &applicant("ann", "")), Admission::Parked);
    }
    let late = at(10_000);
    admissions.timer(late);
    assert_eq!(admissions.admit(late, Token(2), &applicant("ann", "")), Admission::Refused(Refusal::Busy));
    assert!(admissions.take_question().is_none(), "nobody waits for them any more");
    assert_eq!(admissions.admit(late, Token(3), &applicant("ann", "")), Admission::Parked);
}

/// Something that happens to a shard's decisions.
#[derive(Clone, Debug)]
enum Happening {
    Admit {
        known: bool,
    },
    Ask,
    /// The answer to one of the questions so far, perhaps again, perhaps too late.
    Answer(prop::sample::Index, Opinion),
    Wait(u64),
    Replace {
        stores: u16,
    },
}

fn happenings() -> impl Strategy<Value = Happening> {
    let opinion = prop::sample::select(vec![YES, Opinion::Deny, Opinion::Ignore, Opinion::Failed, Opinion::Busy]);
    prop_oneof![
        3 => any::<bool>().prop_map(|known| Happening::Admit { known }),
        3 => Just(Happening::Ask),
        4 => (any::<prop::sample::Index>(), opinion).prop_map(|(which, opinion)| Happening::Answer(which, opinion)),
        1 => (0_u64..60).prop_map(Happening::Wait),
        1 => (1_u16..3).prop_map(|stores| Happening::Replace { stores }),
    ]
}

proptest! {
    #[test]
    fn who_waits_is_answered_once_and_comes_in_on_a_word_to_its_last_question_only(
        happenings in prop::collection::vec(happenings(), 1..80),
    ) {
        let rules = |stores| Arc::new(AuthRules { timeout_ms: 100, ..chain((0..stores).map(|n| store(StoreId(n))).collect()) });
        let mut admissions = Admissions::new(rules(2));
        let (mut now, mut next) = (at(0), 0);
        // Since when each waits; what was asked; to whose last question the answer was yes.
        let (mut waits, mut asked, mut welcome) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let mut last: BTreeMap<Box<str>, Key> = BTreeMap::new();
        for happening in happenings.into_iter().chain([Happening::Wait(100)]) {
            match happening {
                Happening::Admit { known } => {
                    next += 1;
                    let name = if known { format!("user-{next}") } else { String::new() };
                    let id = format!("device-{next}");
                    let who = Applicant { id: ClientId::try_from(&*id).unwrap(), ..applicant(&name, "") };
                    prop_assert_eq!(admissions.admit(now, Token(next), &who), Admission::Parked);
                    waits.insert(next, now);
                }
                Happening::Ask => {
                    if let Some(question) = admissions.take_question() {
                        last.insert(question.credentials.client_id.clone(), question.id);
                        asked.push(question);
                    }
                }
                Happening::Answer(which, opinion) => {
                    if asked.is_empty() { continue }
                    let question = &asked[which.index(asked.len())];
                    let name = &question.credentials.client_id;
                    let number: u64 = name.trim_start_matches("device-").parse().unwrap();
                    if last.get(name) == Some(&question.id) {
                        last.remove(name);
                        if opinion == YES && waits.contains_key(&number) {
                            welcome.insert(number);
                        }
                    }
                    admissions.answer(now, Answer { id: question.id, opinion });
                }
                Happening::Wait(ms) => {
                    now.mono_ms += ms;
                    admissions.timer(now);
                }
                Happening::Replace { stores } => admissions.replace(rules(stores)),
            }
            while let Some(decided) = admissions.take_decided() {
                let since = waits.remove(&decided.applicant.0);
                prop_assert!(since.is_some(), "{:?} twice, or unasked", decided);
                prop_assert_eq!(decided.verdict.is_ok(), welcome.remove(&decided.applicant.0), "{:?}", decided.applicant);
            }
            prop_assert!(waits.values().all(|since| now.mono_ms < since.mono_ms + 100), "who has waited too long is told");
        }
        prop_assert!(waits.is_empty() && admissions.next_deadline().is_none());
    }
}

fn proven<'a>(proven: Proven<'a>, username: &'a str, password: &'a str) -> Applicant<'a> {
    Applicant { proven, ..applicant(username, password) }
}

fn certified() -> ChainEntry {
    ChainEntry { gateways: Vec::new(), kind: EntryKind::Certificate }
}

#[test]
fn who_proved_a_name_and_says_none_has_that_name() {
    let open = AuthRules { open_listeners: vec![ListenerId(0)], ..chain(vec![store(USERS)]) };
    for by in [Proven::Certificate, Proven::Psk] {
        for rules in [chain(Vec::new()), open.clone()] {
            assert_eq!(run(rules.clone(), &proven(by("me"), "", ""), &[]).0, granted("me", false));
            assert_eq!(run(rules, &proven(by("me"), "ann", ""), &[]).0, granted("ann", false));
        }
        let (verdict, asked) = run(chain(vec![store(USERS)]), &proven(by("me"), "", "pw"), &[YES]);
        assert_eq!((verdict, asked), (granted("me", false), vec![(0, "lamp me:pw".to_owned())]));
    }
}

#[test]
fn a_name_that_was_proved_and_not_said_is_no_credential() {
    let rules = AuthRules { allow_anonymous: Some(true), ..chain(vec![store(USERS)]) };
    for by in [Proven::Certificate, Proven::Psk] {
        assert_eq!(run(rules.clone(), &proven(by("me"), "", ""), &[Opinion::Ignore]).0, granted("me", false));
        let named = proven(by("me"), "ann", "");
        assert_eq!(run(rules.clone(), &named, &[Opinion::Ignore]).0, Err(Refusal::BadCredentials));
    }
}

#[test]
fn an_entry_for_certificates_lets_their_owners_in_under_their_names_and_leaves_others_to_the_next() {
    let (bad, some) = (Err(Refusal::BadCredentials), proven(Proven::Certificate("cn"), "ann", "pw"));
    let alone = chain(vec![certified()]);
    assert_eq!(run(alone.clone(), &some, &[]), (granted("cn", false), vec![]));
    assert_eq!(run(alone, &applicant("ann", "pw"), &[]), (bad, vec![]));
    let first = chain(vec![fixed("site", "x"), certified(), store(USERS)]);
    assert_eq!(run(first.clone(), &some, &[]).0, granted("cn", false));
    assert_eq!(run(first, &applicant("ann", "pw"), &[YES]).0, granted("site", false));
    let second = chain(vec![store(USERS), certified()]);
    assert_eq!(run(second.clone(), &some, &[Opinion::Ignore]).0, granted("cn", false));
    assert_eq!(run(second, &some, &[Opinion::Deny]).0, Err(Refusal::BadCredentials));
    let elsewhere = chain(vec![only(STOMP, certified()), store(USERS)]);
    assert_eq!(run(elsewhere, &some, &[YES]).0, granted("ann", false));
}

#[test]
fn an_entry_for_certificates_lets_nobody_in_for_a_pre_shared_key() {
    let (key, bad) = (proven(Proven::Psk("cn"), "", ""), Err(Refusal::BadCredentials));
    assert_eq!(run(chain(vec![certified()]), &key, &[]), (bad.clone(), vec![]));
    let anonymous = AuthRules { allow_anonymous: Some(true), ..chain(vec![certified()]) };
    assert_eq!(run(anonymous.clone(), &key, &[]).0, granted("cn", false));
    assert_eq!(run(anonymous, &proven(Proven::Psk("cn"), "ann", "pw"), &[]).0, bad.clone());
    // After a store as well, when the decision has waited.
    let second = chain(vec![store(USERS), certified()]);
    assert_eq!(run(second.clone(), &key, &[Opinion::Ignore]).0, bad);
    let certificate = proven(Proven::Certificate("cn"), "", "");
    assert_eq!(run(second, &certificate, &[Opinion::Ignore]).0, granted("cn", false));
}

#[test]
fn an_identity_that_is_bound_to_a_client_id_may_be_no_other() {
    let endpoints: BTreeMap<_, _> = [("one".into(), "lamp".into()), ("two".into(), "door".into())].into();
    let open = AuthRules { open_listeners: vec![ListenerId(0)], ..AuthRules::default() };
    for rules in [open, chain(Vec::new())] {
        let rules = AuthRules { endpoints: endpoints.clone(), ..rules };
        assert_eq!(run(rules.clone(), &proven(Proven::Psk("one"), "", ""), &[]).0, granted("one", false));
        assert_eq!(run(rules.clone(), &proven(Proven::Psk("two"), "", ""), &[]).0, Err(Refusal::BadCredentials));
        assert_eq!(run(rules.clone(), &proven(Proven::Psk("three"), "", ""), &[]).0, granted("three", false));
        // It is about keys: a certificate's name is another's.
        assert_eq!(run(rules, &proven(Proven::Certificate("two"), "", ""), &[]).0, granted("two", false));
    }
}

#[test]
fn an_entry_that_leaves_it_to_the_broker_ends_the_chain() {
    let broker = ChainEntry { gateways: Vec::new(), kind: EntryKind::Broker };
    let rules = chain(vec![fixed("site", "x"), store(USERS), broker.clone(), store(MORE)]);
    let asked = vec![(0, "lamp site:x".to_owned())];
    assert_eq!(run(rules, &applicant("ann", "pw"), &[Opinion::Ignore]), (granted("site", false), asked));
    assert_eq!(run(chain(vec![broker]), &applicant("ann", "pw"), &[]), (granted("ann", false), vec![]));
}
