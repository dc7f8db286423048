//! The seeds of the fuzz target, replayed.

use std::path::Path;

#[test]
fn every_seed_of_the_fuzz_target_keeps_the_invariants() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/mqttsn_machine");
    let mut seeds: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(seeds.len() >= 8, "the seeds are gone");
    for seed in seeds {
        mqttsn::fuzzing::machine(&std::fs::read(&seed).unwrap());
    }
}
