//! The house rules that no lint knows, held against the tree. Each rule is a function from text to complaints, so that
//! it is also shown what it must refuse: a rule that cannot fail holds nothing.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a tree that cannot be read must stop the test there"
)]

mod arrows;
mod code;
mod documents;
mod sources;
mod tree;

/// Stops the test with all complaints at once.
fn refuse(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} broken rules:\n  {}", complaints.len(), complaints.join("\n  "));
}
