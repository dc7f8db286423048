//! Rules as an operator writes them, against a reading of them that knows no tricks.

use super::*;
use proptest::prelude::*;

const NOW: Now = Now { mono_ms: 1000, wall_ms: 0 };
const LAMP: Subject<'_> =
    Subject { client_id: "lamp", username: "ann", address: Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7))) };

fn rule(permit: Verdict, who: Who, actions: Actions, topics: &[&str]) -> AclRule {
    let topics = topics.iter().map(|text| RuleTopic::parse(text).unwrap()).collect();
    AclRule { permit, who, actions, topics }
}

fn allow(topics: &[&str]) -> AclRule {
    rule(Verdict::Allow, Who::All, Actions::All, topics)
}

fn deny(topics: &[&str]) -> AclRule {
    rule(Verdict::Deny, Who::All, Actions::All, topics)
}

fn acl(rules: Vec<AclRule>, no_match: Verdict) -> Acl {
    Acl { rules, no_match, node: "north".into(), ..Acl::default() }
}

fn judge(acl: &Acl, who: &Subject<'_>, action: Action, topic: &str) -> Verdict {
    acl.judge(&mut Scratch::default(), who, action, topic)
}

use Action::{Publish, Subscribe};
use Verdict::{Allow, Deny};

#[test]
fn the_first_rule_that_is_concerned_decides_and_then_no_match() {
    let rules = acl(vec![allow(&["a/b"]), deny(&["a/#"]), allow(&["c"])], Deny);
    let table = [("a/b", Allow), ("a/c", Deny), ("a", Deny), ("c", Allow), ("d", Deny)];
    for (topic, verdict) in table {
        assert_eq!(judge(&rules, &LAMP, Publish, topic), verdict, "{topic}");
    }
    assert_eq!(judge(&acl(vec![deny(&["a"])], Allow), &LAMP, Publish, "b"), Allow);
    assert_eq!(judge(&acl(vec![deny(&[])], Allow), &LAMP, Publish, "b"), Allow, "no topic, no concern");
}

#[test]
fn a_rule_is_about_its_clients_and_its_actions() {
    let network = |text: &str| Who::Address(text.parse().unwrap());
    let nowhere = Subject { address: None, ..LAMP };
    let nameless = Subject { username: "", ..LAMP };
    let table = [
        (Who::All, nowhere, true),
        (Who::User("ann".into()), LAMP, true),
        (Who::User("bob".into()), LAMP, false),
        (Who::User("ann".into()), nameless, false),
        (Who::Client("lamp".into()), LAMP, true),
        (Who::Client("ann".into()), LAMP, false),
        (network("10.0.0.0/24"), LAMP, true),
        (network("10.0.1.0/24"), LAMP, false),
        (network("0.0.0.0/0"), nowhere, false),
    ];
    for (who, client, concerned) in table {
        let rules = acl(vec![rule(Deny, who.clone(), Actions::All, &["#"])], Allow);
        assert_eq!(judge(&rules, &client, Publish, "a") == Deny, concerned, "{who:?} {client:?}");
    }
    for (actions, publish, subscribe) in
        [(Actions::Publish, Deny, Allow), (Actions::Subscribe, Allow, Deny), (Actions::All, Deny, Deny)]
    {
        let rules = acl(vec![rule(Deny, Who::All, actions, &["a"])], Allow);
        assert_eq!((judge(&rules, &LAMP, Publish, "a"), judge(&rules, &LAMP, Subscribe, "a")), (publish, subscribe));
    }
}

