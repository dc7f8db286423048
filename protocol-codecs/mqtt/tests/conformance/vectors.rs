//! `mqtt5.tsv` and `mqtt311.tsv`, row by row and split by split.

use crate::meaning::{packet, plain, tell};
use codec_mqtt::{Fault, Packet, Version, decode, decode_from_server, fuzzing, peek, split};
use serde_json::Value;
use support::vectors::{Row, Use, rows};

const TABLES: [(&str, Version); 2] = [("mqtt5.tsv", Version::V5), ("mqtt311.tsv", Version::V311)];
/// Above every row.
const MAX: u32 = 100_000;

fn all_rows() -> impl Iterator<Item = (Version, Row)> {
    TABLES.into_iter().flat_map(|(file, version)| rows(file).into_iter().map(move |row| (version, row)))
}

fn accepted(row: &Row) -> bool {
    matches!(row.use_, Use::Both | Use::Roundtrip | Use::Decode)
}

/// Cuts and reads, as a connection does.
fn receive<'a>(bytes: &'a [u8], version: Version, id: &str) -> Result<Packet<'a>, Fault> {
    assert_eq!(peek(bytes, MAX)?, Some(bytes.len()), "{id}");
    // The one rule of the tables that depends on who sent the packet.
    if id == "disconnect-sei-server" { decode_from_server(bytes, version) } else { decode(bytes, version) }
}

#[test]
fn every_row_of_both_tables_is_tested() {
    let counts = |file: &str| {
        let rows = rows(file);
        let of = |wanted: &[Use]| rows.iter().filter(|row| wanted.contains(&row.use_)).count();
        [of(&[Use::Both]), of(&[Use::Roundtrip]), of(&[Use::Decode]), of(&[Use::Reject]), of(&[Use::Either])]
    };
    assert_eq!(counts("mqtt5.tsv").iter().sum::<usize>(), 243);
    assert_eq!(counts("mqtt311.tsv").iter().sum::<usize>(), 96);
    assert_eq!(counts("mqtt5.tsv"), [104, 60, 16, 59, 4]);
    assert_eq!(counts("mqtt311.tsv"), [55, 0, 0, 38, 3]);
}

#[test]
fn accepted_rows_mean_what_the_table_says() {
    for (version, row) in all_rows().filter(|(_, row)| accepted(row)) {
        let read = receive(&row.bytes, version, &row.id).unwrap_or_else(|fault| panic!("{}: {fault}", row.id));
        assert_eq!(tell(&read, version), plain(&row.meaning), "{}", row.id);
    }
}

#[test]
fn meanings_are_written_as_the_table_says() {
    for (version, row) in all_rows().filter(|(_, row)| accepted(row)) {
        let meant = packet(&row.meaning, version);
        let mut out = b"before".to_vec();
        meant.encode(version, &mut out).unwrap_or_else(|fault| panic!("{}: {fault}", row.id));
        let written = &out[6..];
        assert_eq!(meant.encoded_len(version), Ok(written.len()), "{}", row.id);
        if row.use_ == Use::Both {
            assert_eq!(written, row.bytes, "{}", row.id);
        }
        let read = receive(written, version, &row.id).unwrap();
        assert_eq!(tell(&read, version), plain(&row.meaning), "{}", row.id);
    }
}

#[test]
fn rejected_rows_are_refused_for_the_reason_of_the_table() {
    for (version, row) in all_rows().filter(|(_, row)| row.use_ == Use::Reject) {
        let fault = receive(&row.bytes, version, &row.id).expect_err(&row.id);
        assert_eq!(kind(&fault), kind_of_row(&row.meaning), "{}: {fault:?}", row.id);
        if let Some(reason) = row.meaning["reason"].as_u64() {
            assert_eq!(u64::from(fault.reason_code().0), reason, "{}: {fault:?}", row.id);
        }
    }
}

#[test]
fn rows_that_may_be_read_or_refused_break_nothing() {
    for (version, row) in all_rows().filter(|(_, row)| row.use_ == Use::Either) {
        fuzzing::codec(&[&[u8::from(version == Version::V5)], &row.bytes[..]].concat());
    }
}

#[test]
fn a_row_that_is_cut_is_waited_for_or_refused_for_the_same_reason() {
    for (version, row) in all_rows() {
        for cut in 0..row.bytes.len() {
            let part = &row.bytes[..cut];
            match (peek(part, MAX), split(part, MAX)) {
                (Ok(None), Ok(None)) => assert!(cut < 5, "{} at {cut}: a fixed header has five octets at most", row.id),
                (Ok(Some(length)), Ok(None)) => assert_eq!(length, row.bytes.len(), "{} at {cut}", row.id),
                (Err(fault), Err(_)) => {
                    assert!(!accepted(&row), "{} at {cut}: {fault}", row.id);
                    assert_eq!(kind(&fault), kind_of_row(&row.meaning), "{} at {cut}", row.id);
                }
                other => panic!("{} at {cut}: {other:?}", row.id),
            }
            // What is cut, but handed over as a packet all the same, is refused.
            if accepted(&row) && (cut < 100 || cut % 997 == 0) {
                assert!(decode(part, version).is_err(), "{} at {cut}", row.id);
            }
        }
    }
}

#[test]
fn a_stream_of_all_rows_is_read_in_pieces_of_every_size() {
    for (file, version) in TABLES {
        let rows: Vec<_> = rows(file).into_iter().filter(accepted).collect();
        let stream: Vec<u8> = rows.iter().flat_map(|row| row.bytes.iter().copied()).collect();
        for size in [1, 2, 3, 5, 7, 64, 1_000, stream.len()] {
            let (mut buffer, mut read) = (Vec::new(), 0);
            for piece in stream.chunks(size) {
                buffer.extend_from_slice(piece);
                let mut consumed = 0;
                while let Some((packet, _rest)) = split(&buffer[consumed..], MAX).unwrap() {
                    assert_eq!(packet, rows[read].bytes, "{} in pieces of {size}", rows[read].id);
                    assert!(decode(packet, version).is_ok(), "{}", rows[read].id);
                    consumed += packet.len();
                    read += 1;
                }
                buffer.drain(..consumed);
            }
            assert_eq!((read, buffer.len()), (rows.len(), 0), "{file} in pieces of {size}");
        }
    }
}

fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::Wire(_) | Fault::Malformed(_) => "malformed",
        Fault::Protocol(_) => "protocol-error",
        Fault::UnsupportedProtocol => "unsupported-protocol",
        Fault::ClientId => "identifier-rejected",
        Fault::TopicFilter(_) => "topic-filter-invalid",
        Fault::TopicName(_) => "topic-name-invalid",
        Fault::TopicAlias => "topic-alias-invalid",
        Fault::TooLarge { .. } => "packet-too-large",
    }
}

/// 3.1.1 says violation where 5.0 says error.
fn kind_of_row(meaning: &Value) -> &str {
    match meaning["fault"].as_str().unwrap() {
        "protocol-violation" => "protocol-error",
        other => other,
    }
}
