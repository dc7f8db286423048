//! One table while it is read or written.

mod numbers;
mod tables;
mod texts;

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::nearest::nearest;
use crate::tree::{Entry, Table, Value};
use crate::written::Block;
use crate::{Item, KeyPath, Leaf, Misfit, Place, Problem, ReadFile, Secret, Settings};

/// A table of the configuration, as a [`Settings::visit`] sees it: either filled from a document or being written out.
#[derive(Debug)]
pub struct Section<'a> {
    path: KeyPath,
    mode: Mode<'a>,
}

#[derive(Debug)]
enum Mode<'a> {
    Read(Reading<'a>),
    Write(&'a mut Block),
}

struct Reading<'a> {
    table: &'a Table,
    /// Where it stands.
    place: Place,
    problems: &'a mut Vec<Problem>,
    read_file: &'a mut ReadFile<'a>,
    /// Keys that exist: near misses are looked for among them.
    asked: Vec<Cow<'static, str>>,
    /// Keys already answered in another way.
    answered: Vec<&'static str>,
    /// Whether other keys are left alone, because nobody knows what they mean.
    lenient: bool,
    /// What is wrong with the table as a whole.
    refused: Option<String>,
}

impl std::fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the table: it may hold secrets.
        f.debug_struct("Reading").field("asked", &self.asked).field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// What is said of a key or value that belongs to the contract and has no code yet.
const NOT_YET: &str = "not in this version";

impl<'a> Section<'a> {
    pub(crate) fn read(
        root: &'a Table,
        problems: &'a mut Vec<Problem>,
        read_file: &'a mut ReadFile<'a>,
        settings: &mut dyn Settings,
    ) {
        let reading = Reading::new(root, Place::Default, problems, read_file);
        let mut section = Self { path: KeyPath::default(), mode: Mode::Read(reading) };
        settings.visit(&mut section);
        section.finish();
    }

    pub(crate) fn write(path: KeyPath, settings: &mut dyn Settings) -> Block {
        let mut block = Block::new(path.clone());
        settings.visit(&mut Section { path, mode: Mode::Write(&mut block) });
        block
    }

    /// Whether values are asked for, and not given: for keys that exist in one of several shapes of a value.
    #[must_use]
    pub const fn is_writing(&self) -> bool {
        matches!(self.mode, Mode::Write(_))
    }

    /// A key with one value.
    pub fn leaf<T: Leaf>(&mut self, key: &'static str, into: &mut T) {
        self.checked(key, into, |_| Ok(()));
    }

    /// A key with one value that is not any of its type: `check` says what is wrong with it, as in "… is no topic".
    pub fn checked<T: Leaf>(&mut self, key: &'static str, into: &mut T, check: impl FnOnce(&T) -> Result<(), String>) {
        self.value(key, into, T::EXPECTED, |value| check(value).map_err(Misfit::Refused));
    }

    /// A key whose value lies in a range, both ends included.
    pub fn ranged<T: Leaf + PartialOrd>(&mut self, key: &'static str, into: &mut T, range: RangeInclusive<T>) {
        let expected = format!("{} to {}", range.start().to_toml(), range.end().to_toml());
        let inside = |value: &T| if range.contains(value) { Ok(()) } else { Err(Misfit::Unexpected) };
        self.value(key, into, &expected, inside);
    }

    /// A key that must be there. Whether it is, and has a value that fits; always when writing.
    pub fn required<T: Leaf>(&mut self, key: &'static str, into: &mut T) -> bool {
        self.required_checked(key, into, |_| Ok(()))
    }

