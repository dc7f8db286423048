//! The fuzz target's body, here so that a stable test replays the corpus.

use crate::{ByteOrder, Delimiter, Fault, Framer, Framing, FromDevice, FromGateway, Scan, Turn, Width};
use std::num::NonZeroU32;

/// Reads the second and later octets of `data` as what one stream brings; the first says how it is framed and in pieces
/// of how many octets it comes. The frames do not hang on the pieces, and each survives being written again.
///
/// # Panics
/// When that does not hold: a bug in this crate.
pub fn codec(data: &[u8]) {
    let Some((&choice, stream)) = data.split_first() else { return };
    let piece = usize::from(choice >> 4).saturating_add(1);
    match choice & 0x0F {
        0..=3 => device(stream, piece),
        4..=6 => gateway(stream, piece),
        framing => other(&framer(framing), stream, piece),
    }
}

/// What a device's stream holds: its frames written again, and the fault that ended it.
fn device(stream: &[u8], piece: usize) {
    let read = |piece: usize| {
        let mut turn = Turn::First;
        frames(stream, piece, |bytes| {
            let Some((frame, used)) = FromDevice::decode(bytes, turn, LIMIT)? else { return Ok(None) };
            let before = std::mem::replace(&mut turn, Turn::Connected);
            let mut out = Vec::new();
            assert_eq!(frame.encode(&mut out), Ok(()), "{frame:?}");
            assert_eq!(FromDevice::decode(&out, before, LIMIT), Ok(Some((frame, used))), "{out:02x?}");
            Ok(Some((out, used)))
        })
    };
    assert_eq!(read(piece), read(stream.len()), "pieces of {piece}");
}

fn gateway(stream: &[u8], piece: usize) {
    let read = |piece: usize| {
        frames(stream, piece, |bytes| {
            let Some((frame, used)) = FromGateway::decode(bytes)? else { return Ok(None) };
            let mut out = Vec::new();
            assert_eq!(frame.encode(&mut out), Ok(()), "{frame:?}");
            assert_eq!(FromGateway::decode(&out), Ok(Some((frame, used))), "{out:02x?}");
            Ok(Some((out, used)))
        })
    };
    assert_eq!(read(piece), read(stream.len()), "pieces of {piece}");
}

fn other(framer: &Framer, stream: &[u8], piece: usize) {
    let read = |piece: usize| {
        let mut scan = Scan::default();
        frames(stream, piece, |bytes| {
            let Some((payload, used)) = framer.next(&mut scan, bytes)? else { return Ok(None) };
            let mut out = Vec::new();
            assert_eq!(framer.encode(payload, &mut out), Ok(()), "{payload:02x?}");
            assert_eq!(Some(&out[..]), bytes.get(..used), "a frame is written as it came");
            Ok(Some((out, used)))
        })
    };
    let (cut, whole) = (read(piece), read(stream.len()));
    match framer.framing {
        // Its frames are the pieces.
        Framing::Raw => assert_eq!(cut.0.concat(), whole.0.concat(), "pieces of {piece}"),
        Framing::Line(_) | Framing::LengthPrefix { .. } | Framing::Fixed(_) => {
            assert_eq!(cut.0, whole.0, "pieces of {piece}");
            assert_eq!(cut.1.is_some(), whole.1.is_some(), "pieces of {piece}");
        }
    }
}

/// The most octets of payload that these streams may bring at once.
const LIMIT: usize = 300;

fn framer(choice: u8) -> Framer {
    let line = |octets: &[u8]| Delimiter::new(octets).map_or(Framing::Raw, Framing::Line);
    let framing = match choice {
        7 => line(b"\n"),
        8 => line(b"\r\n"),
        9 => line(b"aab"),
        10 => Framing::LengthPrefix { width: Width::One, order: ByteOrder::Big },
        11 => Framing::LengthPrefix { width: Width::Two, order: ByteOrder::Big },
        12 => Framing::LengthPrefix { width: Width::Two, order: ByteOrder::Little },
        13 => Framing::LengthPrefix { width: Width::Four, order: ByteOrder::Little },
        14 => Framing::Fixed(NonZeroU32::MIN.saturating_add(4)),
        _ => Framing::Raw,
    };
    Framer { framing, max_frame: NonZeroU32::MIN.saturating_add(99) }
}

/// All frames of `stream` when it comes in pieces of `piece` octets, and the fault that ended it.
fn frames(
    stream: &[u8],
    piece: usize,
    mut next: impl FnMut(&[u8]) -> Result<Option<(Vec<u8>, usize)>, Fault>,
) -> (Vec<Vec<u8>>, Option<Fault>) {
    let (mut found, mut start, mut end) = (Vec::new(), 0_usize, 0_usize);
    while end < stream.len() {
        end = end.saturating_add(piece).min(stream.len());
        while let Some(bytes) = stream.get(start..end) {
            match next(bytes) {
                Ok(None) => break,
                Ok(Some((frame, used))) => {
                    assert!(used > 0 && used <= bytes.len(), "{used} of {}", bytes.len());
                    found.push(frame);
                    start = start.saturating_add(used);
                }
                Err(fault) => return (found, Some(fault)),
            }
        }
    }
    (found, None)
}
