//! `[gateways.mqttsn]`, but for `enable` and the listeners.

use std::collections::BTreeMap;

use bridge_core::config::{check_template, check_topic};
use settings::{ByteSize, HumanDuration, Section, Settings};

/// Keys of the MQTT-SN gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttsnConfig {
    /// GwId in GWINFO (MQTT-SN 1.2 §5.4.3).
    pub gateway_id: u8,
    /// Whether PUBLISH with QoS −1 is taken.
    pub qos_minus_one: bool,
    /// Predefined topic ids, 1 to 1024, the same for all clients.
    pub predefined: BTreeMap<u16, String>,
    /// Topic ids that one session may hold; dynamic ids run from 1025 to 65,534.
    pub max_topics: u16,
    /// Wait before an unanswered message is sent again (T_retry, MQTT-SN 1.2 §7.2).
    pub retry_interval: HumanDuration,
    /// Retransmissions before the client counts as lost (N_retry, MQTT-SN 1.2 §7.2).
    pub max_retries: u8,
    /// How long a session with CleanSession 0 is kept after its client has gone.
    pub session_expiry: HumanDuration,
    /// Messages held for one client that is not there, or that has yet to acknowledge earlier ones.
    pub sleep_queue: u32,
    /// Octets of those.
    pub sleep_queue_bytes: ByteSize,
    /// Prefix of every topic of this gateway, with placeholders; empty is none.
    pub mountpoint: String,
    /// Time from the first message of an address until CONNECT is complete.
    pub idle_timeout: HumanDuration,
}

impl Default for MqttsnConfig {
    fn default() -> Self {
        Self {
            gateway_id: 1,
            qos_minus_one: true,
            predefined: [(1, "predefined/topic/name/hello".to_owned())].into(),
            max_topics: 1024,
            retry_interval: HumanDuration::from_secs(10),
            max_retries: 3,
            session_expiry: HumanDuration::from_secs(7200),
            sleep_queue: 1000,
            sleep_queue_bytes: ByteSize::from_kb(1024),
            mountpoint: String::new(),
            idle_timeout: HumanDuration::from_secs(30),
        }
    }
}

/// How many dynamic topic ids there are: 1025 to 65,534.
const DYNAMIC_IDS: u16 = 64_510;

impl Settings for MqttsnConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        let (second, hour) = (HumanDuration::from_secs(1), HumanDuration::from_secs(3600));
        s.leaf("gateway_id", &mut self.gateway_id);
        s.leaf("qos_minus_one", &mut self.qos_minus_one);
        s.numbered("predefined", &mut self.predefined, &(1..=1024), |topic| check_topic(topic));
        s.ranged("max_topics", &mut self.max_topics, 1..=DYNAMIC_IDS);
        s.ranged("retry_interval", &mut self.retry_interval, second..=hour);
        s.leaf("max_retries", &mut self.max_retries);
        s.leaf("session_expiry", &mut self.session_expiry);
        s.ranged("sleep_queue", &mut self.sleep_queue, 1..=1_000_000);
        s.leaf("sleep_queue_bytes", &mut self.sleep_queue_bytes);
        s.checked("mountpoint", &mut self.mountpoint, |mountpoint| check_template(mountpoint));
        s.ranged("idle_timeout", &mut self.idle_timeout, second..=hour);
        s.not_in_this_version(&[
            "broadcast",
            "advertise_interval",
            "predefined_for",
            "subs_resume",
            "auth_refused_code",
            "username",
            "password",
            "password_file",
        ]);
        s.renamed(&[("enable_qos3", "qos_minus_one")]);
        s.renamed_and_not_in_this_version(&[("clientinfo_override", "[[auth.chain]] type = \"static\"")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Document;

    fn read(text: &str) -> (MqttsnConfig, Vec<String>) {
        let mut config = MqttsnConfig::default();
        let mut document = Document::parse("f", text);
        document.read(&mut config, &mut |_| Ok(String::new()));
        let problems = document.finish().err().unwrap_or_default();
        (config, problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect())
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = "predefined = { 7 = \"a/b\", 1024 = \"c\" }\nsleep_queue_bytes = \"2MB\"\nmountpoint = \"sn/%c/\"";
        let (mut config, problems) = read(text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(config.predefined, [(7, "a/b".into()), (1024, "c".into())].into());
        assert_eq!(config.sleep_queue_bytes, ByteSize::from_kb(2048));
        assert_eq!(read(&settings::to_toml(&mut config)), (config, vec![]));
    }

    #[test]
    #[rustfmt::skip]
    fn what_the_protocol_cannot_do_is_refused() {
        for (text, expected) in [
            ("gateway_id = 256",            "gateway_id: expected a whole number from 0 to 255, found the number 256"),
            ("predefined.0 = \"a\"",        "predefined.0: expected a number from 1 to 1024 as key"),
            ("predefined.1025 = \"a\"",     "predefined.1025: expected a number from 1 to 1024 as key"),
            ("predefined.2 = \"a/+\"",      "predefined.2: \"a/+\" holds a wildcard"),
            ("predefined.2 = \"\"",         "predefined.2: \"\" is empty"),
            ("max_topics = 64511",          "max_topics: expected 1 to 64510, found the number 64511"),
            ("retry_interval = \"0s\"",     "retry_interval: expected \"1s\" to \"1h\", found \"0s\""),
            ("sleep_queue = 0",             "sleep_queue: expected 1 to 1000000, found the number 0"),
            ("mountpoint = \"a/%x/\"",      "mountpoint: \"a/%x/\" is no topic prefix: unknown placeholder %x"),
            ("auth_refused_code = 1",       "auth_refused_code: not in this version"),
            ("predefined_for.lamp.1 = \"a\"", "predefined_for: not in this version"),
            ("enable_qos3 = true",          "enable_qos3: is EMQX's name: here it is `qos_minus_one`"),
            ("clientinfo_override = {}",    "clientinfo_override: is EMQX's name: here it is `[[auth.chain]] type = \"static\"`, not in this version"),
        ] {
            assert_eq!(read(text).1, [expected]);
        }
    }
}
