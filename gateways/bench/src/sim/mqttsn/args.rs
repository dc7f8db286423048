//! The command line of `tidegate sim mqttsn`, parsed into valid types.

use crate::device::{Profile, Will};
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::span;
use clap::Args as ClapArgs;
use codec_mqttsn::Qos;
use std::time::Duration;

/// How many devices do what.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Args {
    /// The gateway, UDP
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1884")]
    pub(crate) gateway: Endpoint,
    /// Devices, up to 10,000
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) devices: u32,
    /// What client ids begin with; a number from 1 follows
    #[arg(long, value_name = "TEXT", default_value = "sim-", value_parser = prefix)]
    pub(crate) prefix: String,
    /// Topic name of the readings; %c is the client id
    #[arg(long, value_name = "TOPIC", default_value = "sim/%c/telemetry", value_parser = topic_name)]
    pub(crate) topic: String,
    /// Topic filter of the commands that each device subscribes to; empty for none
    #[arg(long, value_name = "TOPIC", default_value = "sim/%c/command", value_parser = topic_filter)]
    pub(crate) command: String,
    /// Time from one reading to the next
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Of readings and of the subscription: 0, 1 or 2
    #[arg(long, default_value = "1", value_parser = qos)]
    pub(crate) qos: Qos,
    /// Sleep for this long after each reading, in whole seconds; a device that sleeps wakes to fetch what is held for it,
    /// and publishes if a reading is due
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    pub(crate) sleep: Option<u16>,
    /// A will for the case that a device is lost
    #[arg(long, value_name = "TOPIC=TEXT", num_args = 0..=1, require_equals = true, default_missing_value = "sim/%c/will=lost", value_parser = will)]
    pub(crate) will: Option<Will>,
    /// Keep alive interval, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = whole_seconds)]
    pub(crate) keep_alive: u16,
    /// Time before an unanswered message is sent again
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = retry)]
    pub(crate) retry: Duration,
    /// Transmissions of one message until the connection counts as lost
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=10))]
    pub(crate) tries: u8,
    /// End after this time; without it, at Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Tell nothing
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// One JSON object a line
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}

/// Octets of a client id (MQTT-SN 1.2 §5.3.1).
const LONGEST_CLIENT_ID: usize = 23;
/// Octets of a topic: with the client id it still fits into a small datagram.
const LONGEST_TOPIC: usize = 200;

impl Args {
    /// The client id of device `number`, from 0.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it is too long.
    pub(crate) fn client_id(&self, number: u32) -> Result<String, Failure> {
        let client_id = format!("{}{}", self.prefix, u64::from(number) + 1);
        if client_id.len() <= LONGEST_CLIENT_ID {
            return Ok(client_id);
        }
        Err(Failure::Usage(format!(
            "{client_id}: a client id has at most {LONGEST_CLIENT_ID} octets; take a shorter --prefix"
        )))
    }

    pub(crate) fn profile(&self) -> Profile {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Profile {
            topic: self.topic.clone(),
            command: Some(self.command.clone()).filter(|command| !command.is_empty()),
            interval: milliseconds(self.interval),
            qos: self.qos,
            sleep: self.sleep,
            will: self.will.clone(),
            keep_alive: self.keep_alive,
            retry_after: milliseconds(self.retry),
            tries: self.tries,
        }
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_graphic() && !"/+#%".contains(c);
    if text.chars().all(is_plain) { Ok(text.to_owned()) } else { Err("want printable ASCII without / + # %".into()) }
}

fn topic_name(text: &str) -> Result<String, String> {
    let text = topic_filter(text)?;
    if text.is_empty() || text.contains(['+', '#']) {
        Err("want a topic name, without wildcards".into())
    } else {
        Ok(text)
    }
}

fn topic_filter(text: &str) -> Result<String, String> {
    if text.len() > LONGEST_TOPIC || text.chars().any(char::is_control) {
        return Err(format!("want at most {LONGEST_TOPIC} octets, without control characters"));
    }
    Ok(text.to_owned())
}

fn will(text: &str) -> Result<Will, String> {
    let (topic, payload) = text.split_once('=').ok_or("want TOPIC=TEXT")?;
    let payload = payload.to_owned();
    if payload.len() > LONGEST_TOPIC {
        Err("the text is too long".into())
    } else {
        Ok(Will { topic: topic_name(topic)?, payload })
    }
}

fn qos(text: &str) -> Result<Qos, String> {
    match text {
        "0" => Ok(Qos::AtMostOnce),
        "1" => Ok(Qos::AtLeastOnce),
        "2" => Ok(Qos::ExactlyOnce),
        _ => Err("want 0, 1 or 2".into()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    span::within(text, 100..=86_400_000)
}

fn retry(text: &str) -> Result<Duration, String> {
    span::within(text, 100..=600_000)
}

fn duration(text: &str) -> Result<Duration, String> {
    span::within(text, 1..=30 * 86_400_000)
}

fn whole_seconds(text: &str) -> Result<u16, String> {
    let seconds = span::within(text, 1000..=65_535_000)?.as_millis().div_ceil(1000);
    u16::try_from(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &str) -> Result<Args, String> {
        let words = std::iter::once("sim").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_ten_devices_of_the_gateway_on_this_machine_publish_every_five_seconds() {
        let args = parsed("").unwrap();
        assert_eq!((args.gateway.to_string().as_str(), args.devices), ("127.0.0.1:1884", 10));
        let profile = args.profile();
        assert_eq!((profile.interval, profile.retry_after, profile.tries), (5000, 10_000, 4));
        assert_eq!((profile.command.as_deref(), profile.sleep, profile.will), (Some("sim/%c/command"), None, None));
        assert_eq!([0, 9].map(|number| args.client_id(number).unwrap()), ["sim-1", "sim-10"]);
    }

    #[test]
    fn a_will_has_a_default_and_may_be_spelt_out() {
        let will = |line: &str| parsed(line).unwrap().will.map(|will| (will.topic, will.payload));
        assert_eq!(will("--will"), Some(("sim/%c/will".into(), "lost".into())));
        assert_eq!(will("--will=a/b=c=d --qos 2"), Some(("a/b".into(), "c=d".into())));
        assert!(parsed("--will=a").is_err() && parsed("--will=a/+=x").is_err());
    }

    #[test]
    fn an_empty_command_topic_is_no_subscription() {
        let words = ["sim", "--command", ""];
        assert_eq!(Cli::try_parse_from(words).unwrap().args.profile().command, None);
    }

    #[test]
    fn client_ids_are_as_long_as_the_specification_allows() {
        let args = parsed("--prefix 12345678901234567890 --devices 1000").unwrap();
        assert!(args.client_id(998).is_ok() && matches!(args.client_id(999), Err(Failure::Usage(_))));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for refused in [
            "--devices 0",
            "--devices 10001",
            "--topic a/#",
            "--prefix a/b",
            "--interval 5",
            "--interval 10ms",
            "--qos -1",
            "--qos 3",
            "--sleep 500ms",
            "--sleep 20h",
            "--keep-alive 0s",
            "--json -q",
            "--gateway localhost",
        ] {
            assert!(parsed(refused).is_err(), "{refused}");
        }
        for taken in ["--sleep 60s", "--devices 10000", "--command all/#", "-q --duration 1m", "--interval 1d"] {
            assert!(parsed(taken).is_ok(), "{taken}: {:?}", parsed(taken));
        }
    }
}
