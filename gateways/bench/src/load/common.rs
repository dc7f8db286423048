//! What every load has on its command line, of any protocol.

use crate::endpoint::Endpoint;
use crate::span;
use clap::Args as ClapArgs;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Common {
    /// The broker behind it, MQTT over TCP
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    pub(crate) broker: Endpoint,
    /// User name for the broker
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) broker_username: Option<String>,
    /// File whose first line is the password for the broker
    #[arg(long, global = true, value_name = "FILE", requires = "broker_username")]
    pub(crate) broker_password_file: Option<PathBuf>,
    /// The gateway's process, on this machine: its CPU time and resident memory are reported
    #[arg(long, global = true)]
    pub(crate) pid: Option<u32>,
    /// The broker's process, on this machine: its CPU time is reported
    #[arg(long, global = true, value_name = "PID")]
    pub(crate) broker_pid: Option<u32>,
    /// Handshakes outstanding at once, over all clients
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) handshakes: u32,
    /// CONNECTs per second over all clients; 0 for as many as `--handshakes` lets through
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub(crate) connect_rate: u64,
    /// Time between two rounds of sending
    #[arg(long, global = true, value_name = "TIME", default_value = "1ms", value_parser = up_to_a_second)]
    pub(crate) tick: Duration,
    /// The longest that the whole run may take; then it reports what it has
    #[arg(long, global = true, value_name = "TIME", default_value = "2m", value_parser = up_to_an_hour)]
    pub(crate) duration: Duration,
    /// Time without an arrival after which what is missing counts as lost
    #[arg(long, global = true, value_name = "TIME", default_value = "2s", value_parser = up_to_ten_minutes)]
    pub(crate) quiet: Duration,
    /// Time without a word from the gateway after which the run ends as failed
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = up_to_ten_minutes)]
    pub(crate) silence: Duration,
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

pub(crate) fn up_to_a_second(text: &str) -> Result<Duration, String> {
    span::within(text, 1..=1000)
}

pub(crate) fn up_to_ten_minutes(text: &str) -> Result<Duration, String> {
    span::within(text, 1..=600_000)
}

pub(crate) fn up_to_an_hour(text: &str) -> Result<Duration, String> {
    span::within(text, 1000..=3_600_000)
}
