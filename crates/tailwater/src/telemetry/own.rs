//! Our own series that come and go with what is configured: requests, tenants, and the metrics that
//! stages make of lines.

use tailwater_engine::SinkStatus;
use tailwater_stages::{Sample, SampleValue, Series};

use super::exposition::{Exposition, Kind, status_word};

const REQUEST_DURATION: &str = "tailwater_request_duration_seconds";

/// Writes what sinks and tenants have sent.
pub(super) fn put_sinks(out: &mut Exposition, sinks: &[SinkStatus]) {
    out.family(
        REQUEST_DURATION,
        Kind::Histogram,
        "How long requests took, by the status of the answer; -1 where there was none.",
    );
    for sink in sinks {
        for durations in &sink.request_durations {
            let status = status_word(durations.status);
            let labels = [("sink", sink.name.as_str()), ("status", &status)];
            out.durations(REQUEST_DURATION, &labels, durations);
        }
    }
    put_tenants(out, sinks);
}

fn put_tenants(out: &mut Exposition, sinks: &[SinkStatus]) {
    type Figure = fn(&tailwater_engine::TenantCounts) -> u64;
    let families: [(&str, &str, Figure); 4] = [
        (
            "tailwater_encoded_bytes_total",
            "Bytes of bodies that were to be sent, each once.",
            |counts| counts.encoded_bytes,
        ),
        (
            "tailwater_sent_bytes_total",
            "Bytes of bodies that the backend has taken.",
            |counts| counts.sent_bytes,
        ),
        (
            "tailwater_sent_records_total",
            "Records that the backend has taken.",
            |counts| counts.sent_records,
        ),
        (
            "tailwater_retries_total",
            "Attempts that failed and were made again.",
            |counts| counts.retries,
        ),
    ];
    for (name, help, figure) in families {
        out.family(name, Kind::Counter, help);
        for sink in sinks {
            for (tenant, counts) in &sink.tenants {
                let labels = [("sink", sink.name.as_str()), ("tenant", tenant)];
                out.count(name, &labels, figure(counts));
            }
        }
    }
}

/// Writes the metrics of stages under the names that the configuration gives them. One that would be
/// taken for ours is left out.
pub(super) fn put_stages(out: &mut Exposition, samples: &[Sample]) {
    for sample in samples {
        let Some(first) = sample.series.first() else {
            continue;
        };
        let name = valid_name(&sample.name);
        let is_ours = ["tailwater_", "process_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        let kind = match first.value {
            SampleValue::Counter(_) => Kind::Counter,
            SampleValue::Gauge(_) => Kind::Gauge,
            SampleValue::Histogram { .. } => Kind::Histogram,
        };
        if is_ours || !out.family(&name, kind, &sample.help) {
            continue;
        }
        for series in &sample.series {
            put_series(out, &name, series);
        }
    }
}

fn put_series(out: &mut Exposition, name: &str, series: &Series) {
    // `le` is the bound of a bucket.
    let labels: Vec<(&str, &str)> = series
        .labels
        .iter()
        .filter(|(label, _)| *label != "le")
        .collect();
    match &series.value {
        SampleValue::Counter(value) | SampleValue::Gauge(value) => {
            out.sample(name, &labels, *value);
        }
        SampleValue::Histogram {
            buckets,
            sum,
            count,
        } => out.histogram(name, &labels, buckets.iter().copied(), (*sum, *count)),
    }
}

/// Makes a name that a metric may have.
fn valid_name(name: &str) -> String {
    let is_allowed = |index: usize, char: char| {
        char.is_ascii_alphabetic() || "_:".contains(char) || (index > 0 && char.is_ascii_digit())
    };
    let chars = name.chars().enumerate();
    chars
        .map(|(index, char)| if is_allowed(index, char) { char } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use tailwater_record::LabelSet;

    use super::*;

    fn sample(name: &str, labels: &[(&str, &str)], value: SampleValue) -> Sample {
        Sample {
            name: name.to_owned(),
            help: "help".to_owned(),
            series: vec![Series {
                labels: LabelSet::new(labels.iter().copied()).unwrap(),
                value,
            }],
        }
    }

    fn check(samples: &[Sample], expected: &str) {
        let mut out = Exposition::default();
        put_stages(&mut out, samples);
        assert_eq!(out.into_text(), expected);
    }

    #[test]
    fn metrics_of_stages_stand_under_their_own_names() {
        check(
            &[sample(
                "promtail_custom_hits",
                &[("path", "/a\"b")],
                SampleValue::Counter(2.0),
            )],
            "# HELP promtail_custom_hits help\n# TYPE promtail_custom_hits counter\n\
             promtail_custom_hits{path=\"/a\\\"b\"} 2\n",
        );
    }

    #[test]
    fn a_histogram_of_a_stage_has_its_buckets_and_no_label_le_of_its_own() {
        let value = SampleValue::Histogram {
            buckets: vec![(1.0, 1)],
            sum: 4.0,
            count: 2,
        };
        check(
            &[sample("h", &[("le", "x")], value)],
            "# HELP h help\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n\
             h_sum 4\nh_count 2\n",
        );
    }

    #[test]
    fn a_metric_of_a_stage_is_never_taken_for_ours() {
        let ours = sample("tailwater_files", &[], SampleValue::Gauge(1.0));
        check(&[ours], "");
        assert_eq!(valid_name("1a-b c"), "_a_b_c");
    }
}
