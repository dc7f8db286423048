//! The list of client ids: a head with the version, one id a line, and their number at the end, so that half a file is
//! known for one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// The ids of the last run; none without a file.
///
/// # Errors
/// If the file cannot be read, or is not what was written.
pub(super) fn read(file: &Path) -> io::Result<Vec<String>> {
    let mut text = String::new();
    match File::open(file) {
        Ok(opened) => opened.take(LARGEST).read_to_string(&mut text)?,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    parse(&text).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is not a list of links, or not a whole one"))
}

/// Replaces the file at once: whoever reads it finds the old list or the new one.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write<'a>(dir: &Path, file: &Path, ids: impl Iterator<Item = &'a str>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let beside = file.with_extension("new");
    let mut written = File::create(&beside)?;
    written.write_all(render(ids).as_bytes())?;
    written.sync_all()?;
    fs::rename(&beside, file)
}

fn parse(text: &str) -> Option<Vec<String>> {
    let mut lines = text.strip_suffix('\n')?.lines();
    if lines.next()? != HEAD {
        return None;
    }
    let mut ids: Vec<String> = lines.map(str::to_owned).collect();
    let count = ids.pop()?.strip_prefix(END)?.parse::<usize>().ok()?;
    let fits = |id: &String| !id.is_empty() && id.len() <= LONGEST && !id.chars().any(char::is_control);
    (ids.len() == count && ids.iter().all(fits)).then_some(ids)
}

fn render<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let ids: Vec<&str> = ids.collect();
    let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
    format!("{HEAD}\n{lines}{END}{}\n", ids.len())
}

const HEAD: &str = "tidegate links 1";
const END: &str = "end ";
/// Octets of a client id.
const LONGEST: usize = 65_535;
/// Octets of the file.
const LARGEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for ids in [&[][..], &["tidegate-north-0"], &["a-0", "a-1", "end 7", "tidegate links 1"]] {
            assert_eq!(
                parse(&render(ids.iter().copied())).as_deref(),
                Some(ids).map(|ids| { ids.iter().map(ToString::to_string).collect::<Vec<_>>() }).as_deref()
            );
        }
    }

    #[test]
    fn anything_else_is_no_list() {
        let whole = render(["a-0", "a-1"].into_iter());
        let cut = (0..whole.len()).filter(|&at| whole.get(..at).and_then(parse).is_some());
        assert_eq!(cut.count(), 0, "half a file is none");
        for text in
            ["", "tidegate links 2\nend 0\n", "tidegate links 1\nend 1\n", "tidegate links 1\n\nend 1\n", "x\nend 0\n"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_file_is_replaced_whole() {
        let dir = std::env::temp_dir().join(format!("tidegate-links-{}", std::process::id()));
        let file = dir.join("links");
        for ids in [["a"], ["b"]] {
            write(&dir, &file, ids.into_iter()).unwrap();
            assert_eq!(read(&file).unwrap(), ids);
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside it");
        fs::write(&file, "something else").unwrap();
        assert_eq!(read(&file).unwrap_err().kind(), ErrorKind::InvalidData);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read(&file).unwrap(), [""; 0], "there is none before the first run");
    }
}
