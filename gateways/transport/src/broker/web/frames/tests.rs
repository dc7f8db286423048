//! Frames as RFC 6455 has them, however they are cut.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// What is left of `raw`, and the control frames, if it comes in pieces of `piece` octets.
fn heard(raw: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<Control>), FrameFault> {
    let (mut frames, mut octets, mut controls) = (Frames::default(), Vec::new(), Vec::new());
    for piece in raw.chunks(piece) {
        let mut piece = piece.to_vec();
        let kept = frames.hear(&mut piece, &mut controls)?;
        octets.extend_from_slice(&piece[..kept]);
    }
    Ok((octets, controls))
}

fn long(head: &[u8], octets: usize) -> Vec<u8> {
    [head, &vec![7; octets]].concat()
}

/// What comes, by which rule, and what it is.
type Row = (&'static [u8], &'static str, &'static [u8], Vec<Control>);

#[test]
#[rustfmt::skip]
fn messages_and_control_frames_are_told_apart_wherever_they_are_cut() {
    let ping = |payload: &[u8]| Control::Ping(payload.to_vec());
    let close = |code, reason: &str| Control::Close(Farewell { code, reason: reason.into() });
    let table: [Row; 12] = [
        (b"",                                       "nothing",                    b"",       vec![]),
        (b"\x82\x03abc",                            "§5.2 a message",             b"abc",    vec![]),
        (b"\x82\x00\x82\x01a",                      "§5.2 an empty message",      b"a",      vec![]),
        (b"\x82\x01a\x82\x02bc",                    "two messages",               b"abc",    vec![]),
        (b"\x02\x01a\x00\x01b\x80\x01c",            "§5.4 fragments",             b"abc",    vec![]),
        (b"\x02\x01a\x89\x01!\x80\x01b",            "§5.4 a ping between them",   b"ab",     vec![ping(b"!")]),
        (b"\x02\x00\x80\x00\x82\x01x",              "§5.4 empty fragments",       b"x",      vec![]),
        (b"\x89\x00",                               "§5.5.2 an empty ping",       b"",       vec![ping(b"")]),
        (b"\x8A\x02hi\x82\x01a",                    "§5.5.3 a pong nobody asked", b"a",      vec![]),
        (b"\x82\x01a\x88\x00",                      "§5.5.1 a close",             b"a",      vec![close(None, "")]),
        (b"\x88\x05\x03\xF0bad",                    "§7.4 its code and reason",   b"",       vec![close(Some(1008), "bad")]),
        (b"\x82\x7E\x00\x02ab",                     "§5.2 a length of 16 bits",   b"ab",     vec![]),
    ];
    for (raw, rule, octets, controls) in table {
        for piece in 1..=raw.len().max(1) {
            let (got, told) = heard(raw, piece).unwrap();
            assert_eq!((got.as_slice(), &told), (octets, &controls), "{rule}, {piece} at a time");
        }
    }
    for (raw, octets) in [(long(b"\x82\x7E\x01\x00", 256), 256), (long(b"\x82\x7F\0\0\0\0\0\x01\x11\x70", 70_000), 70_000)] {
        for piece in [1, 3, 1000, 1 << 17] {
            assert_eq!(heard(&raw, piece).unwrap().0, vec![7; octets]);
        }
    }
}

#[test]
#[rustfmt::skip]
fn what_a_broker_must_not_send_is_refused() {
    for (raw, fault) in [
        (&b"\x81\x01a"[..],           FrameFault::Text),
        (b"\x83\x00",                 FrameFault::Opcode(3)),
        (b"\xC2\x00",                 FrameFault::Reserved),
        (b"\x82\x81\x01\x02\x03\x04", FrameFault::Masked),
        (b"\x09\x00",                 FrameFault::Control),
        (b"\x89\x7E\x00\x7E",         FrameFault::Control),
        (b"\x02\x00\x82\x00",         FrameFault::Interleaved),
        (b"\x80\x00",                 FrameFault::Continuation),
        (b"\x82\x7F\x80\0\0\0\0\0\0\0", FrameFault::Length),
    ] {
        for piece in 1..=raw.len() {
            assert_eq!(heard(raw, piece), Err(fault));
        }
    }
}

/// A frame as a server writes it: not masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let (short, medium) = (u8::try_from(payload.len()), u16::try_from(payload.len()));
    let head = match (short, medium) {
        (Ok(length @ ..126), _) => vec![first, length],
        (_, Ok(length)) => [&[first, 126][..], &length.to_be_bytes()].concat(),
        _ => [&[first, 127][..], &(payload.len() as u64).to_be_bytes()].concat(),
    };
    [&head, payload].concat()
}

proptest! {
    #[test]
    fn messages_survive_fragments_pings_and_any_cut(
        messages in vec((vec(any::<u8>(), 0..300), 1usize..5, any::<bool>()), 0..8),
        piece in 1usize..400,
    ) {
        let (mut raw, mut expected, mut pings) = (Vec::new(), Vec::new(), 0);
        for (payload, fragments, ping) in &messages {
            let size = payload.len().div_ceil(*fragments).max(1);
            let parts: Vec<&[u8]> = if payload.is_empty() { vec![&[]] } else { payload.chunks(size).collect() };
            for (at, part) in parts.iter().enumerate() {
                let opcode = if at == 0 { 0x2 } else { 0x0 };
                let last = if at + 1 == parts.len() { FIN } else { 0 };
                raw.extend(frame(opcode | last, part));
                if *ping {
                    raw.extend(frame(FIN | 0x9, b"?"));
                    pings += 1;
                }
            }
            expected.extend_from_slice(payload);
        }
        let (octets, controls) = heard(&raw, piece).unwrap();
        prop_assert_eq!((octets, controls.len()), (expected, pings));
    }

    #[test]
    fn any_octets_mean_the_same_wherever_they_are_cut(raw in vec(any::<u8>(), 0..400), piece in 1usize..50) {
        prop_assert_eq!(heard(&raw, piece), heard(&raw, 1));
    }
}

#[test]
fn a_frame_is_masked_and_says_its_length() {
    let key = [1, 2, 4, 8];
    let mut out = Vec::new();
    write_frame(Opcode::Binary, b"\0\0\0\0\0", key, &mut out);
    assert_eq!(out, [0x82, 0x85, 1, 2, 4, 8, 1, 2, 4, 8, 1]);
    let head = |octets: usize| {
        let mut out = Vec::new();
        write_frame(Opcode::Pong, &vec![0; octets], key, &mut out);
        let head = out.len() - octets - key.len();
        out[..head].to_vec()
    };
    assert_eq!(head(0), [0x8A, 0x80]);
    assert_eq!(head(125), [0x8A, 0xFD]);
    assert_eq!(head(126), [0x8A, 0xFE, 0, 126]);
    assert_eq!(head(65_535), [0x8A, 0xFE, 0xFF, 0xFF]);
    assert_eq!(head(65_536), [0x8A, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_farewell_says_why_on_one_line() {
    let farewell = |payload: &[u8]| Farewell::read(payload).to_string();
    assert_eq!(farewell(b"\x03\xF1too\nbig"), "closed by the broker: WebSocket code 1009, toobig");
    assert_eq!(farewell(b"\x03\xF3"), "closed by the broker: WebSocket code 1011");
    let orderly = |payload: &[u8]| Farewell::read(payload).is_orderly();
    assert!(orderly(b"") && orderly(b"\x03\xE8") && orderly(b"\x03\xE9bye") && !orderly(b"\x03\xF0"));
}
