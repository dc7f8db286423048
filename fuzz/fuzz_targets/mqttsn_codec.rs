//! MQTT-SN datagrams.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| codec_mqttsn::fuzzing::codec(data));