    /// As [`Self::required`], with a check as in [`Self::checked`].
    pub fn required_checked<T: Leaf>(
        &mut self,
        key: &'static str,
        into: &mut T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> bool {
        if let Mode::Read(reading) = &mut self.mode
            && reading.table.get(key).is_none()
        {
            let (place, path) = (reading.place.clone(), self.path.child(key));
            reading.asked.push(key.into());
            reading.problem(&place, path, format!("is missing: expected {}", T::EXPECTED));
            return false;
        }
        self.value(key, into, T::EXPECTED, |value| check(value).map_err(Misfit::Refused))
    }

    /// A key without a default: `None`, and not printed, while it is not given.
    pub fn optional<T: Leaf>(&mut self, key: &'static str, into: &mut Option<T>) {
        match &mut self.mode {
            Mode::Write(block) => match into {
                Some(value) => block.leaf(key, value.to_toml()),
                None => block.alternative(key),
            },
            Mode::Read(reading) => {
                let path = self.path.child(key);
                let Some(entry) = reading.ask(key) else { return };
                if let Some(value) = reading.read_leaf(&entry.item, path, T::EXPECTED) {
                    *into = Some(value);
                }
            }
        }
    }

    /// A secret: `key` holds it, or `key_file` names the file that does, without the line break at its end.
    pub fn secret(&mut self, key: &'static str, into: &mut Secret) {
        self.leaf(key, into);
        let file_key = format!("{key}_file");
        match &mut self.mode {
            Mode::Write(block) => block.alternative(&file_key),
            Mode::Read(reading) => {
                let Some(entry) = reading.ask(file_key.clone()) else { return };
                let path = self.path.child(&file_key);
                let read = Option::<PathBuf>::read(&entry.item);
                match read.map_err(|misfit| told::<PathBuf>(&misfit, PathBuf::EXPECTED, &entry.item)) {
                    Ok(None) => {}
                    Ok(Some(_)) if reading.table.get(key).is_some_and(|plain| plain.item.text() != Some("")) => {
                        reading.problem(&entry.item.place, path, format!("`{key}` is given too: one of them goes"));
                    }
                    Ok(Some(file)) => match (reading.read_file)(&file) {
                        Ok(text) => *into = Secret::from(text.trim_end_matches(['\r', '\n']).to_owned()),
                        Err(error) => {
                            let message = format!("cannot read {}: {error}", entry.item.described());
                            reading.problem(&entry.item.place, path, message);
                        }
                    },
                    Err((message, hint)) => reading.told(&entry.item.place, path, message, hint),
                }
            }
        }
    }

    /// An array of values. One that is given replaces all of the default's.
    pub fn list<T: Leaf>(&mut self, key: &'static str, into: &mut Vec<T>) {
        match &mut self.mode {
            Mode::Write(block) => {
                let items: Vec<_> = into.iter().map(Leaf::to_toml).collect();
                block.leaf(key, format!("[{}]", items.join(", ")));
            }
            Mode::Read(reading) => {
                let path = self.path.child(key);
                let Some(entry) = reading.ask(key) else { return };
                let Value::Array(items) = &entry.item.value else {
                    return reading.unexpected(&entry.item, path, "an array, like [\"…\", \"…\"]");
                };
                let values = items.iter().enumerate();
                *into =
                    values.filter_map(|(at, item)| reading.read_leaf(item, path.element(at), T::EXPECTED)).collect();
            }
        }
    }

    /// Says what is wrong with the table as a whole, as in "names nobody". Untold while something in it is wrong.
    pub fn refuse(&mut self, message: impl Into<String>) {
        if let Mode::Read(reading) = &mut self.mode {
            reading.refused.get_or_insert_with(|| message.into());
        }
    }

    /// Leaves all other keys alone: what they mean hangs on a key that has a problem.
    pub fn ignore_others(&mut self) {
        if let Mode::Read(reading) = &mut self.mode {
            reading.lenient = true;
        }
    }

    /// Keys and tables of the contract that this version has no code for: they are refused in these words.
    pub fn not_in_this_version(&mut self, keys: &[&'static str]) {
        let Mode::Read(reading) = &mut self.mode else { return };
        for key in keys {
            reading.answered.push(key);
            if let Some(entry) = reading.table.get(key) {
                reading.problem(&entry.name_at, self.path.child(key), NOT_YET.into());
            }
        }
    }

    /// What EMQX calls a key, and what it is here: the first is refused with the second.
    pub fn renamed(&mut self, pairs: &[(&'static str, &'static str)]) {
        self.refuse_their_names(pairs, "");
    }

    /// As [`Self::renamed`], where this version has no code for ours either, and would refuse it in turn.
    pub fn renamed_and_not_in_this_version(&mut self, pairs: &[(&'static str, &'static str)]) {
        self.refuse_their_names(pairs, &format!(", {NOT_YET}"));
    }

    /// Keys that belong in another table, each with its whole path there: the first is refused with the second.
    pub fn misplaced(&mut self, pairs: &[(&'static str, &'static str)]) {
        self.refuse_answering(pairs, |ours| format!("does not belong here: it is `{ours}`"));
    }

    fn refuse_their_names(&mut self, pairs: &[(&'static str, &'static str)], but: &str) {
        self.refuse_answering(pairs, |ours| format!("is EMQX's name: here it is `{ours}`{but}"));
    }

    fn refuse_answering(&mut self, pairs: &[(&'static str, &'static str)], told: impl Fn(&str) -> String) {
        let Mode::Read(reading) = &mut self.mode else { return };
        for (theirs, ours) in pairs {
            reading.answered.push(theirs);
            if let Some(entry) = reading.table.get(theirs) {
                reading.problem(&entry.name_at, self.path.child(theirs), told(ours));
            }
        }
    }

    /// Whether the value, if there is one, fits.
    fn value<T: Leaf>(
        &mut self,
        key: &'static str,
        into: &mut T,
        expected: &str,
        check: impl FnOnce(&T) -> Result<(), Misfit>,
    ) -> bool {
        match &mut self.mode {
            Mode::Write(block) => block.leaf(key, into.to_toml()),
            Mode::Read(reading) => {
                let Some(entry) = reading.ask(key) else { return true };
                match T::read(&entry.item).and_then(|value| check(&value).map(|()| value)) {
                    Ok(value) => *into = value,
                    Err(misfit) => {
                        let (message, hint) = told::<T>(&misfit, expected, &entry.item);
                        reading.told(&entry.item.place, self.path.child(key), message, hint);
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Once all keys have been asked for.
    fn finish(self) {
        let Mode::Read(Reading { table, place, problems, asked, answered, lenient, refused, .. }) = self.mode else {
            return;
        };
        for (key, entry) in &table.0 {
            if lenient || asked.iter().any(|name| name == key) || answered.contains(&key.as_str()) {
                continue;
            }
            let near = nearest(key, asked.iter().map(AsRef::as_ref));
            problems.push(Problem {
                place: entry.name_at.clone(),
                key: self.path.child(key),
                message: "unknown key".into(),
                hint: near.map(|name| format!("did you mean `{name}`?")),
            });
        }
        if let Some(message) = refused
            && !problems.iter().any(|problem| problem.key.overlaps(&self.path))
        {
            problems.push(Problem { place, key: self.path, message, hint: None });
        }
    }
}

impl<'a> Reading<'a> {
    fn new(table: &'a Table, place: Place, problems: &'a mut Vec<Problem>, read_file: &'a mut ReadFile<'a>) -> Self {
        let (asked, answered) = (Vec::new(), Vec::new());
        Self { table, place, problems, read_file, asked, answered, lenient: false, refused: None }
    }

    fn ask(&mut self, key: impl Into<Cow<'static, str>>) -> Option<&'a Entry> {
        let key = key.into();
        let entry = self.table.get(&key);
        self.asked.push(key);
        entry
    }

    fn read_leaf<T: Leaf>(&mut self, item: &Item, path: KeyPath, expected: &str) -> Option<T> {
        match T::read(item) {
            Ok(value) => Some(value),
            Err(misfit) => {
                let (message, hint) = told::<T>(&misfit, expected, item);
                self.told(&item.place, path, message, hint);
                None
            }
        }
    }

    fn unexpected(&mut self, item: &Item, path: KeyPath, expected: &str) {
        // A variable that was to be an array or a table, with a slip in it: there may be secrets inside.
        let slip = matches!(&item.value, Value::Text(text) if text.trim_start().starts_with(['[', '{']));
        let found = if slip { "a text, for it is no TOML".into() } else { item.described() };
        self.problem(&item.place, path, format!("expected {expected}, found {found}"));
    }

    fn problem(&mut self, place: &Place, key: KeyPath, message: String) {
        self.told(place, key, message, None);
    }

    fn told(&mut self, place: &Place, key: KeyPath, message: String, hint: Option<String>) {
        self.problems.push(Problem { place: place.clone(), key, message, hint });
    }
}

/// Message and hint for a value that does not fit. A secret's value stays out of them.
fn told<T: Leaf>(misfit: &Misfit, expected: &str, item: &Item) -> (String, Option<String>) {
    let found = if T::SECRET { "something else".into() } else { item.described() };
    match misfit {
        Misfit::Unexpected => (format!("expected {expected}, found {found}"), None),
        Misfit::UnexpectedBut { hint } => (format!("expected {expected}, found {found}"), Some(hint.clone())),
        Misfit::Refused(why) => (format!("{found} {why}"), None),
        Misfit::RefusedUnseen(why) => (why.clone(), None),
        Misfit::NotInThisVersion(what) => (format!("{what} is {NOT_YET}"), None),
    }
}
