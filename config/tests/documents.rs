//! What the documents show as configuration loads.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a document that cannot be read must stop the test there")]

use config::{Build, load};
use std::fs;
use std::path::{Path, PathBuf};

/// The README and the pages under `docs/`.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut paths = vec![root.join("README.md")];
    paths.extend(fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// The blocks marked as TOML.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap())
}

fn problems(name: &str, text: &str) -> Vec<String> {
    let secret = &mut |_: &Path| Ok("secret".to_owned());
    let problems =
        load(Some((name, text)), [], secret, &|_| Vec::new(), Build { embedded: true }).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_example_in_the_documents_loads() {
    let mut examples = 0;
    for (path, text) in documents() {
        for block in blocks(&text) {
            assert_eq!(problems(&path.display().to_string(), block), [""; 0]);
            examples += 1;
        }
    }
    assert!(examples >= 5, "only {examples} examples were found");
}

#[test]
fn an_example_with_a_misspelt_key_is_refused() {
    let text = "# Title\n\n```toml\n[broker]\nulr = \"mqtt://h\"\n```\nmore\n";
    let found: Vec<_> = blocks(text).flat_map(|block| problems("x.md", block)).collect();
    assert_eq!(found.len(), 1);
    assert!(found.iter().all(|problem| problem.contains("broker.ulr: unknown key")), "{found:?}");
}
