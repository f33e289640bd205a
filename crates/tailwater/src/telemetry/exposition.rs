//! Prometheus' text format, written by hand: for figures that are kept elsewhere, and for series that
//! may vanish.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tailwater_sink::{DURATION_BUCKETS, RequestDurations};

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A text under way. No family is written twice.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    families: BTreeSet<String>,
}

impl Exposition {
    /// Begins the samples of a metric; returns false, and writes nothing, where it was there before.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) -> bool {
        if !self.families.insert(name.to_owned()) {
            return false;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string cannot fail, here and below.
        write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").ok();
        true
    }

    /// Writes one sample. Label values may hold anything, names of labels are valid.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            for char in value.chars() {
                match char {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {}", number(value)).ok();
    }

    /// Writes one sample of a count.
    pub(super) fn count(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.sample(name, labels, super::float(value));
    }

    /// Writes the series of a histogram.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        buckets: impl IntoIterator<Item = (f64, u64)>,
        (sum, count): (f64, u64),
    ) {
        let infinity = (f64::INFINITY, count);
        let bucket = format!("{name}_bucket");
        for (bound, below) in buckets.into_iter().chain([infinity]) {
            let bound = number(bound);
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.count(&bucket, &with_bound, below);
        }
        self.sample(&format!("{name}_sum"), labels, sum);
        self.count(&format!("{name}_count"), labels, count);
    }

    /// Writes the histogram of how long requests took.
    pub(super) fn durations(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        durations: &RequestDurations,
    ) {
        let buckets = DURATION_BUCKETS.into_iter().zip(durations.buckets);
        let all = (durations.sum_seconds, durations.count);
        self.histogram(name, labels, buckets, all);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Writes a status as a label: `-1` where there was no answer, which is Promtail's word for it.
pub(super) fn status_word(status: Option<u16>) -> String {
    status.map_or_else(|| "-1".to_owned(), |status| status.to_string())
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        let word = if value > 0.0 { "+Inf" } else { "-Inf" };
        word.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_label_values_stay_in_their_quotes() {
        let mut out = Exposition::default();
        assert!(out.family("a", Kind::Gauge, "line\nbreak\\"));
        out.sample("a", &[("path", "x\"} 1\nb{y=\"\\")], 1.0);
        assert_eq!(
            out.into_text(),
            "# HELP a line\\nbreak\\\\\n# TYPE a gauge\na{path=\"x\\\"} 1\\nb{y=\\\"\\\\\"} 1\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_all_of_its_values() {
        let mut out = Exposition::default();
        out.histogram("h", &[("a", "b")], [(0.5, 1)], (2.5, 3));
        assert_eq!(
            out.into_text(),
            "h_bucket{a=\"b\",le=\"0.5\"} 1\nh_bucket{a=\"b\",le=\"+Inf\"} 3\nh_sum{a=\"b\"} 2.5\n\
             h_count{a=\"b\"} 3\n"
        );
    }

    #[test]
    fn a_family_is_begun_once() {
        let mut out = Exposition::default();
        assert!(out.family("a", Kind::Counter, ""));
        assert!(!out.family("a", Kind::Counter, ""));
    }
}