#[test]
#[rustfmt::skip]
fn a_subscription_is_allowed_for_all_it_covers_and_denied_for_any_of_it() {
    let table = [
        (allow(&["a/+"]),        "a/b",      Allow),
        (allow(&["a/+"]),        "a/+",      Allow),
        (allow(&["a/+"]),        "a/#",      Deny),
        (allow(&["a/#"]),        "a",        Allow),
        (allow(&["#"]),          "$SYS/x",   Deny),
        (deny(&["secret/x"]),    "secret/x", Deny),
        (deny(&["secret/x"]),    "secret/#", Deny),
        (deny(&["secret/x"]),    "+/x",      Deny),
        (deny(&["secret/x"]),    "#",        Deny),
        (deny(&["secret/x"]),    "secret/y", Allow),
        (deny(&["secret/+"]),    "+/x",      Deny),
        (deny(&["#"]),           "$SYS/x",   Deny),
        (deny(&["+/x"]),         "$SYS/x",   Deny),
        (deny(&["$SYS/#"]),      "#",        Allow),
        (deny(&["$SYS/#"]),      "$SYS/#",   Deny),
        (deny(&["eq #"]),        "#",        Deny),
        (deny(&["eq #"]),        "a/#",      Allow),
        (deny(&["eq a/+"]),      "a/b",      Allow),
        (allow(&["eq a/+"]),     "a/b",      Deny),
        (allow(&["eq a/%c"]),    "a/lamp",   Allow),
    ];
    for (rule, asked, verdict) in table {
        let no_match = if rule.permit == Allow { Deny } else { Allow };
        assert_eq!(judge(&acl(vec![rule.clone()], no_match), &LAMP, Subscribe, asked), verdict, "{rule:?} {asked}");
    }
}

#[test]
fn placeholders_stand_for_what_is_known_of_the_client() {
    let rules = acl(vec![allow(&["c/%c/${clientid}", "u/%u/${username}", "a/%a/${peerhost}", "n/%n"])], Deny);
    for topic in ["c/lamp/lamp", "u/ann/ann", "a/10.0.0.7/10.0.0.7", "n/north"] {
        assert_eq!(judge(&rules, &LAMP, Publish, topic), Allow, "{topic}");
    }
    for topic in ["c/lamp/x", "c/+/+", "u/bob/bob", "a/10.0.0.8/10.0.0.8", "n/south"] {
        assert_eq!(judge(&rules, &LAMP, Publish, topic), Deny, "{topic}");
    }
    // One after the other, in the same memory.
    let mut scratch = Scratch::default();
    for (address, written) in [("::ffff:10.0.0.7", "10.0.0.7"), ("2001:db8::1", "2001:db8::1")] {
        let client = Subject { address: Some(address.parse().unwrap()), ..LAMP };
        let topic = format!("a/{written}/{written}");
        assert_eq!(rules.judge(&mut scratch, &client, Publish, &topic), Allow, "{topic}");
    }
    let nowhere = Subject { address: None, ..LAMP };
    assert_eq!(rules.judge(&mut scratch, &nowhere, Publish, "a/2001:db8::1/2001:db8::1"), Deny);
}

#[test]
fn a_value_never_opens_a_rule_beyond_its_level_and_never_slips_through_one_that_denies() {
    let named = |client_id| Subject { client_id, username: "", address: None };
    let (open, shut) = (acl(vec![allow(&["d/%c/#", "u/%u/#"])], Deny), acl(vec![deny(&["d/%c/#", "u/%u/#"])], Allow));
    for id in ["+", "#", "a/b", "a+", "+/+"] {
        for asked in ["d/a", "d/x/y", "d/a/b/c", "d/#", "d/+", "d/+/+"] {
            assert_eq!(judge(&open, &named(id), Subscribe, asked), Deny, "{id} {asked}");
        }
    }
    assert_eq!(judge(&shut, &named("+"), Subscribe, "d/+"), Deny, "as it is");
    assert_eq!(judge(&shut, &named("a/b"), Publish, "d/a/b/c"), Deny);
    assert_eq!(judge(&open, &named("lamp"), Publish, "u//x"), Deny, "it has no user name");
    assert_eq!(judge(&shut, &named("lamp"), Publish, "u//x"), Allow, "so that no rule about users is about it");
}

#[test]
fn what_is_no_topic_of_a_rule_is_refused() {
    let fault = |text: &str| RuleTopic::parse(text).unwrap_err().to_string();
    assert_eq!(
        fault("$share/g/a"),
        "begins with $share: a shared subscription is judged by the filter behind its group"
    );
    assert_eq!(fault("a/%e"), "asks for the endpoint name, which access rules do not know");
    assert_eq!(fault("a/%x"), "unknown placeholder %x");
    assert_eq!(fault("a/${clientid"), "placeholder ${clientid is not closed");
    for text in ["", "eq ", "a/#/b", "a+", "%c#", "a\u{1}"] {
        assert!(RuleTopic::parse(text).is_err(), "{text:?}");
    }
    assert!(RuleTopic::parse("eq #").is_ok() && RuleTopic::parse("%c").is_ok());
}

