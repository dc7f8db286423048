use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SN: GatewayId = GatewayId(0);
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

fn device(slot: u32) -> Subscriber {
    let client = ClientRef(Key { slot, generation: 0 });
    Subscriber { client, handle: Token(u64::from(slot)), gateway: SN, subscription: Token(1), mount: 0 }
}

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::try_from(text).unwrap()
}

/// Subscribes and lets the broker grant it; returns the identifier.
fn joined(up: &mut Upstream, text: &str, slot: u32, qos: Qos) -> u32 {
    let (_, Joined::Ask(ask)) = up.join(filter(text), device(slot), qos, Coming::New { retained: true }).unwrap()
    else {
        panic!("must ask")
    };
    assert_eq!(up.answered(ask.id, Ok(ask.qos), |_| ()), None);
    ask.id
}

fn recipients(up: &mut Upstream, topic: &str, ids: &[u32], retained: bool) -> Vec<u32> {
    let mut out = Vec::new();
    up.recipients(topic, &ids.iter().copied(), retained, |who, _| out.push(who.client.0.slot));
    out
}

#[test]
fn what_the_broker_kept_goes_to_the_new_subscriber_only() {
    let mut up = Upstream::new(1);
    let first = joined(&mut up, "a/+", 1, Qos::AtMostOnce);
    let second = joined(&mut up, "a/+", 2, Qos::AtMostOnce);
    assert_ne!(first, second, "a fresh identifier each time");
    assert_eq!(recipients(&mut up, "a/b", &[second], true), [2]);
    assert_eq!(recipients(&mut up, "a/b", &[first], true), [1], "late, but still its own");
    assert_eq!(recipients(&mut up, "a/b", &[second], false), [1, 2]);
    assert_eq!(recipients(&mut up, "a/b", &[first], false), [1, 2], "a live copy under the replaced identifier");
}

#[test]
fn each_copy_of_an_overlap_goes_to_its_own_filters_subscribers() {
    let mut up = Upstream::new(1);
    let wild = joined(&mut up, "a/#", 1, Qos::AtMostOnce);
    let plain = joined(&mut up, "a/b", 2, Qos::AtMostOnce);
    assert_eq!(recipients(&mut up, "a/b", &[wild], false), [1]);
    assert_eq!(recipients(&mut up, "a/b", &[plain], false), [2]);
    assert_eq!(recipients(&mut up, "a/b", &[wild, plain], false), [1, 2], "one copy that names both");
    assert_eq!(recipients(&mut up, "a/b", &[], false), [2, 1], "without identifiers: all local matches");
    assert_eq!(recipients(&mut up, "a/b", &[999], false), [2, 1], "one that nobody knows is as good as none");
}

#[test]
fn of_one_copy_for_several_filters_nobody_misses_it_though_one_identifier_is_forgotten() {
    let mut up = Upstream::new(1);
    let wild = joined(&mut up, "a/#", 1, Qos::AtMostOnce);
    joined(&mut up, "a/b", 2, Qos::AtMostOnce);
    joined(&mut up, "c", 3, Qos::AtMostOnce);
    assert_eq!(recipients(&mut up, "a/b", &[wild, 999], false), [1, 2], "each once");
    assert_eq!(recipients(&mut up, "a/b", &[999, wild], false), [1, 2]);
    assert_eq!(recipients(&mut up, "a/b", &[wild, 999], true), [1], "what was kept is for who asked for it");
}

