//! `[gateways.tcp]`, and what the table of a listener says about frames.

use bridge_core::Qos;
use bridge_core::template::{Literals, Placeholder, Template};
use codec_rawtcp::{Delimiter, MAX_DELIMITER};
use regex_lite::Regex;
use settings::{ByteSize, HumanDuration, Section, Settings};

settings::choice! {
    /// How messages get to the devices.
    pub enum CommandSubscription {
        /// One subscription for all devices of the node.
        Template = "template",
        /// One for each device.
        PerDevice = "per-device",
    }
}

settings::choice! {
    /// How a listener's streams are cut into messages.
    pub enum FramingKind {
        /// EMQ X's frames: devices say CONNECT.
        Emqx = "emqx",
        /// Up to a delimiter.
        Line = "line",
        /// Behind a length.
        LengthPrefix = "length-prefix",
        /// All of one size.
        Fixed = "fixed",
        /// As they are read.
        Raw = "raw",
    }
}

settings::choice! {
    /// Which octet of a length comes first.
    pub enum ByteOrder {
        /// The most significant.
        Big = "big",
        /// The least significant.
        Little = "little",
    }
}

/// What all clients of the gateway share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// Where messages of a device go, with placeholders.
    pub up_topic: String,
    /// Where messages for a device come from, with placeholders.
    pub dn_topic: String,
    /// QoS of messages of devices, 0 to 2.
    pub uplink_qos: u8,
    /// The most QoS that the subscription for devices asks for, 0 to 2.
    pub downlink_qos: u8,
    /// Messages of one device, at QoS 1 and 2, that the broker has not acknowledged. With as many the device is not read.
    pub max_inflight: u16,
    /// Messages that wait for one device which takes no more just now.
    pub downlink_queue: u32,
    /// Octets of those.
    pub downlink_queue_bytes: ByteSize,
    /// `None`: `template` where all devices share the links to the broker, `per-device` where each has its own.
    pub command_subscription: Option<CommandSubscription>,
    /// Prefix of every topic of this gateway, with placeholders; empty is none.
    pub mountpoint: String,
    /// Time from the first octet of a connection until its device has said who it is, and from the first octet of a
    /// frame until its last.
    pub idle_timeout: HumanDuration,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            up_topic: "tcp/%c/up".to_owned(),
            dn_topic: "tcp/%c/dn".to_owned(),
            uplink_qos: 0,
            downlink_qos: 0,
            max_inflight: 32,
            downlink_queue: 100,
            downlink_queue_bytes: ByteSize::from_kb(256),
            command_subscription: None,
            mountpoint: String::new(),
            idle_timeout: HumanDuration::from_secs(15),
        }
    }
}

impl TcpConfig {
    /// Whether each device is sent what it has said: its messages go where messages for it come from.
    #[must_use]
    pub fn echoes(&self) -> bool {
        let short = |topic: &str| topic.replace("${clientid}", "%c").replace("${username}", "%u");
        short(&self.up_topic) == short(&self.dn_topic)
    }
}

impl Settings for TcpConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        let (second, hour) = (HumanDuration::from_secs(1), HumanDuration::from_secs(3600));
        s.checked("up_topic", &mut self.up_topic, |topic| check_topic(topic));
        s.checked("dn_topic", &mut self.dn_topic, |topic| check_topic(topic));
        s.ranged("uplink_qos", &mut self.uplink_qos, 0..=2);
        s.ranged("downlink_qos", &mut self.downlink_qos, 0..=2);
        s.ranged("max_inflight", &mut self.max_inflight, 1..=u16::MAX);
        s.ranged("downlink_queue", &mut self.downlink_queue, 1..=1_000_000);
        s.leaf("downlink_queue_bytes", &mut self.downlink_queue_bytes);
        s.leaf("command_subscription", &mut self.command_subscription);
        s.checked("mountpoint", &mut self.mountpoint, |mountpoint| bridge_core::config::check_template(mountpoint));
        s.ranged("idle_timeout", &mut self.idle_timeout, second..=hour);
        s.renamed(&[("clientinfo_override", "[[auth.chain]] type = \"static\"")]);
    }
}

/// What the table of a listener says about its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramingConfig {
    /// How they are cut.
    pub framing: FramingKind,
    /// Who a device is that says no CONNECT: `peer`, `first-frame` or `regex:` and a regular expression.
    pub client_id: String,
    /// What ends a line, 1 to 16 bytes.
    pub delimiter: String,
    /// Octets of a length: 1, 2 or 4.
    pub header_width: u8,
    /// The order of those.
    pub header_endianness: ByteOrder,
    /// Octets of each frame, where all have one size.
    pub frame_size: u32,
    /// The most octets of payload in one frame.
    pub max_frame: ByteSize,
}