#[test]
fn without_rules_nothing_is_looked_at_and_nothing_is_kept() {
    let mut control = AccessControl::new(Arc::new(Acl::default()));
    let mut cache = DecisionCache::default();
    assert!(control.is_open());
    assert_eq!(control.check(NOW, &LAMP, &mut cache, Publish, "a"), Allow);
    assert_eq!(cache.len(), 0);
    control.replace(Arc::new(Acl { no_match: Deny, ..Acl::default() }));
    assert!(!control.is_open(), "without rules, but with another word for everybody");
    assert_eq!(control.check(NOW, &LAMP, &mut cache, Publish, "a"), Deny);
}

#[test]
fn a_decision_is_remembered_for_its_time_and_for_its_rules() {
    let rules = |no_match| Arc::new(Acl { cache_ttl_ms: 100, cache_size: 2, ..acl(vec![allow(&["x"])], no_match) });
    let mut control = AccessControl::new(rules(Deny));
    let mut cache = DecisionCache::default();
    let mut ask = |control: &mut AccessControl, ms, topic| {
        let now = Now { mono_ms: NOW.mono_ms + ms, wall_ms: 0 };
        let verdict = control.check(now, &LAMP, &mut cache, Publish, topic);
        (verdict, control.counts.get(AclCount::Hit), control.counts.get(AclCount::Miss), cache.len())
    };
    assert_eq!(ask(&mut control, 0, "a"), (Deny, 0, 1, 1));
    assert_eq!(ask(&mut control, 99, "a"), (Deny, 1, 1, 1));
    assert_eq!(ask(&mut control, 100, "a"), (Deny, 1, 2, 1), "its time is over");
    assert_eq!(ask(&mut control, 100, "x"), (Allow, 1, 3, 2));
    assert_eq!(ask(&mut control, 100, "b"), (Deny, 1, 4, 2), "the oldest went");
    assert_eq!(ask(&mut control, 100, "x"), (Allow, 2, 4, 2));
    assert_eq!(ask(&mut control, 100, "a"), (Deny, 2, 5, 2));
    assert_eq!(ask(&mut control, 100, "b"), (Deny, 3, 5, 2), "and now the other one did");
    control.replace(rules(Allow));
    assert_eq!(ask(&mut control, 100, "b"), (Allow, 3, 6, 1), "the rules are others");
    assert_eq!(control.counts.get(AclCount::PublishDenied), 6);
}

#[test]
fn a_long_topic_is_judged_anew_each_time() {
    let mut control = AccessControl::new(Arc::new(acl(vec![deny(&["a/#"])], Allow)));
    let mut cache = DecisionCache::default();
    for (length, kept) in [(MAX_TOPIC + 1, 0), (MAX_TOPIC, 1)] {
        let topic = "a/".to_owned() + &"x".repeat(length - 2);
        assert_eq!(control.check(NOW, &LAMP, &mut cache, Publish, &topic), Deny);
        assert_eq!(cache.len(), kept);
    }
}

#[test]
fn publishing_and_subscribing_are_remembered_apart() {
    let only = rule(Deny, Who::All, Actions::Subscribe, &["a"]);
    let mut control = AccessControl::new(Arc::new(acl(vec![only], Allow)));
    let mut cache = DecisionCache::default();
    for _ in 0..2 {
        assert_eq!(control.check(NOW, &LAMP, &mut cache, Publish, "a"), Allow);
        assert_eq!(control.check(NOW, &LAMP, &mut cache, Subscribe, "a"), Deny);
    }
    assert_eq!(control.counts.get(AclCount::SubscribeDenied), 2);
}

/// A rule and the text of its only topic.
type Written = (Verdict, Actions, Who, String);

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![Allow, Deny])
}

