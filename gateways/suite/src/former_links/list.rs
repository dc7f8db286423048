//! The list of client ids: a head with the version, how long sessions were kept, one id a line, and their number at the
//! end, so that half a file is known for one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// The links of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Their sessions were to outlive it.
    pub(super) durable: bool,
    /// Their client ids.
    pub(super) ids: Vec<String>,
}

/// The links of the last run; none without a file.
///
/// # Errors
/// If the file cannot be read, or is not what was written.
pub(super) fn read(file: &Path) -> io::Result<List> {
    let mut text = String::new();
    match File::open(file) {
        Ok(opened) => opened.take(LARGEST).read_to_string(&mut text)?,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(List::default()),
        Err(fault) => return Err(fault),
    };
    parse(&text).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is not a list of links, or not a whole one"))
}

/// Replaces the file at once: whoever reads it finds the old list or the new one.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write(file: &Path, list: &List) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    let beside = file.with_extension("new");
    let mut written = File::create(&beside)?;
    written.write_all(render(list).as_bytes())?;
    written.sync_all()?;
    fs::rename(&beside, file)
}

fn parse(text: &str) -> Option<List> {
    let mut lines = text.strip_suffix('\n')?.lines();
    if lines.next()? != HEAD {
        return None;
    }
    let durable = match lines.next()? {
        FILE => true,
        MEMORY => false,
        _ => return None,
    };
    let mut ids: Vec<String> = lines.map(str::to_owned).collect();
    let count = ids.pop()?.strip_prefix(END)?.parse::<usize>().ok()?;
    let fits = |id: &String| !id.is_empty() && id.len() <= LONGEST && !id.chars().any(char::is_control);
    (ids.len() == count && ids.iter().all(fits)).then_some(List { durable, ids })
}

fn render(List { durable, ids }: &List) -> String {
    let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let kept = if *durable { FILE } else { MEMORY };
    format!("{HEAD}\n{kept}\n{lines}{END}{}\n", ids.len())
}

const HEAD: &str = "tidegate links 1";
const FILE: &str = "sessions file";
const MEMORY: &str = "sessions memory";
const END: &str = "end ";
/// Octets of a client id.
const LONGEST: usize = 65_535;
/// Octets of the file.
const LARGEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(durable: bool, ids: &[&str]) -> List {
        List { durable, ids: ids.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn what_was_written_is_read() {
        for ids in [&[][..], &["tidegate-north-0"], &["a-0", "a-1", "end 7", "tidegate links 1"]] {
            for durable in [false, true] {
                assert_eq!(parse(&render(&list(durable, ids))), Some(list(durable, ids)));
            }
        }
    }

    #[test]
    #[rustfmt::skip]
    fn anything_else_is_no_list() {
        let whole = render(&list(true, &["a-0", "a-1"]));
        let cut = (0..whole.len()).filter(|&at| whole.get(..at).and_then(parse).is_some());
        assert_eq!(cut.count(), 0, "half a file is none");
        for (what, text) in [
            ("nothing",           ""),
            ("another version",   "tidegate links 2\nsessions file\nend 0\n"),
            ("another store",     "tidegate links 1\nsessions tape\nend 0\n"),
            ("a line too few",    "tidegate links 1\nsessions file\nend 1\n"),
            ("an empty id",       "tidegate links 1\nsessions file\n\nend 1\n"),
            ("another head",      "x\nsessions file\nend 0\n"),
        ] {
            assert_eq!(parse(text), None, "{what}");
        }
    }

    #[test]
    fn the_file_is_replaced_whole() {
        let dir = std::env::temp_dir().join(format!("tidegate-links-{}", std::process::id()));
        let file = dir.join("links");
        for ids in [["a"], ["b"]] {
            write(&file, &list(false, &ids)).unwrap();
            assert_eq!(read(&file).unwrap(), list(false, &ids));
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside it");
        fs::write(&file, "something else").unwrap();
        assert_eq!(read(&file).unwrap_err().kind(), ErrorKind::InvalidData);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read(&file).unwrap(), List::default(), "there is none before the first run");
    }
}
