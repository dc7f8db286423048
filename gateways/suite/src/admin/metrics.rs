//! What has been counted, in the text format of OpenMetrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bridge_core::meter::{Family, Kind, Meter, Series};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Of the answer.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The version that runs.
pub(super) const BUILD_INFO: Family =
    Family { name: "tidegate_build_info", help: "The version that runs", kind: Kind::Gauge };
/// When the process started.
pub(super) const START_TIME: Family = Family {
    name: "tidegate_start_time_seconds",
    help: "When the process started, in seconds since the Unix epoch",
    kind: Kind::Gauge,
};

/// All of it. `started_s`: seconds since the Unix epoch.
///
/// # Errors
/// If something cannot be written.
pub(super) fn text<'m>(meters: impl Iterator<Item = &'m Arc<Meter>>, started_s: u64) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register(BUILD_INFO.name.trim_end_matches("_info"), BUILD_INFO.help, version);
    registry.register_collector(Box::new(Sums { sums: add_up(meters), started_s }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

type Labels = &'static [(&'static str, &'static str)];
/// By family name and labels, so that two scrapes have one order.
type ByFamily = BTreeMap<&'static str, (&'static Family, BTreeMap<Labels, u64>)>;

/// The same series of several shards is one.
fn add_up<'m>(meters: impl Iterator<Item = &'m Arc<Meter>>) -> ByFamily {
    let mut sums = ByFamily::new();
    for meter in meters {
        for (Series { family, labels }, value) in meter.read() {
            let (_, series) = sums.entry(family.name).or_insert_with(|| (family, BTreeMap::new()));
            let sum: &mut u64 = series.entry(labels).or_default();
            *sum = sum.wrapping_add(value);
        }
    }
    sums
}

#[derive(Debug)]
struct Sums {
    sums: ByFamily,
    started_s: u64,
}

impl Collector for Sums {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let started = ConstGauge::new(self.started_s);
        started.encode(encoder.encode_descriptor(
            START_TIME.name,
            &sentence(START_TIME.help),
            None,
            MetricType::Gauge,
        )?)?;
        for (family, series) in self.sums.values() {
            // The format puts the suffix of counters there itself.
            let (name, kind) = match family.kind {
                Kind::Counter => (family.name.trim_end_matches("_total"), MetricType::Counter),
                Kind::Gauge => (family.name, MetricType::Gauge),
            };
            let mut metric = encoder.encode_descriptor(name, &sentence(family.help), None, kind)?;
            for (labels, value) in series {
                // One without labels is written without their braces.
                if labels.is_empty() {
                    write_value(&mut metric, family.kind, *value)?;
                } else {
                    write_value(&mut metric.encode_family(labels)?, family.kind, *value)?;
                }
            }
        }
        Ok(())
    }
}

/// As the registry itself writes help texts.
fn sentence(help: &str) -> String {
    format!("{help}.")
}

fn write_value(to: &mut MetricEncoder<'_>, kind: Kind, value: u64) -> Result<(), fmt::Error> {
    match kind {
        Kind::Counter => to.encode_counter::<NoLabelSet, _, u64>(&value, None),
        Kind::Gauge => to.encode_gauge(&value),
    }
}

#[cfg(test)]
mod tests;
