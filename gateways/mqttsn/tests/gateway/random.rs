//! Whatever devices and broker say, in whatever order: the bounds hold, and nothing panics.

use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes that are more often a message than chance would have it.
fn operation() -> impl Strategy<Value = Vec<u8>> {
    let message = prop_oneof![
        4 => (prop::sample::select(messages()), any::<[u8; 4]>()).prop_map(|(mut bytes, noise)| {
            // A msg id or topic id of another moment, now and then.
            if noise[0] < 64 && bytes.len() > 3 {
                let place = 2 + usize::from(noise[1]) % (bytes.len() - 2);
                bytes[place] = noise[2] % 8;
            }
            bytes
        }),
        1 => vec(any::<u8>(), 0..20),
    ];
    let datagram = (0_u8..4, any::<u8>(), message).prop_map(|(op, from, bytes)| {
        let length = u8::try_from(bytes.len()).unwrap();
        [vec![op, from, length], bytes].concat()
    });
    // Who waits to be let in is, with a connection of its own.
    let let_in = (0_u8..2, 0_u8..8).prop_map(|(slot, link)| vec![6, 0x40 | link << 3 | slot]);
    let other = (4_u8..8, any::<u8>()).prop_map(|(op, argument)| vec![op, argument]);
    prop_oneof![6 => datagram, 4 => other, 1 => let_in]
}

fn messages() -> Vec<Vec<u8>> {
    [
        "0b040401003c6465762d31",
        "0b040001003c6465762d31",
        "0b040801003c6465762d31",
        "0b0400010000646576 2d32",
        "06040401003c",
        "060730772f61",
        "0207",
        "030931",
        "080a00000001742f",
        "090a00000001742f61",
        "070b0401000100",
        "070b0402000200",
        "080c000401000031",
        "080c200401000131",
        "080c400401000131",
        "080cc00401000131",
        "080c626162000031",
        "070d0401000100",
        "070d0401000102",
        "040f0001",
        "04100001",
        "040e0001",
        "081240000174 2f61",
        "0712210001 0001",
        "081240000174 2f23",
        "0814000001742f61",
        "0216",
        "0218",
        "04180002",
        "0418003d",
        "07166465762d31",
        "07166465762d32",
        "05fe000a0b0b040401003c6465762d31",
        "05fe000a0b0b040001003c6465762d32",
        "05fe000a0b07166465762d31",
        "05fe000a0b04180002",
        "04fe000c0b040001003c6465762d31",
        "04fe000c080c000401000031",
        "081200000274 2f61",
        "081200000374 2f62",
        "041a0077",
        "031c31",
    ]
    .iter()
    .map(|hex| support::vectors::unhex(&hex.replace(' ', "")))
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold(operations in vec(operation(), 1..120)) {
        mqttsn::fuzzing::machine(&operations.concat());
    }
}
