//! Length and MsgType (§5.2).

use codec_mqttsn::{Fault, Message, MsgId, Publish, Qos, Topic, decode};

#[test]
#[rustfmt::skip]
fn section_5_2_1_length_is_the_datagrams() {
    let mismatch = |claimed, received| Err(Fault::LengthMismatch { claimed, received });
    let table: [(&[u8], &str, Result<Message<'_>, Fault>); 13] = [
        (&[0x02, 0x17],                   "one octet",                          Ok(Message::Pingresp)),
        (&[0x01, 0x00, 0x04, 0x17],       "three octets, at any size",          Ok(Message::Pingresp)),
        (&[],                             "nothing",                            Err(Fault::TooShort)),
        (&[0x02],                         "no MsgType",                         Err(Fault::TooShort)),
        (&[0x01],                         "a long form cut in Length",          Err(Fault::TooShort)),
        (&[0x01, 0x00, 0x03],             "a long form without MsgType",        Err(Fault::TooShort)),
        (&[0x00, 0x17],                   "0",                                  mismatch(0, 2)),
        (&[0x03, 0x17],                   "more than came",                     mismatch(3, 2)),
        (&[0x02, 0x17, 0x17],             "less than came",                     mismatch(2, 3)),
        (&[0x01, 0x00, 0x02, 0x17],       "a long form shorter than its header", mismatch(2, 4)),
        (&[0x01, 0xFF, 0xFF, 0x17],       "a long form that lies",              mismatch(65_535, 4)),
        (&[0x02, 0x17, 0x02, 0x17],       "two messages",                       mismatch(2, 4)),
        (&[0x03, 0x03],                   "checked before MsgType",             mismatch(3, 2)),
    ];
    for (bytes, rule, expected) in table {
        assert_eq!(decode(bytes).map(|frame| frame.message), expected, "{rule}");
    }
}

#[test]
fn section_5_2_2_reserved_types_are_refused() {
    let reserved: Vec<u8> =
        (0..=u8::MAX).filter(|&octet| decode(&[2, octet]) == Err(Fault::UnknownType(octet))).collect();
    let expected: Vec<u8> = [0x03, 0x11, 0x19].into_iter().chain(0x1E..=0xFD).chain([0xFF]).collect();
    assert_eq!(reserved, expected);
}

#[test]
fn the_longest_message_is_read_and_written() {
    let payload = vec![0x5A; 65_526];
    let publish = Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: Topic::Short(*b"ab"),
        msg_id: MsgId(0),
        payload: &payload,
    };
    let mut out = Vec::new();
    assert_eq!(Message::Publish(publish).encode(&mut out), Ok(()));
    assert_eq!(out.len(), 65_535);
    assert_eq!(decode(&out).map(|frame| frame.message), Ok(Message::Publish(publish)));
}
