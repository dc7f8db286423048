//! The command line, parsed into valid types.

use clap::{Args as ClapArgs, Parser, Subcommand};
use codec_mqttsn::Qos;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// Load on an MQTT-SN 1.2 gateway and figures of what it costs.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) common: Common,
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
pub(crate) struct Common {
    /// The gateway's UDP address, IPv4 loopback
    #[arg(long, global = true, default_value = "127.0.0.1:1884", value_parser = loopback_v4)]
    pub(crate) gateway: SocketAddrV4,
    /// The broker's TCP address, loopback
    #[arg(long, global = true, default_value = "127.0.0.1:1883", value_parser = loopback)]
    pub(crate) broker: SocketAddr,
    /// The gateway's process: its CPU time and resident memory are reported
    #[arg(long, global = true)]
    pub(crate) pid: Option<u32>,
    /// The broker's process: its CPU time is reported
    #[arg(long, global = true)]
    pub(crate) broker_pid: Option<u32>,
    /// Handshakes (CONNECT, REGISTER, SUBSCRIBE) outstanding at once, over all clients
    #[arg(long, global = true, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) handshakes: u32,
    /// Milliseconds before an unanswered message is sent again
    #[arg(long, global = true, default_value = "3000", value_parser = milliseconds)]
    pub(crate) retry_ms: Duration,
    /// Transmissions of one message before it counts as failed
    #[arg(long, global = true, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=10))]
    pub(crate) tries: u8,
    /// Milliseconds between two rounds of sending
    #[arg(long, global = true, default_value = "1", value_parser = milliseconds)]
    pub(crate) tick_ms: Duration,
    /// Seconds for the whole run, after which it reports what it has
    #[arg(long, global = true, default_value = "120", value_parser = seconds)]
    pub(crate) deadline: Duration,
    /// Milliseconds without an arrival after which what is missing counts as lost
    #[arg(long, global = true, default_value = "2000", value_parser = milliseconds)]
    pub(crate) quiet_ms: Duration,
    /// Wake up for each arrival instead of reading once a tick: exact latencies, for about half as much CPU
    /// time again in generator and broker
    #[arg(long, global = true)]
    pub(crate) exact_latency: bool,
    /// Leave the clients connected at the end
    #[arg(long, global = true)]
    pub(crate) keep: bool,
    /// One JSON object instead of the table
    #[arg(long, global = true)]
    pub(crate) json: bool,
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
    #[arg(long, default_value = "load/up")]
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
    #[arg(long, default_value = "load/down")]
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
    /// How long they are kept, in seconds
    #[arg(long, default_value = "30", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Seconds between two PINGREQ of a client; the keep alive interval is twice that
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=30_000))]
    pub(crate) ping: u16,
}

/// A topic id and the name the gateway has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Predefined {
    pub(crate) id: u16,
    pub(crate) name: String,
}

fn loopback_v4(text: &str) -> Result<SocketAddrV4, String> {
    match loopback(text)? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err("clients have IPv4 addresses only".into()),
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|error| format!("{error}: want ADDRESS:PORT"))?;
    let is_loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if is_loopback { Ok(address) } else { Err("only loopback addresses are put under load".into()) }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(number @ 1..=600_000) => Ok(Duration::from_millis(number.into())),
        _ => Err("want 1 to 600000 milliseconds".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(number @ 1..=3600) => Ok(Duration::from_secs(number.into())),
        _ => Err("want 1 to 3600 seconds".into()),
    }
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
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn only_loopback_is_put_under_load() {
        let common = |address: &str| Args::try_parse_from(["load", "connect", "--gateway", address]);
        assert!(common("127.3.2.1:1884").is_ok());
        for refused in ["192.0.2.1:1884", "0.0.0.0:1884", "[::1]:1884", "localhost", "127.0.0.1"] {
            assert!(common(refused).is_err(), "{refused}");
        }
        assert_eq!(loopback("[::1]:1883").map(|address| address.port()), Ok(1883));
        assert!(loopback("[2001:db8::1]:1883").is_err());
    }

    #[test]
    fn qos_minus_one_is_taken_with_and_without_an_equals_sign() {
        for line in [vec!["load", "up", "--qos=-1"], vec!["load", "up", "--qos", "-1"]] {
            match Args::try_parse_from(line).unwrap().scenario {
                Scenario::Up(up) => assert_eq!(up.qos, Qos::MinusOne),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn topic_arguments_are_parsed_at_the_edge() {
        assert_eq!(predefined("7=a/b=c"), Ok(Predefined { id: 7, name: "a/b=c".into() }));
        for refused in ["0=a", "65535=a", "7=", "7", "x=a"] {
            assert!(predefined(refused).is_err(), "{refused}");
        }
        assert_eq!(short("lt"), Ok(*b"lt"));
        for refused in ["l", "ltt", "a+", "ä", "a "] {
            assert!(short(refused).is_err(), "{refused}");
        }
    }
}
