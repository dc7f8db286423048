//! Streams of devices that speak no CONNECT.

use codec_rawtcp::{ByteOrder, Delimiter, EncodeFault, Fault, Framer, Framing, MAX_DELIMITER, Scan, Width};
use std::num::NonZeroU32;

fn framer(framing: Framing, max_frame: u32) -> Framer {
    Framer { framing, max_frame: NonZeroU32::new(max_frame).unwrap() }
}

fn line(delimiter: &[u8]) -> Framing {
    Framing::Line(Delimiter::new(delimiter).unwrap())
}

fn prefix(width: Width, order: ByteOrder) -> Framing {
    Framing::LengthPrefix { width, order }
}

fn fixed(octets: u32) -> Framing {
    Framing::Fixed(NonZeroU32::new(octets).unwrap())
}

type Found = (Vec<Vec<u8>>, usize, Option<Fault>);

/// Payloads, octets left over, and the fault, of `stream` in pieces of `piece` octets.
fn cut(framer: &Framer, stream: &[u8], piece: usize) -> Found {
    let (mut found, mut start, mut scan) = (Vec::new(), 0, Scan::default());
    let mut end = 0;
    while end < stream.len() {
        end = stream.len().min(end + piece);
        loop {
            match framer.next(&mut scan, &stream[start..end]) {
                Ok(None) => break,
                Ok(Some((payload, used))) => {
                    found.push(payload.to_vec());
                    start += used;
                }
                Err(fault) => return (found, end - start, Some(fault)),
            }
        }
    }
    (found, end - start, None)
}

