//! The forwarder's envelope (§5.5).

use codec_mqttsn::{EncodeFault, Fault, Forwarder, Frame, Message, Radius, ReturnCode, decode};
use wire::WireFault;

#[test]
#[rustfmt::skip]
fn section_5_5_envelopes_that_are_refused() {
    let table: [(&[u8], &str, Fault); 11] = [
        (&[0x02, 0xFE],                                     "no Ctrl",                 Fault::TooShort),
        (&[0x02, 0xFE, 0x02, 0x16],                         "Length ends before Ctrl", Fault::TooShort),
        (&[0x00, 0xFE, 0x00, 0x02, 0x16],                   "Length 0",                Fault::LengthMismatch { claimed: 0, received: 5 }),
        (&[0x09, 0xFE, 0x01, 0xAA, 0x02, 0x16],             "Length past the end",     Fault::LengthMismatch { claimed: 9, received: 6 }),
        (&[0x04, 0xFE, 0x01, 0xAA],                         "no message",              Fault::ForwarderEmpty),
        (&[0x06, 0xFE, 0x01, 0xAA, 0x02, 0x16],             "Length covers all",       Fault::ForwarderEmpty),
        (&[0x03, 0xFE, 0x00, 0x02],                         "a message cut short",     Fault::TooShort),
        (&[0x03, 0xFE, 0x00, 0x02, 0x17, 0x17],             "octets behind it",        Fault::LengthMismatch { claimed: 2, received: 3 }),
        (&[0x03, 0xFE, 0x00, 0x03, 0x17, 0x17],             "octets inside it",        Fault::Wire(WireFault::Trailing(1))),
        (&[0x03, 0xFE, 0x00, 0x02, 0xFD],                   "a reserved type",         Fault::UnknownType(0xFD)),
        (&[0x03, 0xFE, 0x00, 0x03, 0xFE, 0x00, 0x02, 0x17], "another envelope",        Fault::NestedForwarder),
    ];
    for (bytes, rule, expected) in table {
        assert_eq!(decode(bytes), Err(expected), "{rule}");
    }
}

#[test]
fn only_two_bits_of_ctrl_are_the_radius() {
    for ctrl in 0..=u8::MAX {
        let datagram = [0x04, 0xFE, ctrl, 0x07, 0x02, 0x17];
        let read = decode(&datagram).map(|frame| frame.via);
        assert_eq!(read, Ok(Some(Forwarder { radius: Radius::new(ctrl & 3).unwrap(), node_id: &[0x07] })));
    }
    assert_eq!(Radius::new(3).map(Radius::hops), Some(3));
    assert_eq!(Radius::new(4), None);
}

#[test]
fn a_node_id_has_at_most_what_a_length_of_one_octet_covers() {
    let node_id = vec![0x11; 253];
    let via = |count| Forwarder { radius: Radius::default(), node_id: &node_id[..count] };
    let mut out = vec![0xAA];
    assert_eq!(via(253).wrap(&Message::Pingresp, &mut out), Err(EncodeFault::FieldTooLong("WirelessNodeId")));
    assert_eq!(out, [0xAA]);
    out.clear();
    assert_eq!(via(252).wrap(&Message::Pingresp, &mut out), Ok(()));
    assert_eq!(out[..2], [0xFF, 0xFE]);
    assert_eq!(decode(&out), Ok(Frame { via: Some(via(252)), message: Message::Pingresp }));

    // The long form is read at any size, but carries no longer node id.
    let long = |count: usize| {
        let length = u16::try_from(count + 5).unwrap().to_be_bytes();
        [&[0x01, length[0], length[1], 0xFE, 0x00], &node_id[..count], &[0x02, 0x17]].concat()
    };
    assert_eq!(decode(&long(252)), Ok(Frame { via: Some(via(252)), message: Message::Pingresp }));
    assert_eq!(decode(&long(253)), Err(Fault::NodeIdTooLong(253)));
}

#[test]
fn a_message_that_cannot_be_written_leaves_no_envelope_behind() {
    let via = Forwarder { radius: Radius::default(), node_id: &[1, 2] };
    let mut out = vec![0xAA];
    let empty = Message::Pingreq { client_id: Some("") };
    assert_eq!(Frame { via: Some(via), message: empty }.encode(&mut out), Err(EncodeFault::Empty("ClientId")));
    assert_eq!(out, [0xAA]);
    assert_eq!(via.wrap(&Message::Connack { code: ReturnCode::Accepted }, &mut out), Ok(()));
    assert_eq!(out, [0xAA, 0x05, 0xFE, 0x00, 0x01, 0x02, 0x03, 0x05, 0x00]);
}
