use super::*;
use crate::publication::Publication;
use crate::time::Now;
use crate::topic::TopicName;

const START: Now = Now { mono_ms: 0, wall_ms: 0 };

fn message(qos: u8, octets: usize) -> Stored {
    let topic = TopicName::try_from("t").unwrap();
    let qos = Qos::from_bits(qos).unwrap();
    Stored::copy(&Publication { topic, payload: &vec![0; octets], qos, retain: false, expiry_s: None }, START)
}

fn cost(octets: usize) -> usize {
    Line::<u32>::cost(&message(0, octets))
}

/// A queue for this many messages, each named by a number; octets are no matter.
fn queue(max_messages: usize) -> Queue<u32> {
    Queue::new(QueueLimits { max_bytes: 1 << 30, max_messages })
}

fn drain(queue: &mut Queue<u32>, lasting: bool) -> Vec<u32> {
    std::iter::from_fn(|| queue.pop(lasting).map(|(_, name)| name)).collect()
}

#[test]
fn both_lines_leave_in_the_order_of_arrival() {
    let mut queue = queue(10);
    for (qos, name) in [(1, 1), (0, 2), (0, 3), (2, 4), (0, 5)] {
        assert_eq!(queue.push(message(qos, 1), name), Ok(0));
    }
    assert_eq!(drain(&mut queue, true), [1, 2, 3, 4, 5]);
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
}

#[test]
fn qos_0_leaves_while_the_other_line_must_wait() {
    let mut queue = queue(10);
    for (qos, name) in [(1, 1), (0, 2), (2, 3), (0, 4)] {
        assert_eq!(queue.push(message(qos, 1), name), Ok(0));
    }
    assert_eq!(drain(&mut queue, false), [2, 4]);
    assert!(queue.has_line(Qos::ExactlyOnce) && !queue.has_line(Qos::AtMostOnce));
    assert_eq!(drain(&mut queue, true), [1, 3]);
}

#[test]
fn a_full_queue_throws_away_its_oldest_qos_0() {
    let mut queue = queue(3);
    for (qos, name) in [(0, 1), (1, 2), (0, 3)] {
        assert_eq!(queue.push(message(qos, 1), name), Ok(0));
    }
    assert_eq!(queue.push(message(0, 1), 4), Ok(1));
    assert_eq!(queue.push(message(1, 1), 5), Ok(1));
    assert_eq!(drain(&mut queue, true), [2, 4, 5]);
}

#[test]
fn qos_1_and_2_are_never_thrown_away() {
    let mut queue = queue(2);
    assert_eq!((queue.push(message(1, 1), 1), queue.push(message(2, 1), 2)), (Ok(0), Ok(0)));
    for qos in 0..=2 {
        assert_eq!(queue.push(message(qos, 1), 3), Err(NoRoom::Full(message(qos, 1), 3)));
    }
    assert_eq!(drain(&mut queue, true), [1, 2]);
}

#[test]
fn octets_are_limited_too() {
    let mut queue = Queue::<u32>::new(QueueLimits { max_bytes: cost(100) + 2 * cost(10), max_messages: 100 });
    assert_eq!(queue.push(message(1, 100), 1), Ok(0));
    assert_eq!((queue.push(message(0, 10), 2), queue.push(message(0, 10), 3)), (Ok(0), Ok(0)));
    assert_eq!(queue.push(message(0, 10), 4), Ok(1), "one of the same size goes");
    assert_eq!(queue.push(message(1, 100), 5), Err(NoRoom::Full(message(1, 100), 5)), "none goes in vain");
    assert_eq!(queue.bytes(), cost(100) + 2 * cost(10));
    assert_eq!(queue.push(message(0, 1000), 6), Err(NoRoom::TooLarge(message(0, 1000), 6)));
    assert_eq!(drain(&mut queue, true), [1, 3, 4]);
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn it_is_roomy_again_when_an_eighth_is_free() {
    let mut queue = queue(16);
    for name in 0..16 {
        assert_eq!(queue.push(message(1, 1), name), Ok(0));
    }
    let mut left = 0;
    while !queue.is_roomy() {
        assert!(queue.pop(true).is_some());
        left += 1;
    }
    assert_eq!(left, 3, "13 of 16 is less than 14");
}

#[test]
fn queues_that_share_a_budget_hold_no_more_together_and_give_back_what_they_held() {
    let limits = QueueLimits { max_bytes: 1 << 20, max_messages: 3 };
    let budget = Arc::new(Budget::new(limits));
    let [mut one, mut other] = [(); 2].map(|()| Queue::<()>::within(limits, Some(Arc::clone(&budget))));
    let push = |queue: &mut Queue<()>, qos| queue.push(message(qos, 10), ()).map_err(|_no_room| ());
    assert_eq!(push(&mut one, 0), Ok(0));
    assert_eq!((push(&mut other, 1), push(&mut other, 1)), (Ok(0), Ok(0)));
    assert_eq!(push(&mut other, 1), Err(()), "what others hold is not thrown away");
    assert!(!other.is_roomy() && budget.messages() == 3 && budget.bytes() > 0);
    assert_eq!(push(&mut one, 1), Ok(1), "one's own QoS 0 is");
    assert!(other.pop(true).is_some());
    assert_eq!((budget.messages(), other.is_roomy()), (2, true));
    drop((one, other));
    assert_eq!((budget.messages(), budget.bytes()), (0, 0));
}
