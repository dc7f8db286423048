//! Every row of `tests/vectors/tcp.tsv`.

use codec_rawtcp::{Fault, FromDevice, FromGateway, MAX_PAYLOAD, ReturnCode, Turn};
use serde_json::{Value, json};
use support::vectors::{Row, Use, expand, rows};

#[test]
fn every_row_of_the_table_holds() {
    let rows = rows("tcp.tsv");
    for row in &rows {
        match row.use_ {
            Use::Both => both(row),
            Use::Decode if row.meaning["need_more"] == json!(true) => waits(row),
            Use::Decode => decodes(row),
            Use::Reject => {
                let (_, fault) = read_device(&row.bytes, row.bytes.len().max(1));
                let fault = fault.unwrap_or_else(|| panic!("{}: accepted", row.id));
                assert_eq!(json!({ "fault": kind(fault), "reply": null }), row.meaning, "{}", row.id);
            }
            Use::Roundtrip | Use::Either => panic!("{}: no row of this table has that use", row.id),
        }
        let whole = read_device(&row.bytes, usize::MAX);
        for piece in (1..row.bytes.len().min(40)).chain([255, 4096]) {
            assert_eq!(read_device(&row.bytes, piece), whole, "{} in pieces of {piece}", row.id);
        }
    }
    let count = |use_| rows.iter().filter(|row| row.use_ == use_).count();
    assert_eq!([count(Use::Both), count(Use::Decode), count(Use::Reject)], [25, 18, 25]);
    assert_eq!(rows.len(), 68);
}

fn both(row: &Row) {
    let up = row.meaning["dir"] != "down";
    let down = row.meaning["dir"] != "up";
    let mut out = Vec::new();
    if up {
        let frame = device_frame(row);
        assert_eq!(device_meaning(&frame), without_direction(row), "{}", row.id);
        frame.encode(&mut out).unwrap();
        assert_eq!(out, row.bytes, "{}", row.id);
    }
    out.clear();
    if down {
        let (frame, used) = FromGateway::decode(&row.bytes).unwrap().unwrap();
        assert_eq!(used, row.bytes.len(), "{}", row.id);
        assert_eq!(gateway_meaning(&frame), without_direction(row), "{}", row.id);
        frame.encode(&mut out).unwrap();
        assert_eq!(out, row.bytes, "{}", row.id);
    }
}

/// Frames that are read and never written like this.
fn decodes(row: &Row) {
    if let Some(names) = row.meaning["frames"].as_array() {
        let turn = if names[0] == "CONNECT" { Turn::First } else { Turn::Connected };
        let (found, fault) = read_from(&row.bytes, 1, turn);
        let found: Vec<&Value> = found.iter().map(|frame| &frame["type"]).collect();
        assert_eq!((found, fault), (names.iter().collect(), None), "{}", row.id);
        return;
    }
    let frame = device_frame(row);
    let mut meaning = without_direction(row);
    // Of DATATRANS the flags are ignored.
    if let Some(flags) = meaning.get("flags").cloned() {
        assert_eq!(flags, json!(row.bytes[0] & 0x0F), "{}", row.id);
        meaning["flags"] = json!(0);
    }
    assert_eq!(device_meaning(&frame), meaning, "{}", row.id);
}

fn waits(row: &Row) {
    let turn = if row.bytes.first().is_none_or(|octet| octet >> 4 == 1) { Turn::First } else { Turn::Connected };
    assert_eq!(FromDevice::decode(&row.bytes, turn, MAX_PAYLOAD), Ok(None), "{}", row.id);
}

/// The one frame of a row, which may come at its turn.
fn device_frame(row: &Row) -> FromDevice<'_> {
    let turn = if row.meaning["type"] == "CONNECT" { Turn::First } else { Turn::Connected };
    let (frame, used) = FromDevice::decode(&row.bytes, turn, MAX_PAYLOAD)
        .unwrap_or_else(|fault| panic!("{}: {fault}", row.id))
        .unwrap_or_else(|| panic!("{}: incomplete", row.id));
    assert_eq!(used, row.bytes.len(), "{}", row.id);
    frame
}

/// What a new connection that brings `bytes` in pieces of `piece` octets means.
fn read_device(bytes: &[u8], piece: usize) -> (Vec<Value>, Option<Fault>) {
    read_from(bytes, piece, Turn::First)
}

fn read_from(bytes: &[u8], piece: usize, mut turn: Turn) -> (Vec<Value>, Option<Fault>) {
    let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
    while end < bytes.len() {
        end = bytes.len().min(end.saturating_add(piece));
        loop {
            match FromDevice::decode(&bytes[start..end], turn, MAX_PAYLOAD) {
                Ok(None) => break,
                Ok(Some((frame, used))) => {
                    found.push(device_meaning(&frame));
                    turn = Turn::Connected;
                    start += used;
                }
                Err(fault) => return (found, Some(fault)),
            }
        }
    }
    (found, None)
}

/// The table's name for a fault.
fn kind(fault: Fault) -> &'static str {
    match fault {
        Fault::UnknownType(_) => "unknown-type",
        Fault::WrongDirection => "wrong-direction",
        Fault::FirstNotConnect => "first-not-connect",
        Fault::SecondConnect => "second-connect",
        Fault::BadConnect(_) => "bad-connect",
        Fault::NotUtf8(_) => "bad-utf8",
        Fault::UnknownCode(_) | Fault::TooLarge { .. } => "not in the table",
    }
}

fn without_direction(row: &Row) -> Value {
    let mut meaning = row.meaning.clone();
    meaning.as_object_mut().unwrap().remove("dir");
    if let Some(payload) = meaning.get("payload_hex").and_then(Value::as_str) {
        meaning["payload_hex"] = json!(expand(payload, 2));
    }
    meaning
}

fn device_meaning(frame: &FromDevice<'_>) -> Value {
    match frame {
        FromDevice::Connect(connect) => json!({
            "type": "CONNECT", "version": connect.version, "keepalive": connect.keepalive_s,
            "client_id": connect.client_id, "username": connect.username,
            "password": connect.password.map(|octets| String::from_utf8(octets.to_vec()).unwrap()),
        }),
        FromDevice::Data(payload) => data_meaning(payload),
        FromDevice::Ping => json!({ "type": "PING" }),
        FromDevice::Disconnect => json!({ "type": "DISCONNECT" }),
    }
}

fn gateway_meaning(frame: &FromGateway<'_>) -> Value {
    match frame {
        FromGateway::Connack { code, message } => {
            let code = match code {
                ReturnCode::Accepted => 0,
                ReturnCode::AuthFailed => 1,
                ReturnCode::IllegalVersion => 2,
            };
            json!({ "type": "CONNACK", "code": code, "message": message })
        }
        FromGateway::Data(payload) => data_meaning(payload),
        FromGateway::Pong => json!({ "type": "PONG" }),
    }
}

fn data_meaning(payload: &[u8]) -> Value {
    let hex: String = payload.iter().map(|octet| format!("{octet:02x}")).collect();
    json!({ "type": "DATATRANS", "flags": 0, "payload_hex": hex })
}