#[test]
fn without_identifiers_what_was_kept_goes_to_those_of_the_subscribe_that_was_answered_last() {
    let mut up = Upstream::new(1);
    joined(&mut up, "a/b", 1, Qos::AtMostOnce);
    let new = Coming::New { retained: true };
    let (_, Joined::Ask(second)) = up.join(filter("a/b"), device(2), QOS[0], new).unwrap() else { panic!("must ask") };
    assert_eq!(recipients(&mut up, "a/b", &[], true), [1], "its own, while the second is on its way");
    up.answered(second.id, Ok(QOS[0]), |_| ());
    assert_eq!(recipients(&mut up, "a/b", &[], true), [2]);
    joined(&mut up, "a/+", 3, Qos::AtMostOnce);
    assert_eq!(recipients(&mut up, "a/b", &[], true), [3], "not to those of a filter that matches, too");
    joined(&mut up, "c", 4, Qos::AtMostOnce);
    assert_eq!(recipients(&mut up, "a/b", &[], true), [2, 3], "late: to those who asked last for what it matches");
}

#[test]
fn one_subscribe_at_a_time_and_the_waiting_share_the_next() {
    let mut up = Upstream::new(1);
    let (_, Joined::Ask(one)) = up.join(filter("a"), device(1), QOS[0], Coming::New { retained: true }).unwrap() else {
        panic!()
    };
    assert_eq!(up.join(filter("a"), device(2), QOS[2], Coming::New { retained: true }).unwrap().1, Joined::Waits);
    assert_eq!(up.join(filter("a"), device(3), QOS[1], Coming::New { retained: true }).unwrap().1, Joined::Waits);
    let mut told = Vec::new();
    let then = up.answered(one.id, Ok(QOS[0]), |it| told.push((it.who.client.0.slot, it.granted)));
    let Some(Then::Ask(next)) = then else { panic!("{then:?}") };
    assert_eq!(told, [(1, Ok(QOS[0]))]);
    assert_eq!((next.qos, next.retain_handling), (QOS[2], 0), "the highest that anybody asked for");
    told.clear();
    assert_eq!(up.answered(next.id, Ok(QOS[1]), |it| told.push((it.who.client.0.slot, it.granted))), None);
    assert_eq!(told, [(2, Ok(QOS[1])), (3, Ok(QOS[1]))], "no more than was granted");
    assert_eq!(recipients(&mut up, "a", &[next.id], true), [2, 3]);
}

#[test]
fn who_asks_again_while_waiting_gets_what_was_kept_once() {
    let mut up = Upstream::new(1);
    let (_, Joined::Ask(one)) = up.join(filter("a"), device(1), QOS[0], Coming::New { retained: true }).unwrap() else {
        panic!()
    };
    let mut key = None;
    for leaves in [false, false, true, false] {
        key = up.join(filter("a"), device(2), QOS[0], Coming::New { retained: true }).map(|(key, _)| key);
        if leaves {
            assert_eq!(up.leave(key.unwrap(), device(2).client, device(2).subscription), None);
        }
    }
    let Some(Then::Ask(next)) = up.answered(one.id, Ok(QOS[0]), |_| ()) else { panic!("must ask") };
    let mut told = 0;
    up.answered(next.id, Ok(QOS[0]), |_| told += 1);
    assert_eq!((told, recipients(&mut up, "a", &[next.id], true)), (1, vec![2]));
    assert!(key.is_some());
}

#[test]
fn identifiers_begin_again_without_meeting_one_in_use() {
    let mut up = Upstream::new(1);
    assert_eq!(joined(&mut up, "old", 1, QOS[0]), 1);
    up.last_id = MAX_ID;
    assert_eq!(joined(&mut up, "new", 2, QOS[0]), 2);
    assert_eq!((recipients(&mut up, "old", &[1], false), recipients(&mut up, "new", &[2], true)), (vec![1], vec![2]));
}

#[test]
fn a_device_that_is_owed_nothing_needs_no_subscribe_unless_the_qos_rises() {
    let mut up = Upstream::new(1);
    joined(&mut up, "a", 1, QOS[1]);
    assert_eq!(
        up.join(filter("a"), device(2), QOS[0], Coming::New { retained: false }).unwrap().1,
        Joined::Granted(QOS[0])
    );
    let (_, Joined::Ask(ask)) = up.join(filter("a"), device(3), QOS[2], Coming::New { retained: false }).unwrap()
    else {
        panic!()
    };
    assert_eq!((ask.qos, ask.retain_handling), (QOS[2], 2));
}

