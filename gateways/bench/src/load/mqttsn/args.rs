//! The command line of `tidegate bench mqttsn`, parsed into valid types.

use crate::endpoint::Endpoint;
use crate::load::common::{Common, up_to_an_hour, up_to_ten_minutes};
use crate::span;
use clap::{Args as ClapArgs, Subcommand};
use codec_mqttsn::Qos;
use std::time::Duration;

/// A scenario and what all have.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) common: Common,
    /// The gateway, UDP
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:1884")]
    pub(crate) gateway: Endpoint,
    /// Time before an unanswered message is sent again
    #[arg(long, global = true, value_name = "TIME", default_value = "3s", value_parser = up_to_ten_minutes)]
    pub(crate) retry: Duration,
    /// Transmissions of one message before it counts as failed
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=10))]
    pub(crate) tries: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Clients connect as fast as the gateway takes them
    Connect(Connect),
    /// Clients publish, an MQTT client on the broker counts
    Up(Up),
    /// An MQTT client publishes on the broker, clients that subscribed count
    Down(Down),
    /// Connected clients only send PINGREQ
    Idle(Idle),
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Connect {
    /// Clients, up to a million
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) clients: u32,
    /// Keep alive interval in CONNECT, in seconds
    #[arg(long, default_value_t = 3600)]
    pub(crate) keep_alive: u16,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Up {
    /// Clients, up to a million
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) clients: u32,
    /// Messages over all clients
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) messages: u64,
    /// Messages per second over all clients; 0 for as many as the windows let through
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub(crate) rate: u64,
    /// −1, 0, 1 or 2
    #[arg(long, default_value = "0", value_parser = qos, allow_hyphen_values = true)]
    pub(crate) qos: Qos,
    /// Octets of a payload
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(24..=1400))]
    pub(crate) payload: u16,
    /// Publications a client has in flight at QoS 1 and 2; below, and with `--rate 0`, those not yet seen on the broker
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) window: u16,
    /// What topic names begin with; client `i` publishes to `<topic>/<i>`
    #[arg(long, default_value = "bench/up")]
    pub(crate) topic: String,
    /// Publish to a predefined topic instead, `ID=NAME` as the gateway has it
    #[arg(long, value_parser = predefined, conflicts_with = "short")]
    pub(crate) predefined: Option<Predefined>,
    /// Publish to a short topic name instead, two characters; QoS −1 takes `lt` if nothing else is said
    #[arg(long, value_parser = short)]
    pub(crate) short: Option<[u8; 2]>,
    /// What the gateway puts before topic names
    #[arg(long, default_value = "")]
    pub(crate) mountpoint: String,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Down {
    /// Clients, up to a million
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) clients: u32,
    /// Messages published on the broker
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) messages: u64,
    /// Messages per second; 0 for as many as the window lets through
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub(crate) rate: u64,
    /// 0 or 1, of publications and subscriptions
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) qos: u8,
    /// Octets of a payload
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(24..=1400))]
    pub(crate) payload: u16,
    /// With `--rate 0`: messages published and not yet received
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) window: u16,
    /// What topic names begin with; client `i` subscribes to `<topic>/<i>`
    #[arg(long, default_value = "bench/down")]
    pub(crate) topic: String,
    /// All clients subscribe to `<topic>/all`: one message goes to each
    #[arg(long)]
    pub(crate) fan_out: bool,
    /// What the gateway puts before topic names
    #[arg(long, default_value = "")]
    pub(crate) mountpoint: String,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Idle {
    /// Clients, up to a million
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) clients: u32,
    /// How long they are kept
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = up_to_an_hour)]
    pub(crate) hold: Duration,
    /// Time between two PINGREQ of a client, in whole seconds; the keep alive interval is twice that
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = ping_interval)]
    pub(crate) ping: u16,
}

/// A topic id and the name the gateway has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Predefined {
    pub(crate) id: u16,
    pub(crate) name: String,
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

fn ping_interval(text: &str) -> Result<u16, String> {
    let interval = span::within(text, 1000..=30_000_000)?;
    u16::try_from(interval.as_millis().div_ceil(1000)).map_err(|error| error.to_string())
}

fn qos(text: &str) -> Result<Qos, String> {
    match text {
        "-1" => Ok(Qos::MinusOne),
        "0" => Ok(Qos::AtMostOnce),
        "1" => Ok(Qos::AtLeastOnce),
        "2" => Ok(Qos::ExactlyOnce),
        _ => Err("want -1, 0, 1 or 2".into()),
    }
}

fn predefined(text: &str) -> Result<Predefined, String> {
    let parts = text.split_once('=').map(|(id, name)| (id.parse::<u16>(), name));
    match parts {
        Some((Ok(id @ 1..=65_534), name)) if !name.is_empty() => Ok(Predefined { id, name: name.into() }),
        _ => Err("want ID=NAME, the id from 1 to 65534".into()),
    }
}

fn short(text: &str) -> Result<[u8; 2], String> {
    <[u8; 2]>::try_from(text.as_bytes())
        .ok()
        .filter(|name| name.iter().all(u8::is_ascii_graphic) && !text.contains(['+', '#']))
        .ok_or_else(|| "want two printable ASCII characters, no wildcard".into())
}

#[cfg(test)]
mod tests;
