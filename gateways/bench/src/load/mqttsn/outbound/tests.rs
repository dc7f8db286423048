use super::*;

fn publish(client: u32, msg_id: u16, seq: u64, sent_at: u64, dup: bool) -> Option<Transmission> {
    Some(Transmission::Publish { client, msg_id, seq, sent_at, dup })
}

#[test]
fn clients_take_turns_and_a_full_window_sits_out() {
    let mut outbound = Outbound::new(2, 10, Qos::AtLeastOnce, 2, 100, 3);
    let sent: Vec<_> = (0..5).map_while(|seq| outbound.first(seq, 0)).collect();
    let expected = [(0, 1, 0), (1, 1, 1), (0, 2, 2), (1, 2, 3)];
    assert_eq!(sent, expected.map(|(client, msg_id, seq)| publish(client, msg_id, seq, 0, false).unwrap()));
    assert_eq!(outbound.in_flight(), 4);
    outbound.on_puback(1, 1, 0, 7);
    assert_eq!(outbound.first(4, 7), publish(1, 3, 4, 7, false));
    assert_eq!(outbound.first(5, 7), None);
    assert_eq!((outbound.counts.acknowledged, outbound.completion.max()), (1, 7));
}

#[test]
fn qos_0_and_minus_1_have_no_window_and_no_message_id() {
    for qos in [Qos::AtMostOnce, Qos::MinusOne] {
        let mut outbound = Outbound::new(2, 10, qos, 1, 100, 3);
        for (seq, client) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
            assert_eq!(outbound.first(seq, 5), publish(client, 0, seq, 5, false));
        }
        assert_eq!((outbound.in_flight(), outbound.again(1000)), (0, None));
    }
}

#[test]
fn an_unanswered_publish_is_sent_again_with_dup_and_at_last_given_up() {
    let mut outbound = Outbound::new(1, 10, Qos::AtLeastOnce, 1, 100, 3);
    assert_eq!(outbound.first(0, 0), publish(0, 1, 0, 0, false));
    assert_eq!(outbound.again(99), None);
    assert_eq!(outbound.again(100), publish(0, 1, 0, 0, true));
    assert_eq!(outbound.again(199), None);
    assert_eq!(outbound.again(200), publish(0, 1, 0, 0, true));
    assert_eq!(outbound.first(1, 250), None);
    assert_eq!(outbound.again(300), None);
    assert_eq!(outbound.counts, Counts { unanswered: 1, retransmitted: 2, ..Counts::default() });
    assert_eq!(outbound.first(1, 300), publish(0, 2, 1, 300, false), "its place is free again");
}

#[test]
fn an_answer_counts_once() {
    let mut outbound = Outbound::new(1, 10, Qos::AtLeastOnce, 1, 100, 3);
    assert!(outbound.first(0, 0).is_some());
    outbound.on_puback(0, 9, 0, 1);
    outbound.on_puback(7, 1, 0, 1);
    assert_eq!(outbound.in_flight(), 1);
    outbound.on_puback(0, 1, 0, 1);
    outbound.on_puback(0, 1, 0, 1);
    assert_eq!((outbound.in_flight(), outbound.counts.acknowledged), (0, 1));
    assert_eq!(outbound.again(1000), None);
}

#[test]
fn qos_2_ends_with_pubcomp_and_repeats_what_is_owed() {
    let mut outbound = Outbound::new(1, 10, Qos::ExactlyOnce, 1, 100, 2);
    assert!(outbound.first(0, 0).is_some());
    outbound.on_puback(0, 1, 0, 1);
    assert_eq!(outbound.in_flight(), 1, "PUBACK is no answer at QoS 2");
    assert!(outbound.on_pubrec(0, 1, 50) && outbound.on_pubrec(0, 1, 60));
    assert!(!outbound.on_pubrec(0, 2, 60));
    assert_eq!(outbound.again(149), None);
    assert_eq!(outbound.again(150), Some(Transmission::Release { client: 0, msg_id: 1 }));
    outbound.on_pubcomp(0, 1, 160);
    assert_eq!((outbound.counts.acknowledged, outbound.completion.max(), outbound.in_flight()), (1, 160, 0));
    assert_eq!(outbound.again(1000), None);
}

#[test]
fn refusals_are_told_apart() {
    let mut outbound = Outbound::new(1, 10, Qos::AtLeastOnce, 3, 100, 3);
    assert!((0..3).all(|seq| outbound.first(seq, 0).is_some()));
    for (msg_id, code) in [(1, 1), (2, 2), (3, 3), (3, 3)] {
        outbound.on_puback(0, msg_id, code, 5);
    }
    assert_eq!(outbound.counts, Counts { congested: 1, refused: 2, ..Counts::default() });
    assert_eq!(outbound.in_flight(), 0);
}

#[test]
fn a_disconnected_client_sends_no_more() {
    let mut outbound = Outbound::new(2, 10, Qos::AtLeastOnce, 2, 100, 3);
    assert!((0..3).all(|seq| outbound.first(seq, 0).is_some()));
    outbound.on_disconnect(0);
    outbound.on_disconnect(0);
    assert_eq!(outbound.counts, Counts { unanswered: 2, disconnected: 1, ..Counts::default() });
    assert_eq!(outbound.in_flight(), 1);
    outbound.on_disconnect(1);
    assert_eq!((outbound.first(3, 0), outbound.again(500), outbound.is_dead()), (None, None, true));
}

#[test]
fn message_ids_skip_zero_and_what_is_in_flight() {
    let mut sender = Sender { last_msg_id: u16::MAX - 1, ..Sender::default() };
    let pending = |msg_id| Pending { msg_id, seq: 0, sent_at: 0, due: 0, transmissions: 1, received: false };
    sender.pending.push(pending(1));
    assert_eq!([sender.free_msg_id(), sender.free_msg_id()], [u16::MAX, 2]);
}
