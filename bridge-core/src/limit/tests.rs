use super::*;
use crate::listeners::ListenerPolicy;

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 0 }
}

fn listeners(each: &[(&str, &str)]) -> Listeners {
    let limits = each.iter().map(|(rate, publish)| {
        let rate = (!rate.is_empty()).then(|| rate.parse().unwrap());
        let publish = (!publish.is_empty()).then(|| publish.parse().unwrap());
        ListenerPolicy { limits: SessionLimits::new(rate, publish), ..ListenerPolicy::default() }
    });
    Listeners::new(limits.collect())
}

/// A session that publishes through listener 0.
#[derive(Default)]
struct Session {
    limits: Limits,
    spent: Option<Box<Spent>>,
}

impl Session {
    fn new(rate: &str, publish: &str) -> Self {
        Self { limits: Limits::new(&listeners(&[(rate, publish)])), spent: None }
    }

    fn publish(&mut self, mono_ms: u64, octets: u64) -> Result<(), Over> {
        let Some(in_force) = self.limits.of(ListenerId(0)) else { return Ok(()) };
        in_force.admit(at(mono_ms), self.spent.as_deref(), octets)?;
        in_force.charge(at(mono_ms), &mut self.spent, octets);
        Ok(())
    }
}

fn over(which: Which, until: u64) -> Result<(), Over> {
    Err(Over { which, until: Deadline(until) })
}

#[test]
fn octets_are_limited() {
    let mut session = Session::new("1KB/s,burst=4KB", "");
    assert_eq!((0..4).map(|_| session.publish(500, 1024)).collect::<Vec<_>>(), [Ok(()); 4]);
    assert_eq!(session.publish(500, 1024), over(Which::Rate, 1500));
    assert_eq!(session.publish(500, 512), over(Which::Rate, 1000), "less is to be had earlier");
    assert_eq!((session.publish(1499, 1024), session.publish(1500, 1024)), (over(Which::Rate, 1500), Ok(())));
}

#[test]
fn messages_are_limited_whatever_their_size() {
    let mut session = Session::new("", "2/10s");
    assert_eq!((session.publish(0, 0), session.publish(0, 1 << 40)), (Ok(()), Ok(())));
    assert_eq!(session.publish(1, 0), over(Which::Publish, 5000));
    assert_eq!((session.publish(5000, 0), session.publish(5000, 0)), (Ok(()), over(Which::Publish, 10_000)));
}

#[test]
fn of_two_limits_the_one_that_takes_longer_is_waited_for() {
    let mut session = Session::new("1000B/s", "2/10s");
    assert_eq!(session.publish(0, 1000), Ok(()));
    assert_eq!(session.publish(0, 1000), over(Which::Rate, 1000));
    assert_eq!(session.publish(1000, 1), Ok(()));
    assert_eq!(session.publish(1000, 1), over(Which::Publish, 5000));
}

#[test]
fn what_is_refused_costs_nothing() {
    let mut session = Session::new("1000B/s", "");
    assert_eq!(session.publish(0, 1000), Ok(()));
    assert!((0..1000).all(|ms| session.publish(ms, 1000) == over(Which::Rate, 1000)));
    assert_eq!(session.publish(1000, 1000), Ok(()));
}

#[test]
fn a_clock_that_goes_back_gives_nothing_away() {
    let mut session = Session::new("", "1/10s");
    assert_eq!(session.publish(100_000, 0), Ok(()));
    assert_eq!(session.publish(0, 0), over(Which::Publish, 10_000));
    assert_eq!(session.publish(105_000, 0), over(Which::Publish, 110_000));
    let mut session = Session::new("", "2/10s");
    assert_eq!((session.publish(100_000, 0), session.publish(0, 0)), (Ok(()), Ok(())));
    assert_eq!(session.publish(100_000, 0), over(Which::Publish, 105_000));
}

#[test]
fn other_limits_hold_at_once_and_the_same_ones_forgive_nothing() {
    let mut session = Session::new("", "1/10s");
    assert_eq!(session.publish(0, 0), Ok(()));
    session.limits.replace(&listeners(&[("", "1/10s"), ("1KB/s", "")]));
    assert_eq!(session.publish(0, 0), over(Which::Publish, 10_000), "this listener's are as they were");
    session.limits.replace(&listeners(&[("", "1/20s"), ("1KB/s", "")]));
    assert_eq!((session.publish(0, 0), session.publish(0, 0)), (Ok(()), over(Which::Publish, 20_000)));
    session.limits.replace(&listeners(&[("", ""), ("1KB/s", "")]));
    assert_eq!((session.publish(0, 0), session.publish(0, 0)), (Ok(()), Ok(())));
    session.limits.replace(&listeners(&[("", "1/20s"), ("1KB/s", "")]));
    assert_eq!(session.publish(0, 0), Ok(()), "what was owed before there were none is forgiven");
}

#[test]
fn sessions_without_a_limit_cost_nothing_and_others_little() {
    let limits = Limits::new(&listeners(&[("", ""), ("1KB/s", "")]));
    assert!(limits.of(ListenerId(0)).is_none());
    assert!(limits.of(ListenerId(1)).is_some());
    assert!(limits.of(ListenerId(2)).is_none(), "one that is not known");
    assert!(Limits::new(&listeners(&[("", "")])).listeners.is_empty());
    assert!(size_of::<Spent>() <= 32 && size_of::<Option<Box<Spent>>>() <= 8);
}
