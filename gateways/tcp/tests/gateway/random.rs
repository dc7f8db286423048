//! Whatever devices and broker say, in whatever order and pieces: the bounds hold, and nothing panics.

use crate::frames::connect;
use proptest::collection::vec;
use proptest::prelude::*;

/// What a device may send: more often a frame than chance would have it.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let frames = [
        connect("a", 2),
        connect("b", 0),
        connect("a", 60),
        connect("far", 60),
        connect("a/b", 9),
        b"\x30\x00\x02hi".to_vec(),
        b"\x30\x00\x00".to_vec(),
        b"\x40".to_vec(),
        b"\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40\x40".to_vec(),
        b"\x60".to_vec(),
        b"\x30\x00".to_vec(),
        b"\x05".to_vec(),
        b"a\n".to_vec(),
        b"id=b \n".to_vec(),
        b"far\n".to_vec(),
        b"\x00\x01a".to_vec(),
        b"\x00\x04id=a".to_vec(),
        b"a       ".to_vec(),
        b"id=bbbbb".to_vec(),
    ];
    prop_oneof![
        6 => vec(prop::sample::select(frames.to_vec()), 1..5).prop_map(|frames| frames.concat()),
        1 => vec(any::<u8>(), 0..30),
    ]
}

fn operation() -> impl Strategy<Value = Vec<u8>> {
    let send = (0_u8..4, any::<u8>(), octets()).prop_map(|(op, device, bytes)| {
        let length = u8::try_from(bytes.len()).unwrap();
        [vec![op, device & 0x83, length], bytes].concat()
    });
    prop_oneof![6 => send, 4 => (4_u8..10, any::<u8>()).prop_map(|(op, argument)| vec![op, argument])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold(choice in any::<u8>(), operations in vec(operation(), 1..100)) {
        tcp_gateway::fuzzing::machine(&[vec![choice], operations.concat()].concat());
    }
}
