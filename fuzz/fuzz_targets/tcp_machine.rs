//! The raw TCP machine on a virtual clock: streams, answers of the broker side and time, then the invariants.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tcp_gateway::fuzzing::machine(data));
