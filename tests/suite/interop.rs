//! MQTT-SN clients of other people, driven by the scripts in `tests/interop/mqttsn`.
