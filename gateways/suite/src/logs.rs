//! Log lines: to standard error, for people or for machines.

mod flood;

use std::fmt;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use config::{LogConfig, LogFormat};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::failure::Failure;
use flood::{Flood, Verdict};

/// What log lines go out, to be changed while they do.
#[derive(Debug)]
pub(crate) struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Of lines that nobody writes.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        Self(reload::Layer::new(EnvFilter::default()).1)
    }

    /// Another level, or filter, from now on.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub(crate) fn set(&self, level: &str) -> Result<(), String> {
        self.0.reload(filter(level)?).map_err(|fault| fault.to_string())
    }
}

/// # Errors
/// If the level is no filter.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(directives(level)).map_err(|fault| format!("log.level: {fault}"))
}

/// Log lines go out from here on.
///
/// # Errors
/// If the level is no filter.
pub(crate) fn start(config: &LogConfig) -> Result<Level, Failure> {
    let filter = filter(&config.level).map_err(|problem| Failure::Configuration(vec![problem]))?;
    let (filter, level) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal();
            lines.with_ansi(colour).map_event_format(|inner| Limited::new(inner, in_text)).boxed()
        }
        LogFormat::Json => lines.json().map_event_format(|inner| Limited::new(inner, in_json)).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|fault| Failure::Running(format!("cannot start logging: {fault}")))?;
    Ok(Level(level))
}

/// The embedded broker tells of each connection at `info`: that is for those who name it.
fn directives(level: &str) -> String {
    match level.trim().to_ascii_lowercase().as_str() {
        quiet @ ("off" | "error") => quiet.to_owned(),
        _ => format!("mqtt5=warn,{level}"),
    }
}

/// Lines per second about single packets and sessions: who sends garbage must not fill the disk.
const PACKET_LINES: u32 = 100;

/// Crates that speak of single packets.
const ABOUT_PACKETS: [&str; 5] = ["mqttsn", "tcp_gateway", "bridge_core", "shard", "transport"];

fn is_about_packets(event: &Metadata<'_>) -> bool {
    let root = event.target().split("::").next().unwrap_or_default();
    *event.level() >= tracing::Level::DEBUG && ABOUT_PACKETS.contains(&root)
}

fn in_text(left_out: u64) -> String {
    format!("… {left_out} more lines about packets were left out\n")
}

fn in_json(left_out: u64) -> String {
    format!(
        "{{\"level\":\"INFO\",\"target\":\"tidegate::logs\",\"fields\":{{\"message\":\"lines about packets left out\",\"count\":{left_out}}}}}\n"
    )
}

/// A format that leaves out what is too much.
struct Limited<F> {
    inner: F,
    flood: Mutex<Flood>,
    start: Instant,
    /// The line that stands for those left out.
    summary: fn(u64) -> String,
}

impl<F> Limited<F> {
    fn new(inner: F, summary: fn(u64) -> String) -> Self {
        Self { inner, flood: Mutex::new(Flood::new(PACKET_LINES)), start: Instant::now(), summary }
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let second = self.start.elapsed().as_secs();
        let limited = is_about_packets(event.metadata());
        let verdict = self.flood.lock().unwrap_or_else(PoisonError::into_inner).admit(second, limited);
        match verdict {
            Verdict::LeaveOut => return Ok(()),
            Verdict::Write { left_out: 0 } => {}
            Verdict::Write { left_out } => writer.write_str(&(self.summary)(left_out))?,
        }
        self.inner.format_event(ctx, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;

    #[test]
    fn the_embedded_broker_is_quiet_unless_it_is_named() {
        for (level, expected) in [
            ("info", "mqtt5=warn,info"),
            ("debug,mqttsn=trace", "mqtt5=warn,debug,mqttsn=trace"),
            ("OFF", "off"),
            ("error", "error"),
        ] {
            assert_eq!(directives(level), expected);
        }
        let named = EnvFilter::try_new(directives("info,mqtt5=debug")).unwrap().to_string();
        assert!(named.contains("mqtt5=debug") && !named.contains("mqtt5=warn"), "{named}");
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_about_packets_are_limited_and_others_are_not() {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .map_event_format(|inner| Limited::new(inner, in_text));
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..PACKET_LINES * 10 {
                tracing::debug!(target: "mqttsn::machine", "malformed");
            }
            for _ in 0..PACKET_LINES * 10 {
                tracing::info!(target: "mqttsn::machine", "operator");
            }
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let packets = text.lines().filter(|line| line.contains("malformed")).count();
        // The loop may run across the end of a second, or of a few on a busy machine.
        assert!((100..=500).contains(&packets), "{packets}");
        assert_eq!(text.lines().filter(|line| line.contains("operator")).count(), 1000);
    }

    #[test]
    fn the_line_that_stands_for_others_is_json_where_lines_are() {
        let line: serde_json::Value = serde_json::from_str(&in_json(7)).unwrap();
        assert_eq!(line["fields"]["count"], 7);
    }
}
