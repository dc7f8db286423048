//! `[gateways.mqttsn]`, but for `enable` and the listeners.

use std::collections::BTreeMap;

use bridge_core::config::{check_template, check_topic};
use bridge_core::topic::ClientId;
use settings::{ByteSize, HumanDuration, Secret, Section, Settings};

/// Keys of the MQTT-SN gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttsnConfig {
    /// GwId in GWINFO (MQTT-SN 1.2 §5.4.3).
    pub gateway_id: u8,
    /// Whether ADVERTISE is broadcast (MQTT-SN 1.2 §5.4.1).
    pub broadcast: bool,
    /// Time from one ADVERTISE to the next. Told to the devices in whole seconds, at most 65,535.
    pub advertise_interval: HumanDuration,
    /// Whether PUBLISH with QoS −1 is taken.
    pub qos_minus_one: bool,
    /// Predefined topic ids, 1 to 1024, the same for all clients.
    pub predefined: BTreeMap<u16, String>,
    /// Predefined topic ids of single clients, by client id: what is here goes before `predefined`.
    pub predefined_for: BTreeMap<String, BTreeMap<u16, String>>,
    /// Topic ids that one session may hold; dynamic ids run from 1025 to 65,534.
    pub max_topics: u16,
    /// Whether a client that resumes its session is told the topic ids of its subscriptions again (MQTT-SN 1.2 §6.5).
    pub subs_resume: bool,
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
    /// What becomes of the MQTT connection that a client has of its own while the client sleeps, if its session outlives
    /// that.
    pub sleep_link: SleepLink,
    /// User name that every client comes in under, since MQTT-SN has none; empty is none.
    pub username: String,
    /// The password to it.
    pub password: Secret,
    /// CONNACK's return code for a client that may not come in: 3 (not supported), 1 or 128, as in other gateways.
    pub auth_refused_code: u8,
    /// Prefix of every topic of this gateway, with placeholders; empty is none.
    pub mountpoint: String,
    /// Time from the first message of an address until CONNECT is complete.
    pub idle_timeout: HumanDuration,
}

settings::choice! {
    /// `sleep_link`: the MQTT connection of a client that sleeps, where clients have one each.
    pub enum SleepLink {
        /// It stays.
        Keep = "keep",
        /// It goes; PINGREQ brings it back, and then what the broker has kept meanwhile.
        Drop = "drop",
    }
}

impl Default for MqttsnConfig {
    fn default() -> Self {
        Self {
            gateway_id: 1,
            broadcast: false,
            advertise_interval: HumanDuration::from_secs(900),
            qos_minus_one: true,
            predefined: [(1, "predefined/topic/name/hello".to_owned())].into(),
            predefined_for: BTreeMap::new(),
            max_topics: 1024,
            subs_resume: true,
            retry_interval: HumanDuration::from_secs(10),
            max_retries: 3,
            session_expiry: HumanDuration::from_secs(7200),
            sleep_queue: 1000,
            sleep_queue_bytes: ByteSize::from_kb(1024),
            sleep_link: SleepLink::Keep,
            username: String::new(),
            password: Secret::default(),
            auth_refused_code: 3,
            mountpoint: String::new(),
            idle_timeout: HumanDuration::from_secs(30),
        }
    }
}

/// How many dynamic topic ids there are: 1025 to 65,534.
const DYNAMIC_IDS: u16 = 64_510;
/// Ids that may be predefined; 0 is none.
const PREDEFINED_IDS: std::ops::RangeInclusive<u16> = 1..=1024;
/// What Duration in ADVERTISE can say.
const MOST_ADVERTISED: HumanDuration = HumanDuration::from_secs(65_535);

