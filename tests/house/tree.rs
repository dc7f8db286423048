//! The files of the project.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file.
pub(crate) struct File {
    /// From the project's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Folders that hold what was built, not what was written.
const NOT_OURS: [&str; 5] = [".git", "target", "artifacts", "coverage", "data"];

pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this crate lies two folders below the root").to_owned()
}

/// All files of the project whose name ends in `ending`, in order.
pub(crate) fn files(ending: &str) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project").map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(File { path, text });
            }
        }
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    found
}

/// One file that must be there.
pub(crate) fn file(path: &str) -> File {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    File { path: path.to_owned(), text }
}

pub(crate) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

#[test]
fn the_walk_sees_the_whole_project() {
    let paths: Vec<_> = files(".rs").into_iter().map(|file| file.path).collect();
    for expected in ["tests/house/tree.rs", "bridge-core/src/lib.rs", "gateways/transport/src/sys.rs"] {
        assert!(paths.iter().any(|path| path == expected), "{expected} is not among {} files", paths.len());
    }
}
