//! A stream may come in any pieces: what is made of it is the same.

use crate::frames::{connect, data};
use crate::world::{Qos, Setup, World};
use tcp_gateway::{FramingConfig, FramingKind, TcpConfig};

/// All that comes of a stream that comes in these pieces: what the broker was given, what the device was told, and
/// whether it was closed.
fn outcome<'a>(setup: &Setup, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, String, bool, u64) {
    let mut world = World::new(setup);
    world.open(1);
    let mut told = String::new();
    for piece in pieces {
        if !world.is_closed(1) {
            told += &world.send(1, piece);
        }
    }
    world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
    told += &world.hear(1);
    (world.given(), told, world.is_closed(1), world.faults())
}

/// The stream cut in two at every octet, and in pieces of one octet each.
fn any_pieces(setup: &Setup, stream: &[u8]) {
    let whole = outcome(setup, std::iter::once(stream));
    for cut in 1..stream.len() {
        let (head, tail) = stream.split_at(cut);
        assert_eq!(outcome(setup, [head, tail].into_iter()), whole, "cut at {cut}");
    }
    assert_eq!(outcome(setup, stream.chunks(1)), whole, "octet by octet");
}

#[test]
fn emq_x_frames_mean_the_same_however_they_are_cut() {
    let config = TcpConfig { uplink_qos: 1, max_inflight: 1, ..TcpConfig::default() };
    for config in [TcpConfig::default(), config] {
        let setup = Setup { config, ..Setup::default() };
        let stream = [connect("dev", 60), data(b"abc"), vec![0x40], data(b""), data(b"\x40\x60"), vec![0x4f]].concat();
        any_pieces(&setup, &stream);
        assert_eq!(outcome(&setup, std::iter::once(&stream[..])).0.len(), 3);
        // To the end, and to a fault.
        any_pieces(&setup, &[&stream[..], &[0x60]].concat());
        any_pieces(&setup, &[&stream[..], &[0x70, 0x40]].concat());
        any_pieces(&setup, &[&connect("a/b", 60)[..], &[0x40]].concat());
    }
}

#[test]
fn other_framings_too() {
    for (framing, client_id, stream) in [
        (FramingKind::Line, "first-frame", &b"dev\na\n\nbc\nd"[..]),
        (FramingKind::Line, "regex:^(...)", b"dev 1\na\n\nbc\nd"),
        (FramingKind::LengthPrefix, "first-frame", b"\0\x03dev\0\x01a\0\0\0\x02bc\0"),
        (FramingKind::Fixed, "regex:^(...)", b"dev    1abcdefghij"),
    ] {
        let framing = FramingConfig { framing, client_id: client_id.to_owned(), ..FramingConfig::default() };
        let setup = Setup { framings: vec![framing], ..Setup::default() };
        any_pieces(&setup, stream);
        assert!(!outcome(&setup, std::iter::once(stream)).0.is_empty());
    }
}
