//! How a configuration struct is read from TOML and written back.
//!
//! A struct describes itself once, in [`Settings::visit`]: which keys it has and where their values go. The same visit
//! reads a file, prints the effective configuration with secrets masked, and lists the keys that exist, so that no two
//! of them can drift apart. Defaults live in the struct's `Default` and nowhere else.
//!
//! ```
//! use settings::{Document, HumanDuration, Section, Settings};
//!
//! #[derive(Debug, PartialEq)]
//! struct Lamp { name: String, glow: HumanDuration }
//! impl Settings for Lamp {
//!     fn visit(&mut self, s: &mut Section<'_>) {
//!         s.leaf("name", &mut self.name);
//!         s.leaf("glow", &mut self.glow);
//!     }
//! }
//! let mut lamp = Lamp { name: "porch".into(), glow: HumanDuration::from_secs(30) };
//! let mut document = Document::parse("lamp.toml", "glow = \"2m\"\nnmae = \"hall\"");
//! document.read(&mut lamp, &mut |path| Err(std::io::Error::other(path.display().to_string())));
//! let problems = document.finish().unwrap_err();
//! assert_eq!(problems[0].to_string(), "lamp.toml:2:1: nmae: unknown key (did you mean `name`?)");
//! assert_eq!(lamp.glow, HumanDuration::from_secs(120));
//! ```
//!
//! The crate does no input or output: texts, variables and a reader of secret files are handed in.
#![forbid(unsafe_code)]

mod bind;
mod choice;
mod document;
mod environment;
mod leaf;
mod limits;
mod nearest;
mod problem;
mod secret;
mod section;
#[cfg(test)]
mod section_tests;
mod tree;
mod units;
mod written;

pub use bind::BindAddress;
pub use document::{Document, ReadFile};
pub use leaf::{Leaf, Misfit, bare_or_quoted, quoted};
pub use limits::{PublishLimit, RateLimit};
pub use problem::{KeyPath, Place, Problem};
pub use secret::Secret;
pub use section::Section;
pub use tree::{Item, Table, Value};
pub use units::{ByteSize, HumanDuration};
pub use written::{differences, keys, to_toml};

/// A configuration struct that knows its keys.
pub trait Settings {
    /// Names every key with the field that holds its value, in the order in which they are to be printed.
    ///
    /// It is called to read, to write and to list, so it must name the same keys whatever the values are.
    fn visit(&mut self, s: &mut Section<'_>);
}
