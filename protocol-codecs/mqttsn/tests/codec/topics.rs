//! The topic of PUBLISH, SUBSCRIBE, UNSUBSCRIBE and REGISTER by its TopicIdType (§5.3.4).

use codec_mqttsn::{Fault, Filter, Message, MsgId, Publish, Qos, Topic, TopicId, decode};
use wire::WireFault;

/// Flags, TopicId, what follows MsgId, the rule, and the topic and payload read.
type PublishRow<'a> = (u8, &'a [u8; 2], &'a [u8], &'a str, Result<(Topic<'a>, &'a [u8]), Fault>);
/// Flags, what follows MsgId, the rule, and the filter read.
type FilterRow<'a> = (u8, &'a [u8], &'a str, Result<Filter<'a>, Fault>);

#[test]
#[rustfmt::skip]
fn publish_says_its_topic_in_five_ways() {
    let overrun = Err(Fault::InlineNameOverrun);
    let table: [PublishRow<'_>; 12] = [
        (0x00, &[4, 1],     b"21",    "type 0: the id",                       Ok((Topic::Normal(TopicId(1025)), b"21"))),
        (0x01, &[0, 7],     b"21",    "type 1: the predefined id",            Ok((Topic::Predefined(TopicId(7)), b"21"))),
        (0x02, b"ab",       b"21",    "type 2: two octets of a name",         Ok((Topic::Short(*b"ab"), b"21"))),
        (0x02, &[0xFF, 0],  b"21",    "type 2: of no text, the gateway's job", Ok((Topic::Short([0xFF, 0]), b"21"))),
        (0x03, &[0, 1],     b"21",    "type 3: reserved but readable",        Ok((Topic::Reserved([0, 1]), b"21"))),
        (0x61, &[0, 7],     b"21",    "QoS −1, type 1",                       Ok((Topic::Predefined(TopicId(7)), b"21"))),
        (0x60, &[0, 3],     b"a/b21", "QoS −1, type 0: the name, inline",     Ok((Topic::Inline("a/b"), b"21"))),
        (0x60, &[0, 3],     b"a/b",   "QoS −1, type 0: no payload",           Ok((Topic::Inline("a/b"), b""))),
        (0x60, &[0, 4],     b"a/b",   "QoS −1, type 0: longer than all",      overrun),
        (0x60, &[255, 255], b"",      "QoS −1, type 0: nothing there",        overrun),
        (0x60, &[0, 0],     b"21",    "QoS −1, type 0: no name",              Err(Fault::EmptyTopic)),
        (0x60, &[0, 1],     &[0xC3],  "QoS −1, type 0: no text",              Err(Fault::Wire(WireFault::NotUtf8("TopicName")))),
    ];
    for (flags, topic_id, rest, rule, expected) in table {
        let body = [&[flags], topic_id.as_slice(), &[0, 9], rest].concat();
        let datagram = [&[u8::try_from(body.len() + 2).unwrap(), 0x0C], body.as_slice()].concat();
        let read = decode(&datagram).map(|frame| match frame.message {
            Message::Publish(Publish { topic, payload, msg_id: MsgId(9), .. }) => (topic, payload),
            other => panic!("{rule}: {other:?}"),
        });
        assert_eq!(read, expected, "{rule}");
    }
}

#[test]
fn publish_flags_are_dup_qos_and_retain() {
    let levels = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::MinusOne];
    for flags in 0..=u8::MAX {
        let datagram = [0x08, 0x0C, flags, 0x00, 0x01, 0x12, 0x34, b'x'];
        let Ok(Message::Publish(read)) = decode(&datagram).map(|frame| frame.message) else { panic!("{flags:#04x}") };
        let seen = (read.dup, read.qos, read.retain, read.msg_id);
        let expected = (flags & 0x80 != 0, levels[usize::from(flags >> 5 & 3)], flags & 0x10 != 0, MsgId(0x1234));
        assert_eq!(seen, expected, "{flags:#04x}");
    }
}

#[test]
#[rustfmt::skip]
fn subscribe_and_unsubscribe_say_their_filter_in_four_ways() {
    let truncated = |field| Err(Fault::Wire(WireFault::Truncated(field)));
    let table: [FilterRow<'_>; 14] = [
        (0x00, b"a/#",     "type 0: a name or filter",           Ok(Filter::Name("a/#"))),
        (0x00, b"ab",      "type 0: two octets are a name still", Ok(Filter::Name("ab"))),
        (0x00, b"",        "type 0: no name",                    Err(Fault::EmptyTopic)),
        (0x00, &[0xFF],    "type 0: no text",                    Err(Fault::Wire(WireFault::NotUtf8("TopicName")))),
        (0x01, &[0, 7],    "type 1: the predefined id",          Ok(Filter::Predefined(TopicId(7)))),
        (0x01, &[7],       "type 1: half an id",                 truncated("TopicId")),
        (0x01, &[0, 7, 0], "type 1: more than an id",            Err(Fault::Wire(WireFault::Trailing(1)))),
        (0x02, b"ab",      "type 2: two octets of a name",       Ok(Filter::Short(*b"ab"))),
        (0x02, b"a",       "type 2: one octet",                  truncated("TopicName")),
        (0x02, b"abc",     "type 2: three octets",               Err(Fault::Wire(WireFault::Trailing(1)))),
        (0x03, &[0, 9],    "type 3: reserved but readable",      Ok(Filter::Reserved(&[0, 9]))),
        (0x03, b"",        "type 3: nothing there",              Ok(Filter::Reserved(b""))),
        (0x03, b"abc",     "type 3: whatever is there",          Ok(Filter::Reserved(b"abc"))),
        (0x63, &[0xFF],    "QoS −1 is readable",                 Ok(Filter::Reserved(&[0xFF]))),
    ];
    for (flags, rest, rule, expected) in table {
        for msg_type in [0x12, 0x14] {
            let length = u8::try_from(rest.len() + 5).unwrap();
            let datagram = [&[length, msg_type, flags, 0x12, 0x34], rest].concat();
            let read = decode(&datagram).map(|frame| match frame.message {
                Message::Subscribe(subscribe) => (subscribe.msg_id, subscribe.filter),
                Message::Unsubscribe(unsubscribe) => (unsubscribe.msg_id, unsubscribe.filter),
                other => panic!("{rule}: {other:?}"),
            });
            assert_eq!(read, expected.map(|filter| (MsgId(0x1234), filter)), "{msg_type:#04x} {rule}");
        }
    }
}
