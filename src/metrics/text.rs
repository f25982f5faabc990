//! Prometheus' text format.

use std::fmt::{Display, Write};

use super::table::Metric;

/// What was written so far.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family; all of its series follow.
    pub(super) fn family(&mut self, metric: &Metric) {
        // Writing to a string cannot fail.
        _ = writeln!(self.0, "# HELP {} {}", metric.name, metric.help);
        _ = writeln!(self.0, "# TYPE {} {}", metric.name, metric.kind);
    }

    /// One series; `labels` come from [`labels`], none are an empty text.
    pub(super) fn series(&mut self, metric: &Metric, labels: &str, value: impl Display) {
        self.part(metric, "", labels, value);
    }

    /// One series of a histogram: its name has an ending.
    pub(super) fn part(
        &mut self,
        metric: &Metric,
        ending: &str,
        labels: &str,
        value: impl Display,
    ) {
        self.0.push_str(metric.name);
        self.0.push_str(ending);
        if !labels.is_empty() {
            self.0.push('{');
            self.0.push_str(labels);
            self.0.push('}');
        }
        _ = writeln!(self.0, " {value}");
    }

    /// A family with one series without labels.
    pub(super) fn single(&mut self, metric: &Metric, value: impl Display) {
        self.family(metric);
        self.series(metric, "", value);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// `name="value",...` with values escaped.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(96);
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    out
}

/// Kafka quotes a tag's value for JMX if it has other characters than these, and the exporter passes the quotes on
/// (docs/spec/metrics.md 3).
pub(super) fn jmx(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-%. \t".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '\\' | '"' | '*' | '?' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