#[test]
fn a_refused_subscription_has_ended() {
    let mut up = Upstream::new(1);
    let (_, Joined::Ask(ask)) = up.join(filter("a"), device(1), QOS[0], Coming::New { retained: true }).unwrap() else {
        panic!()
    };
    let mut told = Vec::new();
    let refusal = Refusal::Broker(0x87);
    assert_eq!(up.answered(ask.id, Err(refusal), |it| told.push((it.who.client.0.slot, it.granted))), None);
    assert_eq!((told, up.len()), (vec![(1, Err(refusal))], 0));
}

#[test]
fn what_was_granted_before_a_refusal_is_taken_back() {
    let mut up = Upstream::new(1);
    joined(&mut up, "a", 1, QOS[0]);
    let (_, Joined::Ask(ask)) = up.join(filter("a"), device(1), QOS[1], Coming::New { retained: true }).unwrap() else {
        panic!()
    };
    let then = up.answered(ask.id, Err(Refusal::Broker(0x87)), |_| ());
    assert_eq!((then, up.len()), (Some(Then::Unsubscribe("a".into())), 0));
}

#[test]
fn the_last_to_leave_unsubscribes() {
    let mut up = Upstream::new(1);
    let (key, _) = up.join(filter("a"), device(1), QOS[0], Coming::New { retained: true }).unwrap();
    up.join(filter("a"), device(2), QOS[0], Coming::New { retained: true }).unwrap();
    assert_eq!(up.leave(key, device(1).client, Token(1)), None);
    assert_eq!(up.leave(key, device(2).client, Token(1)).as_deref(), Some("a"));
    assert_eq!(up.leave(key, device(2).client, Token(1)), None);
    assert_eq!((up.len(), recipients(&mut up, "a", &[], false)), (0, vec![]));
}

#[test]
fn members_of_a_shared_filter_take_turns_and_are_owed_nothing_that_was_kept() {
    let mut up = Upstream::new(1);
    let (_, Joined::Ask(ask)) =
        up.join(filter("$share/g/a"), device(1), QOS[0], Coming::New { retained: true }).unwrap()
    else {
        panic!()
    };
    assert_eq!(ask.retain_handling, 2);
    up.answered(ask.id, Ok(QOS[0]), |_| ());
    assert_eq!(
        up.join(filter("$share/g/a"), device(2), QOS[0], Coming::New { retained: true }).unwrap().1,
        Joined::Granted(QOS[0])
    );
    joined(&mut up, "a", 3, QOS[0]);
    let turns: Vec<Vec<u32>> = (0..4).map(|_| recipients(&mut up, "a", &[ask.id], false)).collect();
    assert_eq!(turns, [[1], [2], [1], [2]]);
}

#[test]
fn a_lost_session_is_restored_without_what_was_kept_but_for_those_who_still_wait() {
    let mut up = Upstream::new(1);
    joined(&mut up, "a", 1, QOS[1]);
    up.join(filter("b"), device(2), QOS[0], Coming::New { retained: true }).unwrap();
    up.join(filter("b"), device(3), QOS[1], Coming::New { retained: true }).unwrap();
    let asks = up.restore(false).asks;
    let seen: Vec<_> = asks.iter().map(|a| (&*a.filter, a.qos, a.retain_handling)).collect();
    assert_eq!(seen, [("a", QOS[1], 2), ("b", QOS[1], 0)]);
    assert_eq!(recipients(&mut up, "a", &[asks[0].id], true), [0; 0]);
    let mut told = Vec::new();
    up.answered(asks[1].id, Ok(QOS[1]), |it| told.push((it.who.client.0.slot, it.granted)));
    assert_eq!(told, [(2, Ok(QOS[0])), (3, Ok(QOS[1]))]);
}

