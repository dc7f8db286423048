//! What the table of vectors does not say: which fault shows first and when, and what cannot be written.

use codec_rawtcp::{Connect, EncodeFault, Fault, FromDevice, FromGateway, MAX_PAYLOAD, ReturnCode, Turn};
use wire::WireFault;

#[test]
#[rustfmt::skip]
fn a_fault_shows_as_soon_as_it_is_sure() {
    use Turn::{Connected, First};
    let table: [(&[u8], Turn, &str, Fault); 9] = [
        (&[0x20],             First,     "the direction, before the turn",       Fault::WrongDirection),
        (&[0x50],             Connected, "the direction",                        Fault::WrongDirection),
        (&[0x30],             First,     "the turn, before the length",          Fault::FirstNotConnect),
        (&[0x10],             Connected, "the turn, before the length",          Fault::SecondConnect),
        (&[0x70],             First,     "the type, before the turn",            Fault::UnknownType(7)),
        (&[0x30, 0, 11],      Connected, "the length, before the payload",       Fault::TooLarge { bytes: 11, limit: 10 }),
        (&[0x10, 0, 11],      First,     "the length of CONNECT",                Fault::TooLarge { bytes: 11, limit: 10 }),
        (&[0x10, 0, 5, 60, 0, 1, 0xFF, 0], First, "the layout, before the text", Fault::BadConnect(WireFault::Truncated("user name"))),
        (&[0x10, 0, 6, 60, 0, 0, 0, 1, 0xFF], First, "a user name is text",      Fault::NotUtf8("user name")),
    ];
    for (bytes, turn, rule, expected) in table {
        assert_eq!(FromDevice::decode(bytes, turn, 10), Err(expected), "{rule}");
    }
}

#[test]
fn a_password_is_any_octets() {
    let stream = [0x10, 0, 9, 60, 0, 1, b'd', 0, 0, 0, 1, 0xFF];
    // Two octets of length for the user name, two for the password and one of it.
    let stream = [&stream[..2], &[9], &stream[3..]].concat();
    let Ok(Some((FromDevice::Connect(connect), 12))) = FromDevice::decode(&stream, Turn::First, MAX_PAYLOAD) else {
        panic!("{:?}", FromDevice::decode(&stream, Turn::First, MAX_PAYLOAD));
    };
    assert_eq!((connect.username, connect.password), (Some(""), Some(&[0xFF][..])));
}

#[test]
fn what_a_device_must_not_get_is_refused_by_who_reads_for_it() {
    let table: [(&[u8], Fault); 6] = [
        (&[0x10], Fault::WrongDirection),
        (&[0x40], Fault::WrongDirection),
        (&[0x60], Fault::WrongDirection),
        (&[0x23], Fault::UnknownCode(3)),
        (&[0x00], Fault::UnknownType(0)),
        (&[0x20, 0, 1, 0xFF], Fault::NotUtf8("message")),
    ];
    for (bytes, expected) in table {
        assert_eq!(FromGateway::decode(bytes), Err(expected), "{bytes:02x?}");
    }
}

#[test]
fn what_a_length_field_cannot_say_appends_nothing() {
    let long = vec![b'x'; MAX_PAYLOAD + 1];
    let text = str::from_utf8(&long).unwrap();
    let mut out = b"kept".to_vec();
    let connect = |client_id, username, password| {
        FromDevice::Connect(Connect { version: 0, keepalive_s: 0, client_id, username, password })
    };
    let too_long = |bytes| Err(EncodeFault::TooLong { bytes, limit: MAX_PAYLOAD });
    assert_eq!(FromDevice::Data(&long).encode(&mut out), too_long(65_536));
    assert_eq!(FromGateway::Data(&long).encode(&mut out), too_long(65_536));
    let refused = FromGateway::Connack { code: ReturnCode::AuthFailed, message: text };
    assert_eq!(refused.encode(&mut out), too_long(65_536));
    assert_eq!(connect(text, None, None).encode(&mut out), too_long(65_536));
    // Each text fits its own length, and all of them no frame.
    let half = str::from_utf8(&long[..40_000]).unwrap();
    assert_eq!(connect(half, Some(half), None).encode(&mut out), too_long(80_005));
    assert_eq!(connect("d", None, Some(b"p")).encode(&mut out), Err(EncodeFault::PasswordAlone));
    assert_eq!(out, b"kept");
}

#[test]
fn debug_output_shows_no_password() {
    let connect =
        Connect { version: 0, keepalive_s: 9, client_id: "d", username: Some("u"), password: Some(b"secret") };
    let shown = format!("{:?}", FromDevice::Connect(connect));
    assert!(shown.contains("***") && !shown.contains("115"), "{shown}");
}
