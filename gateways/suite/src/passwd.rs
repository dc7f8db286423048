//! `tidegate passwd`: one user of a users file added, changed or removed.

mod password;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use auth::{Edited, LARGEST_FILE, PasswordHash, UserFault, Users, check_name, edit};

use crate::cli::print;
use crate::failure::Failure;

/// Sets the password of `user` in `file`, or removes the user.
///
/// # Errors
/// A user or password that cannot be, or what went wrong with the file: it is then as it was.
pub(crate) fn run(file: &Path, user: &str, delete: bool) -> Result<(), Failure> {
    check_name(user).map_err(|fault| Failure::Configuration(vec![format!("the user name {fault}")]))?;
    let hash = if delete {
        None
    } else {
        let password = password::ask(user)?;
        Some(PasswordHash::make(&password).map_err(|fault| Failure::Running(fault.to_string()))?)
    };
    let cannot = |fault: &io::Error| Failure::Running(format!("{}: {fault}", file.display()));
    let (text, edited) = change(file, user, hash.as_ref()).map_err(|fault| cannot(&fault))?;
    let word = match edited {
        Edited::Added => "added",
        Edited::Changed => "changed",
        Edited::Removed => "removed",
        Edited::Absent => return Err(Failure::Running(format!("{}: no user {user:?}", file.display()))),
    };
    for fault in Users::parse(text.as_bytes()).err().unwrap_or_default() {
        warn(&format!("{}: {fault} (a node refuses the whole file for it)", file.display()));
    }
    print(&format!("{}: {user:?} {word}\n", file.display()))
}

/// Rewrites the file, with nobody else at it. Returns the new text.
fn change(file: &Path, user: &str, hash: Option<&PasswordHash>) -> io::Result<(String, Edited)> {
    // The name of a link stays one.
    let target = fs::canonicalize(file).unwrap_or_else(|_nothing_there| file.to_owned());
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    // Until it is closed, another `tidegate passwd` in this directory waits.
    let lock = File::open(&dir)?;
    lock.lock()?;
    let before = read(&target)?;
    if before.is_none() && hash.is_none() {
        return Err(io::Error::new(ErrorKind::NotFound, "there is no such file"));
    }
    let faults = before.as_ref().and_then(|(text, _)| Users::parse(text.as_bytes()).err()).unwrap_or_default();
    if let Some(fault) = faults.iter().find(|fault| matches!(fault.fault, UserFault::NoHash | UserFault::NotText)) {
        return Err(io::Error::other(format!("is no users file, and left as it is: {fault}")));
    }
    let (text, edited) = edit(before.as_ref().map_or("", |(text, _)| text), user, hash);
    if edited != Edited::Absent {
        replace(&dir, &target, &text, before.map(|(_, metadata)| metadata).as_ref())?;
        lock.sync_all()?;
    }
    Ok((text, edited))
}

/// `None` if there is no such file.
fn read(file: &Path) -> io::Result<Option<(String, fs::Metadata)>> {
    let opened = match File::open(file) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = opened.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    opened.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is too large"));
    }
    Ok(Some((text, metadata)))
}

/// All of the file or nothing: it is written beside the old one, and takes its place once the disk has it. Owner and
/// mode stay; a new file is the owner's alone.
fn replace(dir: &Path, target: &Path, text: &str, before: Option<&fs::Metadata>) -> io::Result<()> {
    let name = target.file_name().unwrap_or_else(|| OsStr::new("users"));
    let beside = Beside(dir.join(format!(".{}.{}", name.to_string_lossy(), std::process::id())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside.0)?;
    file.write_all(text.as_bytes())?;
    if let Some(before) = before {
        let (now, was) = (file.metadata()?, (before.uid(), before.gid()));
        if (now.uid(), now.gid()) != was {
            fchown(&file, Some(was.0), Some(was.1))?;
        }
        file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
        if before.mode() & 0o004 != 0 {
            warn(&format!("{}: everybody on this machine can read the hashes: chmod o-r", target.display()));
        }
    }
    file.sync_all()?;
    fs::rename(&beside.0, target)
}

/// A file that must not be left behind.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // Gone if it has taken its place.
        drop(fs::remove_file(&self.0));
    }
}

/// On standard error, where nobody may be.
fn warn(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