impl Default for FramingConfig {
    fn default() -> Self {
        Self {
            framing: FramingKind::Emqx,
            client_id: "peer".to_owned(),
            delimiter: "\n".to_owned(),
            header_width: 2,
            header_endianness: ByteOrder::Big,
            frame_size: 8,
            max_frame: ByteSize::from_kb(64),
        }
    }
}

/// The largest frame that may be asked for.
const MOST_FRAME: ByteSize = ByteSize::from_mb(16);

impl Settings for FramingConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("framing", &mut self.framing);
        s.checked("client_id", &mut self.client_id, |text| Naming::read(text).map(drop));
        s.checked("delimiter", &mut self.delimiter, |text| match Delimiter::new(text.as_bytes()) {
            Some(_) => Ok(()),
            None => Err(format!("has {} bytes: 1 to {MAX_DELIMITER} may be", text.len())),
        });
        s.checked("header_width", &mut self.header_width, |width| match width {
            1 | 2 | 4 => Ok(()),
            _ => Err("is none of 1, 2 and 4".to_owned()),
        });
        s.leaf("header_endianness", &mut self.header_endianness);
        s.ranged("frame_size", &mut self.frame_size, 1..=u32::try_from(MOST_FRAME.bytes()).unwrap_or(u32::MAX));
        s.ranged("max_frame", &mut self.max_frame, "1B".parse().unwrap_or(MOST_FRAME)..=MOST_FRAME);
        if self.framing == FramingKind::Fixed && u64::from(self.frame_size) > self.max_frame.bytes() {
            s.refuse("has a `frame_size` above its `max_frame`");
        }
    }
}

impl FramingConfig {
    /// The keys that the framing does not read, whether each is as by default, and the framing that reads it.
    #[must_use]
    pub fn unread(&self) -> Vec<(&'static str, bool, FramingKind)> {
        let Self { framing, client_id, delimiter, header_width, header_endianness, frame_size, max_frame: _ } =
            Self::default();
        let keys = [
            ("client_id", self.client_id == client_id, FramingKind::Line),
            ("delimiter", self.delimiter == delimiter, FramingKind::Line),
            ("header_width", self.header_width == header_width, FramingKind::LengthPrefix),
            ("header_endianness", self.header_endianness == header_endianness, FramingKind::LengthPrefix),
            ("frame_size", self.frame_size == frame_size, FramingKind::Fixed),
        ];
        let read = |(key, _, reader): &(&str, bool, FramingKind)| match *key {
            "client_id" => self.framing != framing,
            _ => self.framing == *reader,
        };
        keys.into_iter().filter(|key| !read(key)).collect()
    }
}

/// Who a device is that says no CONNECT.
#[derive(Clone, Debug)]
pub(crate) enum Naming {
    /// Its address and port.
    Peer,
    /// What it says first.
    FirstFrame,
    /// The first group of this, in what it says first.
    Pattern(Regex),
}

impl Naming {
    /// Reads the key's value.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("regex:")) {
            ("peer", _) => Ok(Self::Peer),
            ("first-frame", _) => Ok(Self::FirstFrame),
            (_, Some(pattern)) => match Regex::new(pattern) {
                Ok(regex) if regex.captures_len() > 1 => Ok(Self::Pattern(regex)),
                Ok(_) => Err("has no group, like \"regex:^id=([0-9]+)\"".to_owned()),
                Err(fault) => Err(format!("is no regular expression: {fault}")),
            },
            (_, None) => Err("is none of \"peer\", \"first-frame\" and \"regex:…\"".to_owned()),
        }
    }
}

/// The QoS of a key that was found to lie in its range.
pub(crate) fn qos(level: u8) -> Qos {
    Qos::from_bits(level).unwrap_or_default()
}