fn written() -> impl Strategy<Value = Written> {
    let actions = prop::sample::select(vec![Actions::Publish, Actions::Subscribe, Actions::All]);
    let who = prop::sample::select(vec![Who::All, Who::User("u".into()), Who::Client("a".into())]);
    let level = prop::sample::select(vec!["a", "b", "%c", "%u", "+", "${clientid}"]);
    let topic =
        (prop::collection::vec(level, 1..3), any::<bool>(), any::<bool>()).prop_map(|(mut levels, hash, eq)| {
            if hash {
                levels.push("#");
            }
            format!("{}{}", if eq { "eq " } else { "" }, levels.join("/"))
        });
    (verdicts(), actions, who, topic)
}

/// Client id and user name, action, and the topic or filter.
fn asked() -> impl Strategy<Value = (&'static str, &'static str, Action, String)> {
    let id = prop::sample::select(vec!["a", "b", "+", "a/b"]);
    let user = prop::sample::select(vec!["", "u", "#"]);
    let level = |all: &[&'static str]| prop::sample::select(all.to_vec());
    let name = prop::collection::vec(level(&["a", "b", "u"]), 1..4).prop_map(|l| (Publish, l.join("/")));
    let filter = prop::collection::vec(level(&["a", "b", "u", "+"]), 0..3).prop_map(|mut l| {
        l.push("#");
        (Subscribe, l.join("/"))
    });
    (id, user, prop_oneof![name, filter]).prop_map(|(id, user, (action, topic))| (id, user, action, topic))
}

/// The rules read aloud, with texts replaced instead of templates filled.
fn naive(rules: &[Written], no_match: Verdict, id: &str, user: &str, action: Action, topic: &str) -> Verdict {
    for (permit, actions, who, text) in rules {
        let about = match who {
            Who::All => true,
            Who::User(name) => **name == *user,
            Who::Client(name) => **name == *id,
            Who::Address(_) => false,
        };
        let acts = matches!(
            (actions, action),
            (Actions::All, _) | (Actions::Publish, Publish) | (Actions::Subscribe, Subscribe)
        );
        let (of_id, of_user) = (text.contains("%c") || text.contains("${clientid}"), text.contains("%u"));
        let breaks = |value: &str| value.contains(['+', '#', '/']);
        let says =
            !(of_user && user.is_empty()) && !(*permit == Allow && (of_id && breaks(id) || of_user && breaks(user)));
        let filled = text.replace("%c", id).replace("${clientid}", id).replace("%u", user);
        let hits = match (filled.strip_prefix("eq "), permit) {
            (Some(exact), _) => exact == topic,
            (None, Allow) => filter::covers(&filled, topic),
            (None, Deny) => filter::overlap(&filled, topic),
        };
        if about && acts && says && hits {
            return *permit;
        }
    }
    no_match
}

proptest! {
    #[test]
    fn rules_mean_what_they_say_and_the_cache_changes_nothing(
        sets in prop::collection::vec((prop::collection::vec(written(), 0..6), verdicts()), 1..3),
        size in 0_u16..4,
        questions in prop::collection::vec((asked(), 0_u64..40, any::<prop::sample::Index>()), 1..60),
    ) {
        let parsed: Vec<Arc<Acl>> = sets.iter().map(|(rules, no_match)| {
            let each = |(permit, actions, who, text): &Written| rule(*permit, who.clone(), *actions, &[text]);
            let rules = rules.iter().map(each).collect();
            Arc::new(Acl { cache_size: size, cache_ttl_ms: 50, ..acl(rules, *no_match) })
        }).collect();
        let mut control = AccessControl::new(Arc::clone(&parsed[0]));
        let mut caches = std::collections::BTreeMap::<_, DecisionCache>::new();
        let (mut now, mut current) = (NOW, 0);
        for ((id, user, action, topic), wait, set) in questions {
            now.mono_ms += wait;
            let set = set.index(sets.len());
            if set != current && wait > 30 {
                control.replace(Arc::clone(&parsed[set]));
                current = set;
            }
            let who = Subject { client_id: id, username: user, address: None };
            let cache = caches.entry((id, user)).or_default();
            let verdict = control.check(now, &who, cache, action, &topic);
            let (rules, no_match) = &sets[current];
            prop_assert_eq!(verdict, naive(rules, *no_match, id, user, action, &topic), "{} {:?} {}", id, action, topic);
            prop_assert!(cache.len() <= usize::from(size));
        }
    }
}
