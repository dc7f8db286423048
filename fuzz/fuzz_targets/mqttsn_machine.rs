//! The MQTT-SN machine on a virtual clock: datagrams, answers of the broker side and time, then the invariants.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mqttsn::fuzzing::machine(data));
