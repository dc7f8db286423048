//! The fixed parts of every body (§5.4).

use codec_mqttsn::{Connect, Fault, Message, MsgId, Qos, ReturnCode, Suback, TopicId, WillTopic, decode};
use wire::WireFault;

/// MsgType, the fewest octets of its body, and whether more may follow; DISCONNECT, 0 or 2, stands below.
const LAYOUTS: [(u8, usize, bool); 26] = [
    (0x00, 3, false),
    (0x01, 1, false),
    (0x02, 1, true),
    (0x04, 4, true),
    (0x05, 1, false),
    (0x06, 0, false),
    (0x07, 0, true),
    (0x08, 0, false),
    (0x09, 0, true),
    (0x0A, 5, true),
    (0x0B, 5, false),
    (0x0C, 5, true),
    (0x0D, 5, false),
    (0x0E, 2, false),
    (0x0F, 2, false),
    (0x10, 2, false),
    (0x12, 4, true),
    (0x13, 6, false),
    (0x14, 4, true),
    (0x15, 2, false),
    (0x16, 0, true),
    (0x17, 0, false),
    (0x1A, 0, true),
    (0x1B, 1, false),
    (0x1C, 0, true),
    (0x1D, 1, false),
];

#[test]
fn a_body_is_neither_shorter_nor_longer_than_its_layout() {
    for (msg_type, fixed, open) in LAYOUTS {
        for size in 0..=8 {
            let mut datagram = vec![u8::try_from(size + 2).unwrap(), msg_type];
            datagram.resize(size + 2, 0);
            let read = decode(&datagram);
            if size < fixed {
                let refused = matches!(read, Err(Fault::Wire(WireFault::Truncated(_)) | Fault::EmptyTopic));
                assert!(refused, "{msg_type:#04x} {size}: {read:?}");
            } else if size > fixed && !open {
                assert_eq!(read, Err(Fault::Wire(WireFault::Trailing(size - fixed))), "{msg_type:#04x} {size}");
            } else {
                assert!(read.is_ok(), "{msg_type:#04x} {size}: {read:?}");
            }
        }
    }
}

#[test]
#[rustfmt::skip]
fn section_5_4_optional_parts() {
    let will = |qos, retain, topic_name| Some(WillTopic { qos, retain, topic_name });
    let truncated = |field| Err(Fault::Wire(WireFault::Truncated(field)));
    let not_utf8 = |field| Err(Fault::Wire(WireFault::NotUtf8(field)));
    let table: [(&[u8], &str, Result<Message<'_>, Fault>); 12] = [
        (&[0x02, 0x07],             "no will topic",               Ok(Message::WillTopic(None))),
        (&[0x02, 0x1A],             "no will topic, updated",      Ok(Message::WillTopicUpd(None))),
        (&[0x03, 0x07, 0x50],       "flags and no will topic",     Ok(Message::WillTopic(will(Qos::ExactlyOnce, true, "")))),
        (&[0x04, 0x07, 0x60, b'w'], "a will at QoS −1",            Err(Fault::WillQos)),
        (&[0x04, 0x1A, 0x60, b'w'], "a will at QoS −1, updated",   Err(Fault::WillQos)),
        (&[0x04, 0x1A, 0x00, 0xFF], "a will topic of no text",     not_utf8("WillTopic")),
        (&[0x02, 0x16],             "PINGREQ from an active one",  Ok(Message::Pingreq { client_id: None })),
        (&[0x03, 0x16, b'x'],       "PINGREQ from a sleeping one", Ok(Message::Pingreq { client_id: Some("x") })),
        (&[0x03, 0x16, 0xC3],       "PINGREQ from no text",        not_utf8("ClientId")),
        (&[0x02, 0x18],             "DISCONNECT",                  Ok(Message::Disconnect { duration: None })),
        (&[0x04, 0x18, 0x00, 0x00], "DISCONNECT with duration 0",  Ok(Message::Disconnect { duration: Some(0) })),
        (&[0x03, 0x18, 0x05],       "half a duration",             truncated("Duration")),
    ];
    for (bytes, rule, expected) in table {
        assert_eq!(decode(bytes).map(|frame| frame.message), expected, "{rule}");
    }
}

#[test]
fn section_5_3_4_flags_that_mean_nothing_are_ignored() {
    for flags in 0..=u8::MAX {
        let connect = Connect {
            will: flags & 0x08 != 0,
            clean_session: flags & 0x04 != 0,
            protocol_id: 1,
            duration: 10,
            client_id: "x",
        };
        let datagram = [0x07, 0x04, flags, 0x01, 0x00, 0x0A, b'x'];
        let read = decode(&datagram).map(|frame| frame.message);
        assert_eq!(read, Ok(Message::Connect(connect)), "{flags:#04x}");

        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::MinusOne][usize::from(flags >> 5 & 3)];
        let suback = Suback { qos, topic_id: TopicId(1025), msg_id: MsgId(3), code: ReturnCode::Other(0x80) };
        let datagram = [0x08, 0x13, flags, 0x04, 0x01, 0x00, 0x03, 0x80];
        let read = decode(&datagram).map(|frame| frame.message);
        assert_eq!(read, Ok(Message::Suback(suback)), "{flags:#04x}");
    }
}
