//! The command line of `tidegate bench tcp`, parsed into valid types.

use crate::dialling::Dialling;
use crate::load::common::{Common, up_to_an_hour};
use crate::span;
use clap::{Args as ClapArgs, Subcommand};
use std::time::Duration;

/// A scenario and what all have.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) dialling: Dialling,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Clients connect as fast as the gateway takes them
    Connect(Connect),
    /// Clients send messages, an MQTT client on the broker counts
    Up(Up),
    /// An MQTT client publishes on the broker, clients count
    Down(Down),
    /// Connected clients only send PING
    Idle(Idle),
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Connect {
    /// Clients, up to 500,000
    #[arg(long, default_value_t = 10_000, value_parser = clients())]
    pub(crate) clients: u32,
    /// Keepalive in CONNECT, in seconds; 0 is off
    #[arg(long, default_value_t = 0)]
    pub(crate) keep_alive: u8,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Up {
    /// Clients, up to 500,000
    #[arg(long, default_value_t = 100, value_parser = clients())]
    pub(crate) clients: u32,
    /// Messages over all clients
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) messages: u64,
    /// Messages per second over all clients; 0 for as many as the window lets through
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub(crate) rate: u64,
    /// Octets of a payload
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(24..=60_000))]
    pub(crate) payload: u16,
    /// Messages that a client sends in one write
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) pipeline: u16,
    /// With `--rate 0`: writes of a client whose messages have not been seen on the broker
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) window: u16,
    /// The topic that the gateway publishes a client's messages to; %c is the client id
    #[arg(long, default_value = "tcp/%c/up", value_parser = topic)]
    pub(crate) topic: String,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Down {
    /// Clients, up to 500,000
    #[arg(long, default_value_t = 100, value_parser = clients())]
    pub(crate) clients: u32,
    /// Messages published on the broker
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) messages: u64,
    /// Messages per second; 0 for as many as the window lets through
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub(crate) rate: u64,
    /// 0 or 1, of publications
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) qos: u8,
    /// Octets of a payload
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(24..=60_000))]
    pub(crate) payload: u16,
    /// With `--rate 0`: messages published and not yet received
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) window: u16,
    /// The topic whose messages the gateway sends to a client; %c is the client id
    #[arg(long, default_value = "tcp/%c/dn", value_parser = topic)]
    pub(crate) topic: String,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Idle {
    /// Clients, up to 500,000
    #[arg(long, default_value_t = 10_000, value_parser = clients())]
    pub(crate) clients: u32,
    /// How long they are kept
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = up_to_an_hour)]
    pub(crate) hold: Duration,
    /// Time between two PING of a client, in whole seconds up to 127; the keepalive is twice that
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = ping_interval)]
    pub(crate) ping: u8,
}

impl Scenario {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::Idle(_) => "idle",
        }
    }
}

fn clients() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=500_000)
}

fn ping_interval(text: &str) -> Result<u8, String> {
    let interval = span::within(text, 1000..=127_000)?;
    u8::try_from(interval.as_millis().div_ceil(1000)).map_err(|error| error.to_string())
}

/// The client id must be a level of its own, so that a filter can stand for all clients.
fn topic(text: &str) -> Result<String, String> {
    let is_one = text.split('/').filter(|level| *level == "%c").count() == 1;
    if is_one && text.matches("%c").count() == 1 && !text.contains(['+', '#']) {
        Ok(text.to_owned())
    } else {
        Err("want a topic with %c as one of its levels, as tcp/%c/up".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialling::Framing;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &str) -> Result<Args, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_loopback_and_the_standard_ports() {
        let args = parsed("up").unwrap();
        assert_eq!(
            (args.dialling.gateway.to_string(), args.dialling.framing),
            ("127.0.0.1:8090".into(), Framing::Emqx)
        );
        let args = parsed("up --framing line --tls --ca x --gateway h:1 --username d-%c").unwrap();
        assert!(args.dialling.tls && args.dialling.framing == Framing::Line);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for refused in [
            "connect --clients 500001",
            "connect --keep-alive 256",
            "connect --ca x",
            "connect --password-file x",
            "connect --framing smoke",
            "up --pipeline 0",
            "up --payload 23",
            "up --topic up",
            "up --topic a%c/up",
            "up --topic %c/%c",
            "up --topic %c/#",
            "down --qos 2",
            "idle --ping 128s",
            "idle --ping 10ms",
        ] {
            assert!(parsed(refused).is_err(), "{refused}");
        }
    }
}
