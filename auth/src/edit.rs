//! One user of a file added, changed or removed; all else stays as it was, comments and order too.

use crate::hash::PasswordHash;
use crate::users::split;

/// What became of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// There was no such user.
    Added,
    /// It has another hash now.
    Changed,
    /// It is gone.
    Removed,
    /// There was no such user, and there is none now.
    Absent,
}

/// Sets the hash of `user` in the text of a users file, or removes the user where `hash` is `None`. Other lines stay as
/// they are, be they sound or not. If several lines name the user, one is left.
#[must_use]
pub fn edit(file: &str, user: &str, hash: Option<&PasswordHash>) -> (String, Edited) {
    let line_end = if file.contains("\r\n") { "\r\n" } else { "\n" };
    let mut written = hash.map(|hash| format!("{user}:{}{line_end}", hash.as_str()));
    let (mut text, mut found) = (String::with_capacity(file.len() + 160), false);
    for line in file.split_inclusive('\n') {
        if names(line, user) {
            found = true;
            text.extend(written.take());
        } else {
            text.push_str(line);
        }
    }
    if let Some(line) = written {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str(line_end);
        }
        text.push_str(&line);
    }
    let edited = match (found, hash.is_some()) {
        (false, true) => Edited::Added,
        (true, true) => Edited::Changed,
        (true, false) => Edited::Removed,
        (false, false) => Edited::Absent,
    };
    (text, edited)
}

/// Whether the line is the user's, with whatever hash.
fn names(line: &str, user: &str) -> bool {
    let line = line.trim_start_matches('\u{FEFF}').trim();
    let name = split(line).or_else(|| line.rsplit_once(':')).map(|(name, _)| name);
    !line.starts_with('#') && name == Some(user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::cheap;
    use proptest::prelude::*;

    #[test]
    #[rustfmt::skip]
    fn only_the_users_own_lines_change() {
        let hash = cheap("x");
        let table = [
            ("",                        Some(&hash), "ann:HASH\n",                    Edited::Added),
            ("bob:1",                   Some(&hash), "bob:1\nann:HASH\n",             Edited::Added),
            ("# ann:$1\nbob:$1\n",      Some(&hash), "# ann:$1\nbob:$1\nann:HASH\n",  Edited::Added),
            ("#\r\nbob:$1\r\n",         Some(&hash), "#\r\nbob:$1\r\nann:HASH\r\n",   Edited::Added),
            ("x:$1\nann:$2b$a:b\ny:$1", Some(&hash), "x:$1\nann:HASH\ny:$1",          Edited::Changed),
            ("ann:plain\n",             Some(&hash), "ann:HASH\n",                    Edited::Changed),
            ("ann:$1\nx:$1\nann:$2\n",  Some(&hash), "ann:HASH\nx:$1\n",              Edited::Changed),
            ("ann2:$1\nx:ann:$1\n",     Some(&hash), "ann2:$1\nx:ann:$1\nann:HASH\n", Edited::Added),
            ("x:$1\n ann:$1\r\ny:$1\n", None,        "x:$1\ny:$1\n",                  Edited::Removed),
            ("x:$1\n",                  None,        "x:$1\n",                        Edited::Absent),
        ];
        for (file, hash, expected, what) in table {
            let (text, edited) = edit(file, "ann", hash);
            let shown = hash.map_or_else(|| text.clone(), |hash| text.replace(hash.as_str(), "HASH"));
            assert_eq!((shown.as_str(), edited), (expected, what), "{file:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_file_the_lines_of_others_stay(
            lines in proptest::collection::vec("(ann|bob|#ann| ann|)(:)?(\\$1|x)?(\r)?", 0..8),
            ends in any::<bool>(),
        ) {
            let mut file = lines.join("\n");
            if ends {
                file.push('\n');
            }
            let others = |text: &str| -> Vec<String> {
                let lines = text.lines().map(|line| line.trim_end_matches('\r'));
                lines.filter(|line| !names(line, "ann") && !line.is_empty()).map(str::to_owned).collect()
            };
            let (with, _) = edit(&file, "ann", Some(&cheap("x")));
            prop_assert_eq!(others(&with), others(&file));
            prop_assert_eq!(with.lines().filter(|line| names(line, "ann")).count(), 1);
            let (without, edited) = edit(&with, "ann", None);
            prop_assert_eq!(others(&without), others(&file));
            prop_assert_eq!((without.lines().any(|line| names(line, "ann")), edited), (false, Edited::Removed));
        }
    }
}
