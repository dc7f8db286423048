//! The fuzz target's seeds, replayed.

use std::path::Path;

#[test]
fn every_seed_of_the_fuzz_target_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/rawtcp_codec");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        codec_rawtcp::fuzzing::codec(&std::fs::read(path).unwrap());
    }
    assert!(paths.len() >= 40, "{} seeds", paths.len());
}
