//! The seed corpus of the fuzz target `mqtt_codec`, replayed.

use codec_mqtt::fuzzing;
use std::path::PathBuf;

#[test]
fn the_fuzz_corpus_breaks_nothing() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/mqtt_codec");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        fuzzing::codec(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 40, "{replayed} files in {}", folder.display());
}
