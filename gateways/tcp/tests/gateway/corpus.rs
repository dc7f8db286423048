//! The fuzz target's seeds, replayed.

use std::path::Path;

#[test]
fn every_seed_of_the_fuzz_target_keeps_the_invariants() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tcp_machine");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        tcp_gateway::fuzzing::machine(&std::fs::read(path).unwrap());
    }
    assert!(paths.len() >= 8, "{} seeds", paths.len());
}