fn check_topic(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let template = Template::parse(text, Literals::TopicName).map_err(|fault| format!("is no topic: {fault}"))?;
    if template.uses().contains(Placeholder::EndpointName) {
        return Err("asks for the endpoint name of a client, but raw TCP has none".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Document;

    fn read<T: Settings + Default>(text: &str) -> (T, Vec<String>) {
        let mut config = T::default();
        let mut document = Document::parse("f", text);
        document.read(&mut config, &mut |_| Ok(String::new()));
        let problems = document.finish().err().unwrap_or_default();
        (config, problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect())
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = "up_topic = \"a/%u/%c\"\nuplink_qos = 1\ndownlink_qos = 2\ncommand_subscription = \"per-device\"\n\
            downlink_queue_bytes = \"2MB\"\nmountpoint = \"t/%n/\"\nidle_timeout = \"1m\"";
        let (mut config, problems) = read::<TcpConfig>(text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(config.command_subscription, Some(CommandSubscription::PerDevice));
        assert_eq!((config.uplink_qos, config.downlink_queue_bytes), (1, ByteSize::from_kb(2048)));
        assert_eq!(read(&settings::to_toml(&mut config)), (config, vec![]));
        let text = "framing = \"line\"\nclient_id = \"regex:^id=(\\\\w+)\"\ndelimiter = \"\\r\\n\"\nheader_width = 4\n\
            header_endianness = \"little\"\nframe_size = 12\nmax_frame = \"1KB\"";
        let (mut framing, problems) = read::<FramingConfig>(text);
        assert_eq!((problems, framing.delimiter.as_str()), (vec![], "\r\n"));
        assert_eq!(read(&settings::to_toml(&mut framing)), (framing, vec![]));
    }

    #[test]
    #[rustfmt::skip]
    fn what_the_gateway_cannot_do_is_refused() {
        for (text, expected) in [
            ("up_topic = \"\"",         "up_topic: \"\" is empty"),
            ("up_topic = \"a/+\"",      "up_topic: \"a/+\" is no topic: character '+' is not allowed here"),
            ("dn_topic = \"a/%x\"",     "dn_topic: \"a/%x\" is no topic: unknown placeholder %x"),
            ("up_topic = \"a/%e\"",     "up_topic: \"a/%e\" asks for the endpoint name of a client, but raw TCP has none"),
            ("uplink_qos = 3",          "uplink_qos: expected 0 to 2, found the number 3"),
            ("max_inflight = 0",        "max_inflight: expected 1 to 65535, found the number 0"),
            ("downlink_queue = 0",      "downlink_queue: expected 1 to 1000000, found the number 0"),
            ("idle_timeout = \"0s\"",   "idle_timeout: expected \"1s\" to \"1h\", found \"0s\""),
            ("command_subscription = \"both\"", "command_subscription: expected \"template\" or \"per-device\", found \"both\""),
            ("mountpoint = \"#\"",      "mountpoint: \"#\" is no topic prefix: character '#' is not allowed here"),
        ] {
            assert_eq!(read::<TcpConfig>(text).1, [expected]);
        }
        for (text, expected) in [
            ("framing = \"lines\"",     "framing: expected \"emqx\", \"line\", \"length-prefix\", \"fixed\" or \"raw\", found \"lines\""),
            ("client_id = \"imei\"",    "client_id: \"imei\" is none of \"peer\", \"first-frame\" and \"regex:…\""),
            ("client_id = \"regex:a\"", "client_id: \"regex:a\" has no group, like \"regex:^id=([0-9]+)\""),
            ("delimiter = \"\"",        "delimiter: \"\" has 0 bytes: 1 to 16 may be"),
            ("header_width = 3",        "header_width: the number 3 is none of 1, 2 and 4"),
            ("frame_size = 0",          "frame_size: expected 1 to 16777216, found the number 0"),
            ("max_frame = \"0B\"",      "max_frame: expected \"1B\" to \"16MB\", found \"0B\""),
            ("framing = \"fixed\"\nframe_size = 9\nmax_frame = 8", ": has a `frame_size` above its `max_frame`"),
        ] {
            assert_eq!(read::<FramingConfig>(text).1, [expected]);
        }
        let broken = read::<FramingConfig>("client_id = \"regex:(\"").1;
        assert!(broken[0].contains("is no regular expression"), "{broken:?}");
    }

    #[test]
    fn each_framing_reads_its_own_keys() {
        for (framing, expected) in [
            ("emqx", "client_id delimiter header_width header_endianness frame_size"),
            ("line", "header_width header_endianness frame_size"),
            ("length-prefix", "delimiter frame_size"),
            ("fixed", "delimiter header_width header_endianness"),
            ("raw", "delimiter header_width header_endianness frame_size"),
        ] {
            let (config, _) = read::<FramingConfig>(&format!("framing = \"{framing}\""));
            let unread: Vec<_> = config.unread().into_iter().map(|(key, ..)| key).collect();
            assert_eq!(unread.join(" "), expected, "{framing}");
        }
    }

    #[test]
    fn a_device_hears_itself_where_both_topics_are_one() {
        for (up, dn, expected) in [
            ("a/%c", "a/%c", true),
            ("a/%c", "a/${clientid}", true),
            ("a/%c/up", "a/%c/dn", false),
            ("a/%c", "a/%u", false),
        ] {
            let config = TcpConfig { up_topic: up.to_owned(), dn_topic: dn.to_owned(), ..TcpConfig::default() };
            assert_eq!(config.echoes(), expected, "{up} {dn}");
        }
    }
}