impl Settings for MqttsnConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        let (second, hour) = (HumanDuration::from_secs(1), HumanDuration::from_secs(3600));
        s.leaf("gateway_id", &mut self.gateway_id);
        s.leaf("broadcast", &mut self.broadcast);
        s.ranged("advertise_interval", &mut self.advertise_interval, second..=MOST_ADVERTISED);
        s.leaf("qos_minus_one", &mut self.qos_minus_one);
        s.numbered("predefined", &mut self.predefined, &PREDEFINED_IDS, |topic| check_topic(topic));
        let own = &mut self.predefined_for;
        s.named_numbers("predefined_for", own, &PREDEFINED_IDS, check_client_id, |topic: &String| check_topic(topic));
        s.ranged("max_topics", &mut self.max_topics, 1..=DYNAMIC_IDS);
        s.leaf("subs_resume", &mut self.subs_resume);
        s.ranged("retry_interval", &mut self.retry_interval, second..=hour);
        s.leaf("max_retries", &mut self.max_retries);
        s.leaf("session_expiry", &mut self.session_expiry);
        s.ranged("sleep_queue", &mut self.sleep_queue, 1..=1_000_000);
        s.leaf("sleep_queue_bytes", &mut self.sleep_queue_bytes);
        s.leaf("sleep_link", &mut self.sleep_link);
        s.leaf("username", &mut self.username);
        s.secret("password", &mut self.password);
        s.checked("auth_refused_code", &mut self.auth_refused_code, |&code| match code {
            1 | 3 | 128 => Ok(()),
            _ => Err("is none of 3, 1 and 128".to_owned()),
        });
        s.checked("mountpoint", &mut self.mountpoint, |mountpoint| check_template(mountpoint));
        s.ranged("idle_timeout", &mut self.idle_timeout, second..=hour);
        s.renamed(&[("enable_qos3", "qos_minus_one")]);
        s.renamed(&[("clientinfo_override", "[[auth.chain]] type = \"static\"")]);
    }
}

fn check_client_id(id: &str) -> Result<(), String> {
    ClientId::try_from(id).map(|_| ()).map_err(|fault| fault.to_string())
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
        let text = "predefined = { 7 = \"a/b\", 1024 = \"c\" }\nsleep_queue_bytes = \"2MB\"\nsleep_link = \"drop\"\nmountpoint = \"sn/%c/\"\n\
            advertise_interval = \"65535s\"\nauth_refused_code = 128\nusername = \"sn\"\n\
            [predefined_for.\"lamp 1\"]\n5 = \"x\"\n[predefined_for.dark]";
        let (mut config, problems) = read(text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(config.predefined, [(7, "a/b".into()), (1024, "c".into())].into());
        assert_eq!((config.sleep_queue_bytes, config.sleep_link), (ByteSize::from_kb(2048), SleepLink::Drop));
        assert_eq!(
            config.predefined_for,
            [("lamp 1".into(), [(5, "x".into())].into()), ("dark".into(), [].into())].into()
        );
        assert_eq!(read(&settings::to_toml(&mut config)), (config, vec![]));
    }

    #[test]
    fn the_password_is_nowhere_to_be_seen() {
        let (mut config, problems) = read("password = \"hunter2\"");
        assert_eq!((config.password.expose(), problems.len()), ("hunter2", 0));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!settings::to_toml(&mut config).contains("hunter2"));
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
            ("sleep_link = \"cut\"",         "sleep_link: expected \"keep\" or \"drop\", found \"cut\""),
            ("sleep_queue = 0",             "sleep_queue: expected 1 to 1000000, found the number 0"),
            ("mountpoint = \"a/%x/\"",      "mountpoint: \"a/%x/\" is no topic prefix: unknown placeholder %x"),
            ("auth_refused_code = 2",       "auth_refused_code: the number 2 is none of 3, 1 and 128"),
            ("advertise_interval = \"0s\"", "advertise_interval: expected \"1s\" to \"65535s\", found \"0s\""),
            ("advertise_interval = \"19h\"", "advertise_interval: expected \"1s\" to \"65535s\", found \"19h\""),
            ("predefined_for.lamp.0 = \"a\"", "predefined_for.lamp.0: expected a number from 1 to 1024 as key"),
            ("predefined_for.lamp.1 = \"a/#\"", "predefined_for.lamp.1: \"a/#\" holds a wildcard"),
            ("predefined_for.\"\".1 = \"a\"", "predefined_for.\"\": \"\" is empty"),
            ("subs_resume = 1",             "subs_resume: expected `true` or `false`, found the number 1"),
            ("enable_qos3 = true",          "enable_qos3: is EMQX's name: here it is `qos_minus_one`"),
            ("clientinfo_override = {}",    "clientinfo_override: is EMQX's name: here it is `[[auth.chain]] type = \"static\"`"),
        ] {
            assert_eq!(read(text).1, [expected]);
        }
    }
}