#[test]
#[rustfmt::skip]
fn each_framing_cuts_its_stream() {
    use ByteOrder::{Big, Little};
    type Row<'a> = (&'a str, Framing, &'a [u8], &'a [&'a [u8]], usize);
    let table: [Row<'_>; 13] = [
        ("a line",                       line(b"\n"),       b"ab\ncd\n",       &[b"ab", b"cd"],       0),
        ("the last one is not over",     line(b"\n"),       b"ab\ncd",         &[b"ab"],              2),
        ("an empty line is a message",   line(b"\n"),       b"\n\nx\n",        &[b"", b"", b"x"],     0),
        ("nothing else ends it",         line(b"\n"),       b"a\r\0\n",        &[b"a\r\0"],           0),
        ("two octets",                   line(b"\r\n"),     b"a\rb\n\r\nc\r\n",&[b"a\rb\n", b"c"],    0),
        ("that begin twice",             line(b"aab"),      b"aaab",           &[b"a"],               0),
        ("one octet of length",          prefix(Width::One, Big),    b"\x02ab\x00\x01c\x05d",   &[b"ab", b"", b"c"], 2),
        ("two, big-endian",              prefix(Width::Two, Big),    b"\x00\x02ab\x00\x01c\x00",&[b"ab", b"c"], 1),
        ("two, little-endian",           prefix(Width::Two, Little), b"\x02\x00ab\x01\x00c",    &[b"ab", b"c"], 0),
        ("four, big-endian",             prefix(Width::Four, Big),   b"\0\0\0\x02ab\0\0\0",     &[b"ab"],       3),
        ("four, little-endian",          prefix(Width::Four, Little),b"\x02\0\0\0ab",           &[b"ab"],       0),
        ("a fixed size",                 fixed(3),          b"abcdefg",        &[b"abc", b"def"],     1),
        ("fixed at one octet",           fixed(1),          b"ab",             &[b"a", b"b"],         0),
    ];
    for (rule, framing, stream, expected, left) in table {
        let framer = framer(framing, 100);
        let expected: Vec<Vec<u8>> = expected.iter().map(|payload| payload.to_vec()).collect();
        for piece in 1..=stream.len() {
            assert_eq!(cut(&framer, stream, piece), (expected.clone(), left, None), "{rule}, pieces of {piece}");
        }
    }
}

#[test]
fn raw_gives_what_came_in_frames_of_the_limit() {
    let framer = framer(Framing::Raw, 4);
    assert_eq!(cut(&framer, b"abcdefg", 7), (vec![b"abcd".to_vec(), b"efg".to_vec()], 0, None));
    assert_eq!(cut(&framer, b"abc", 2), (vec![b"ab".to_vec(), b"c".to_vec()], 0, None));
    assert_eq!(framer.next(&mut Scan::default(), b""), Ok(None));
}

#[test]
#[rustfmt::skip]
fn a_frame_over_the_limit_is_refused_as_soon_as_it_is_sure() {
    let table: [(&str, Framing, &[u8], Option<usize>); 9] = [
        ("a line at the limit",               line(b"\n"),   b"abcd\n",  None),
        ("one over",                          line(b"\n"),   b"abcde\n", Some(5)),
        ("one over, without its end",         line(b"\n"),   b"abcde",   Some(5)),
        ("at the limit, its end is to come",  line(b"\n"),   b"abcd",    None),
        ("a delimiter may have begun",        line(b"\r\n"), b"abcd\r",  None),
        ("no delimiter any more",             line(b"\r\n"), b"abcdef",  Some(5)),
        ("a length",                          prefix(Width::Two, ByteOrder::Big), b"\0\x05", Some(5)),
        ("the largest length",                prefix(Width::Four, ByteOrder::Big), b"\xFF\xFF\xFF\xFF", Some(u32::MAX as usize)),
        ("a fixed size above it",             fixed(5),      b"",        Some(5)),
    ];
    for (rule, framing, stream, over) in table {
        let found = framer(framing, 4).next(&mut Scan::default(), stream);
        assert_eq!(found.err(), over.map(|bytes| Fault::TooLarge { bytes, limit: 4 }), "{rule}");
    }
}

#[test]
#[rustfmt::skip]
fn a_message_is_written_in_its_framing_or_not_at_all() {
    use ByteOrder::{Big, Little};
    let long = |bytes, limit| Err(EncodeFault::TooLong { bytes, limit });
    let x = |count| vec![b'x'; count];
    type Row = (&'static str, Framing, Vec<u8>, Result<&'static [u8], EncodeFault>);
    let table: [Row; 13] = [
        ("a line gets its end",         line(b"\r\n"),              b"ab".into(), Ok(b"ab\r\n")),
        ("whatever it holds",           line(b"\n"),                b"a\nb".into(), Ok(b"a\nb\n")),
        ("over the limit",              line(b"\n"),                x(301), long(301, 300)),
        ("one octet",                   prefix(Width::One, Big),    b"ab".into(), Ok(b"\x02ab")),
        ("more than one octet can say", prefix(Width::One, Big),    x(256), long(256, 255)),
        ("two",                         prefix(Width::Two, Big),    b"ab".into(), Ok(b"\0\x02ab")),
        ("two, little-endian",          prefix(Width::Two, Little), b"ab".into(), Ok(b"\x02\0ab")),
        ("four",                        prefix(Width::Four, Big),   b"".into(), Ok(b"\0\0\0\0")),
        ("four, little-endian",         prefix(Width::Four, Little),b"a".into(), Ok(b"\x01\0\0\0a")),
        ("less than four could say",    prefix(Width::Four, Big),   x(301), long(301, 300)),
        ("the fixed size",              fixed(2),                   b"ab".into(), Ok(b"ab")),
        ("another size",                fixed(2),                   b"abc".into(), Err(EncodeFault::WrongSize { bytes: 3, size: 2 })),
        ("as it is",                    Framing::Raw,               b"ab".into(), Ok(b"ab")),
    ];
    for (rule, framing, payload, expected) in table {
        let mut out = b"kept".to_vec();
        let written = framer(framing, 300).encode(&payload, &mut out);
        assert_eq!(written, expected.map(|_| ()), "{rule}");
        assert_eq!(out, [b"kept", expected.unwrap_or_default()].concat(), "{rule}");
    }
}

#[test]
fn octets_of_an_unfinished_line_are_looked_at_once() {
    let framer = framer(line(b"\n"), 1000);
    let (mut scan, mut stream) = (Scan::default(), vec![b'x'; 900]);
    assert_eq!(framer.next(&mut scan, &stream), Ok(None));
    // What was looked at is not looked at again, even if a delimiter stood there now.
    stream[10] = b'\n';
    assert_eq!(framer.next(&mut scan, &stream), Ok(None));
    stream.push(b'\n');
    assert_eq!(framer.next(&mut scan, &stream), Ok(Some((&stream[..900], 901))));
    assert_eq!(scan, Scan::default());
}

#[test]
fn a_delimiter_has_one_to_sixteen_octets() {
    assert_eq!(Delimiter::new(b""), None);
    assert_eq!(Delimiter::new(b"\n").unwrap().octets(), b"\n");
    assert!(Delimiter::new(&[0; MAX_DELIMITER]).is_some());
    assert_eq!(Delimiter::new(&[0; MAX_DELIMITER + 1]), None);
}
