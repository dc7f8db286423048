//! The command line of `tidegate sim tcp`, parsed into valid types.

use crate::device::tcp::Profile;
use crate::dialling::Dialling;
use crate::span;
use clap::Args as ClapArgs;
use std::time::Duration;

/// How many devices do what.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) dialling: Dialling,
    /// Devices, up to 10,000
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) devices: u32,
    /// What client ids begin with; a number from 1 follows
    #[arg(long, value_name = "TEXT", default_value = "sim-", value_parser = prefix)]
    pub(crate) prefix: String,
    /// Time from one reading to the next
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// Keepalive in CONNECT, in whole seconds up to 255s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = keep_alive)]
    keep_alive: u8,
    /// Time that an answer is waited for
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = patience)]
    patience: Duration,
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

impl Args {
    /// The client id of device `number`, from 0.
    pub(crate) fn client_id(&self, number: u32) -> String {
        format!("{}{}", self.prefix, u64::from(number) + 1)
    }

    pub(crate) fn profile(&self) -> Profile {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Profile {
            interval: milliseconds(self.interval),
            keepalive_s: self.keep_alive,
            patience: milliseconds(self.patience),
        }
    }
}

/// Octets of what client ids begin with: with the number they fit into any frame.
const LONGEST_PREFIX: usize = 200;

fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_graphic() && !"/+#%".contains(c);
    if text.len() <= LONGEST_PREFIX && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("want at most {LONGEST_PREFIX} printable ASCII characters without / + # %"))
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    span::within(text, 100..=86_400_000)
}

fn patience(text: &str) -> Result<Duration, String> {
    span::within(text, 100..=600_000)
}

fn duration(text: &str) -> Result<Duration, String> {
    span::within(text, 1..=30 * 86_400_000)
}

fn keep_alive(text: &str) -> Result<u8, String> {
    u8::try_from(span::within(text, 1000..=255_000)?.as_millis().div_ceil(1000)).map_err(|error| error.to_string())
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

    #[test]
    fn without_arguments_ten_devices_send_every_five_seconds_and_nonsense_is_refused() {
        let parsed =
            |line: &str| Cli::try_parse_from(std::iter::once("sim").chain(line.split_whitespace())).map(|cli| cli.args);
        let args = parsed("").unwrap();
        assert_eq!((args.dialling.gateway.to_string().as_str(), args.devices), ("127.0.0.1:8090", 10));
        assert_eq!((args.profile().interval, args.profile().keepalive_s), (5000, 60));
        assert_eq!([0, 9].map(|number| args.client_id(number)), ["sim-1", "sim-10"]);
        for refused in
            ["--devices 0", "--devices 10001", "--prefix a/b", "--keep-alive 256s", "--interval 10ms", "-q --json"]
        {
            assert!(parsed(refused).is_err(), "{refused}");
        }
    }
}
