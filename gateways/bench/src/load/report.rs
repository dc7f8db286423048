//! The figures of a run, once: a table for people, one JSON object for machines.

use crate::failure::Failure;
use crate::load::course::Ended;
use crate::load::histogram::Histogram;
use crate::load::process::{CpuSeconds, Memory, Spent};
use crate::load::tally::Tally;
use serde_json::{Map, Value};

/// Named figures in the order in which they are shown.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<Row>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Row {
    key: String,
    value: Value,
    unit: &'static str,
}

impl Report {
    pub(crate) fn new(scenario: &str) -> Self {
        let mut report = Self { rows: Vec::new(), failure: None };
        report.text("scenario", scenario);
        report
    }

    /// Of a run that came to no figures.
    pub(crate) fn of_failure(scenario: &str, failure: Failure) -> Self {
        let mut report = Self::new(scenario);
        report.ended(Ended::Failure(failure));
        report
    }

    /// How the run ended: `completion`, `duration`, `interrupt`, or `failure` with its `problem`.
    pub(crate) fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Complete => self.text("ended_by", "completion"),
            Ended::Duration => self.text("ended_by", "duration"),
            Ended::Interrupt => self.text("ended_by", "interrupt"),
            Ended::Failure(failure) => {
                self.text("ended_by", "failure");
                self.text("problem", &failure.to_string());
                self.failure = Some(failure);
            }
        }
    }

    /// Why the run failed, if it did.
    pub(crate) const fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.push(key, value.into(), "");
    }

    pub(crate) fn count(&mut self, key: &str, value: impl Into<u64>) {
        self.push(key, value.into().into(), "");
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.push(key, value.into(), "");
    }

    /// A measured figure, rounded to four decimals.
    pub(crate) fn figure(&mut self, key: &str, value: f64, unit: &'static str) {
        self.push(key, ((value * 1e4).round() / 1e4).into(), unit);
    }

    /// p50, p90, p99, p99.9 and the maximum, in microseconds.
    pub(crate) fn latency(&mut self, what: &str, histogram: &Histogram) {
        if histogram.count() == 0 {
            return;
        }
        for (name, per_mille) in [("p50", 500), ("p90", 900), ("p99", 990), ("p999", 999)] {
            self.figure(&format!("{what}_{name}_us"), histogram.quantile(per_mille) as f64 / 1e3, "µs");
        }
        self.figure(&format!("{what}_max_us"), histogram.max() as f64 / 1e3, "µs");
    }

    /// Arrivals against what was `expected`.
    pub(crate) fn arrivals(&mut self, tally: &Tally, expected: u64) {
        self.count("arrived", tally.arrived);
        self.count("lost", expected.saturating_sub(tally.arrived));
        self.figure("loss", percent(expected.saturating_sub(tally.arrived), expected), "%");
        self.count("duplicates", tally.duplicates);
        self.count("reordered", tally.reordered);
        self.count("foreign", tally.foreign);
        self.latency("latency", &tally.latency);
    }

    /// CPU time in all and per 100,000 of `units`, and what the kernel dropped.
    pub(crate) fn cost(&mut self, spent: &Spent, units: u64) {
        let processes = [("gateway", spent.gateway), ("broker", spent.broker), ("generator", Some(spent.own))];
        for (name, cpu) in processes {
            let Some(CpuSeconds { user, system }) = cpu else { continue };
            self.figure(&format!("{name}_cpu_s"), user + system, "s");
            if units > 0 {
                let per_100k = 1e5 / units as f64;
                self.figure(&format!("{name}_cpu_s_per_100k"), (user + system) * per_100k, "s");
                self.figure(&format!("{name}_user_s_per_100k"), user * per_100k, "s");
                self.figure(&format!("{name}_system_s_per_100k"), system * per_100k, "s");
            }
        }
        if let Some([gateway, own]) = spent.drops {
            self.count("gateway_socket_drops", gateway);
            self.count("generator_socket_drops", own);
        }
    }

    /// Resident memory before and after, and what each of `clients` took.
    pub(crate) fn memory(&mut self, before: Memory, after: Memory, clients: u32) {
        for (name, before, after) in [("gateway", before.gateway, after.gateway), ("generator", before.own, after.own)]
        {
            let (Some(before), Some(after)) = (before, after) else { continue };
            self.figure(&format!("{name}_rss_before_kib"), before as f64 / 1024.0, "KiB");
            self.figure(&format!("{name}_rss_after_kib"), after as f64 / 1024.0, "KiB");
            if clients > 0 {
                self.figure(
                    &format!("{name}_rss_per_client_b"),
                    (after as f64 - before as f64) / f64::from(clients),
                    "B",
                );
            }
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.rows.iter().map(|row| (row.key.clone(), row.value.clone())).collect::<Map<_, _>>())
    }

    pub(crate) fn to_table(&self) -> String {
        let width = self.rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
        let mut table = String::new();
        for row in &self.rows {
            let value = row.value.as_str().map_or_else(|| row.value.to_string(), str::to_owned);
            table.push_str(format!("{:width$}  {value:>14} {}", row.key, row.unit).trim_end());
            table.push('\n');
        }
        table
    }

    fn push(&mut self, key: &str, value: Value, unit: &'static str) {
        self.rows.push(Row { key: key.to_owned(), value, unit });
    }
}

/// Events per second of `nanoseconds`; 0 of no time.
pub(crate) fn per_second(events: u64, nanoseconds: u64) -> f64 {
    if nanoseconds == 0 { 0.0 } else { events as f64 * 1e9 / nanoseconds as f64 }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_json_say_the_same() {
        let mut report = Report::new("up");
        report.count("sent", 250_000_u64);
        let cpu = CpuSeconds { user: 0.5, system: 0.75 };
        let spent = Spent { gateway: Some(cpu), broker: None, own: CpuSeconds::default(), drops: Some([3, 0]) };
        report.cost(&spent, 250_000);
        let memory = |gateway: u64| Memory { gateway: Some(gateway), own: None };
        report.memory(memory(1024 * 1024), memory(3 * 1024 * 1024), 4096);
        report.ended(Ended::Duration);
        let json = report.to_json();
        assert_eq!(json["scenario"], "up");
        assert_eq!(json["gateway_cpu_s"], 1.25);
        assert_eq!(json["gateway_cpu_s_per_100k"], 0.5);
        assert_eq!(json["gateway_user_s_per_100k"], 0.2);
        assert_eq!(json["gateway_socket_drops"], 3);
        assert_eq!(json["gateway_rss_per_client_b"], 512.0);
        assert_eq!(json["ended_by"], "duration");
        assert!(json.get("broker_cpu_s").is_none() && json.get("generator_rss_after_kib").is_none());
        assert!(report.take_failure().is_none());
        let table = report.to_table();
        assert_eq!(table.lines().count(), json.as_object().unwrap().len());
        assert!(
            table.lines().any(|line| line.starts_with("gateway_cpu_s_per_100k ") && line.ends_with("0.5 s")),
            "{table}"
        );
    }

    #[test]
    fn a_failed_run_says_why_in_its_report_too() {
        let mut report = Report::of_failure("up", Failure::Gateway("gone".into()));
        let expected = serde_json::json!({ "scenario": "up", "ended_by": "failure", "problem": "gateway: gone" });
        assert_eq!(report.to_json(), expected);
        assert!(report.take_failure().is_some());
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(
            (per_second(5, 0), per_second(5, 500_000_000), percent(1, 0), percent(1, 4)),
            (0.0, 10.0, 0.0, 25.0)
        );
    }
}
