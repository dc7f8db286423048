//! The tables in `tests/vectors/`: bytes and their meaning, made by independent encoders.

use serde_json::Value;
use std::path::PathBuf;

/// One row of a codec's table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Unique in its file.
    pub id: String,
    /// What the row promises.
    pub use_: Use,
    /// The octets.
    pub bytes: Vec<u8>,
    /// What they mean; on a [`Use::Reject`] row the fault.
    pub meaning: Value,
}

/// What a row promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Decoding gives the meaning, encoding the meaning gives exactly these octets.
    Both,
    /// Decoding gives the meaning; encoding and decoding gives it again.
    Roundtrip,
    /// Must be read, is never written like this.
    Decode,
    /// Must be refused.
    Reject,
    /// May be read or refused.
    Either,
}

/// Lines of `tests/vectors/<file>` as cells, without the header.
#[must_use]
pub fn cells(file: &str) -> Vec<Vec<String>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The rows of a codec's table, in file order.
#[must_use]
pub fn rows(file: &str) -> Vec<Row> {
    cells(file).iter().map(|cells| row(cells)).collect()
}

fn row(cells: &[String]) -> Row {
    let [id, use_, hex, meaning, ..] = cells else { panic!("short row {cells:?}") };
    let use_ = match use_.as_str() {
        "both" => Use::Both,
        "roundtrip" => Use::Roundtrip,
        "decode" => Use::Decode,
        "reject" => Use::Reject,
        "either" => Use::Either,
        other => panic!("{id}: unknown use {other}"),
    };
    let meaning = serde_json::from_str(meaning).unwrap_or_else(|e| panic!("{id}: {e}"));
    Row { id: id.clone(), use_, bytes: unhex(hex), meaning }
}

/// Octets of a hexadecimal text in which `61{3}` stands for `616161`.
#[must_use]
pub fn unhex(text: &str) -> Vec<u8> {
    let text = expand(text, 2);
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).unwrap_or_else(|| panic!("{c} in {text}"))).collect();
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// Repeats the last `unit` characters before each `{N}` so that they stand N times.
#[must_use]
pub fn expand(text: &str, unit: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (count, tail) = after.split_once('}').expect("{N} is closed");
        out.push_str(before);
        let chars: Vec<char> = out.chars().collect();
        let piece: String = chars[chars.len() - unit..].iter().collect();
        out.push_str(&piece.repeat(count.parse::<usize>().expect("{N} is a number") - 1));
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_marks_expand() {
        assert_eq!(unhex("0061{3}ff"), [0, 0x61, 0x61, 0x61, 0xff]);
        assert_eq!(expand("x{4}", 1), "xxxx");
    }

    #[test]
    fn the_tables_are_all_there() {
        let counts: Vec<usize> = ["mqttsn.tsv", "mqtt5.tsv", "mqtt311.tsv"].iter().map(|f| rows(f).len()).collect();
        assert_eq!(counts, [200, 243, 96]);
        assert_eq!(cells("topics.tsv").len(), 191);
    }
}