#[test]
fn a_kept_session_needs_only_what_was_never_answered() {
    let mut up = Upstream::new(1);
    joined(&mut up, "a", 1, QOS[0]);
    up.join(filter("b"), device(2), QOS[0], Coming::New { retained: true }).unwrap();
    let asks = up.restore(true).asks;
    assert_eq!(asks.iter().map(|a| &*a.filter).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn replaced_identifiers_are_forgotten_in_the_end() {
    let mut up = Upstream::new(1);
    joined(&mut up, "a", 1, QOS[0]);
    for _ in 0..RETIRED * 2 {
        joined(&mut up, "a", 2, QOS[0]);
    }
    assert_eq!(up.causes.len(), RETIRED + 1);
}

#[derive(Clone, Debug)]
enum Step {
    Join(usize, u32, usize, bool),
    Leave(usize, u32),
    Answer(bool),
    Interrupt(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4usize, 0..6u32, 0..3usize, any::<bool>()).prop_map(|(f, d, q, r)| Step::Join(f, d, q, r)),
        2 => (0..4usize, 0..6u32).prop_map(|(f, d)| Step::Leave(f, d)),
        4 => any::<bool>().prop_map(Step::Answer),
        1 => any::<bool>().prop_map(Step::Interrupt),
    ]
}

proptest! {
    /// Whatever happens, in the end each device that subscribed has its answer, and gets each live message once.
    #[test]
    fn every_subscribe_is_answered_and_every_member_reached(steps in proptest::collection::vec(step(), 0..60)) {
        let texts = ["a", "+", "a/#", "$share/g/a"];
        let mut up = Upstream::new(3);
        let mut open: Vec<Ask> = Vec::new();
        let mut waiting: BTreeMap<(usize, u32), bool> = BTreeMap::new();
        let mut keys: BTreeMap<usize, Key> = BTreeMap::new();
        for step in steps.into_iter().chain([Step::Interrupt(false)]).chain((0..20).map(|_| Step::Answer(true))) {
            match step {
                Step::Join(f, d, q, retained) => {
                    let (key, joined) = up.join(filter(texts[f]), device(d), QOS[q], Coming::New { retained }).unwrap();
                    keys.insert(f, key);
                    waiting.insert((f, d), !matches!(joined, Joined::Granted(_)));
                    if let Joined::Ask(ask) = joined { open.push(ask) }
                }
                Step::Leave(f, d) => if let Some(&key) = keys.get(&f) {
                    waiting.remove(&(f, d));
                    up.leave(key, device(d).client, Token(1));
                },
                Step::Answer(ok) => if !open.is_empty() {
                    let ask = open.remove(0);
                    let granted = if ok { Ok(ask.qos) } else { Err(Refusal::Broker(0x80)) };
                    let mut told = Vec::new();
                    let f = texts.iter().position(|t| **t == *ask.filter).unwrap();
                    let then =
                        up.answered(ask.id, granted, |it| told.push((it.who.client.0.slot, it.granted)));
                    if let Some(Then::Ask(ask)) = then { open.push(ask) }
                    for (d, granted) in told {
                        if granted.is_ok() { waiting.insert((f, d), false); } else { waiting.remove(&(f, d)); }
                    }
                },
                Step::Interrupt(present) => open = up.restore(present).asks,
            }
        }
        prop_assert!(open.is_empty());
        prop_assert!(waiting.values().all(|waits| !waits), "somebody still waits: {waiting:?}");
        for (f, text) in texts.iter().enumerate().take(3) {
            let expected: Vec<u32> = waiting.keys().filter(|(g, _)| *g == f).map(|&(_, d)| d).collect();
            let Some(key) = up.find(filter(text)) else { prop_assert!(expected.is_empty()); continue };
            let id = up.filters.get(key).unwrap().id;
            let mut got = recipients(&mut up, "a", &[id], false);
            got.sort_unstable();
            prop_assert_eq!(got, expected);
        }
    }
}
