//! MQTT 5.0 and 3.1.1 packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| codec_mqtt::fuzzing::codec(data));
