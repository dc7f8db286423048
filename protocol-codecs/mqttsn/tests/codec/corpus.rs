//! The fuzz target's seeds, replayed.

use std::path::Path;

#[test]
fn every_seed_of_the_fuzz_target_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/mqttsn_codec");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let mut accepted = 0;
    for path in &paths {
        let seed = std::fs::read(path).unwrap();
        accepted += usize::from(codec_mqttsn::decode(&seed).is_ok());
        codec_mqttsn::fuzzing::codec(&seed);
    }
    assert!(accepted >= 25 && paths.len() > accepted, "{accepted} of {} are readable", paths.len());
}
