//! What holds for every frame and for any octets.

use codec_rawtcp::{Connect, FromDevice, FromGateway, MAX_PAYLOAD, ReturnCode, Turn, fuzzing};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A stream that is nearly right: frames of known types, with lengths and payloads that may not fit.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = (0..8_u8, 0..3_u8, vec(any::<u8>(), 0..12), any::<bool>()).prop_map(|(kind, flags, body, right)| {
        let mut frame = vec![kind << 4 | flags];
        if (1..=3).contains(&kind) {
            let length = u16::try_from(body.len()).unwrap();
            frame.extend((if right { length } else { length ^ 1 }).to_be_bytes());
            frame.extend(body);
        }
        frame
    });
    (0..=255_u8, any::<bool>(), vec(frame, 0..8)).prop_map(|(choice, greeted, frames)| {
        let mut stream = vec![choice];
        if greeted {
            stream.extend(b"\x10\x00\x05\x3C\x00\x02d1");
        }
        stream.extend(frames.concat());
        stream
    })
}

proptest! {
    #[test]
    fn every_connect_survives_the_wire(
        version in 0..16_u8,
        keepalive_s in any::<u8>(),
        client_id in "\\PC{0,40}",
        credentials in option::of(("\\PC{0,40}", option::of(vec(any::<u8>(), 0..40)))),
    ) {
        let (username, password) = match &credentials {
            None => (None, None),
            Some((username, password)) => (Some(username.as_str()), password.as_deref()),
        };
        let frame = FromDevice::Connect(Connect { version, keepalive_s, client_id: &client_id, username, password });
        let mut out = Vec::new();
        prop_assert_eq!(frame.encode(&mut out), Ok(()));
        prop_assert_eq!(FromDevice::decode(&out, Turn::First, MAX_PAYLOAD), Ok(Some((frame, out.len()))));
        for cut in 0..out.len() {
            prop_assert_eq!(FromDevice::decode(&out[..cut], Turn::First, MAX_PAYLOAD), Ok(None));
        }
    }

    #[test]
    fn every_message_survives_the_wire(payload in vec(any::<u8>(), 0..1000), tail in vec(any::<u8>(), 0..4)) {
        let mut out = Vec::new();
        prop_assert_eq!(FromDevice::Data(&payload).encode(&mut out), Ok(()));
        let size = out.len();
        out.extend(tail);
        prop_assert_eq!(
            FromDevice::decode(&out, Turn::Connected, MAX_PAYLOAD),
            Ok(Some((FromDevice::Data(&payload), size)))
        );
        prop_assert_eq!(FromGateway::decode(&out), Ok(Some((FromGateway::Data(&payload), size))));
    }

    #[test]
    fn every_connack_survives_the_wire(code in 0..3_u8, message in "\\PC{0,80}") {
        let code = [ReturnCode::Accepted, ReturnCode::AuthFailed, ReturnCode::IllegalVersion][usize::from(code)];
        let frame = FromGateway::Connack { code, message: &message };
        let mut out = Vec::new();
        prop_assert_eq!(frame.encode(&mut out), Ok(()));
        prop_assert_eq!(FromGateway::decode(&out), Ok(Some((frame, out.len()))));
    }

    #[test]
    fn frames_do_not_hang_on_the_pieces_they_come_in(stream in any_stream()) {
        fuzzing::codec(&stream);
    }

    #[test]
    fn random_octets_never_panic(stream in vec(any::<u8>(), 0..400)) {
        fuzzing::codec(&stream);
    }

    #[test]
    fn few_different_octets_make_many_delimiters(choice in 7..16_u8, stream in vec(0..5_u8, 0..400)) {
        let letters = stream.iter().map(|&octet| b"ab\r\n\x03"[usize::from(octet)]);
        fuzzing::codec(&std::iter::once(choice | 0x10).chain(letters).collect::<Vec<_>>());
    }
}
