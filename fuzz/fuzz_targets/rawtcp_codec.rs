//! Raw TCP frames, of either direction and in any framing, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| codec_rawtcp::fuzzing::codec(data));
