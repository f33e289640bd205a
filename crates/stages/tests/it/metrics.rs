//! `metrics`.

use tailwater_record::TimestampNs;
use tailwater_stages::{Sample, SampleValue};

use crate::kit::*;

fn snapshot(run: &Run) -> Vec<Sample> {
    run.stages.registry().snapshot(TimestampNs(run.now))
}

/// The value of the only series of the only metric, after some lines behind a `json`.
fn value(metric: &str, lines: &[&str]) -> Option<SampleValue> {
    let yaml =
        format!("- json: {{ expressions: {{ v: , s: }} }}\n- metrics: {{ m: {{ {metric} }} }}");
    let mut run = Run::new(&yaml);
    for line in lines {
        run.line(line);
    }
    let sample = snapshot(&run).pop().unwrap();
    sample.series.first().map(|series| series.value.clone())
}

const LINES: &[&str] = &[
    r#"{"v":2}"#,
    r#"{"v":"3.5"}"#,
    r#"{"v":"500ms"}"#,
    r#"{"v":true}"#,
    r#"{"v":"x"}"#,
    "text",
];

#[test]
fn counters_count_lines_or_add_values() {
    let counter = |config: &str| {
        value(
            &format!("type: Counter, source: v, config: {{ {config} }}"),
            LINES,
        )
    };
    assert_eq!(counter("action: inc"), Some(SampleValue::Counter(5.0)));
    assert_eq!(counter("action: ADD"), Some(SampleValue::Counter(7.0)));
    assert_eq!(
        counter("action: inc, value: '3.5'"),
        Some(SampleValue::Counter(1.0))
    );
    assert_eq!(
        counter("action: inc, match_all: true"),
        Some(SampleValue::Counter(6.0))
    );
    let bytes: usize = LINES.iter().map(|line| line.len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a few bytes")]
    let bytes = bytes as f64;
    let all = counter("action: add, match_all: true, count_entry_bytes: true");
    assert_eq!(all, Some(SampleValue::Counter(bytes)));
}

#[test]
fn a_counter_does_not_go_down() {
    let counter = "type: counter, source: v, config: { action: add }";
    assert_eq!(
        value(counter, &[r#"{"v":3}"#, r#"{"v":-2}"#]),
        Some(SampleValue::Counter(3.0))
    );
}

#[test]
fn gauges_have_five_actions() {
    let gauge = |action: &str| {
        value(
            &format!("type: gauge, source: v, config: {{ action: {action} }}"),
            &[r#"{"v":5}"#, r#"{"v":2}"#],
        )
    };
    for (action, expected) in [
        ("set", 2.0),
        ("inc", 2.0),
        ("dec", -2.0),
        ("add", 7.0),
        ("sub", -7.0),
    ] {
        assert_eq!(
            gauge(action),
            Some(SampleValue::Gauge(expected)),
            "{action}"
        );
    }
}

#[test]
fn histograms_have_buckets_sum_and_count() {
    let histogram = "type: histogram, source: v, config: { buckets: [ 1, 2.5, 5 ] }";
    let expected = SampleValue::Histogram {
        buckets: vec![(1.0, 2), (2.5, 3), (5.0, 4)],
        sum: 7.0,
        count: 4,
    };
    assert_eq!(value(histogram, LINES), Some(expected.clone()));
    let histogram = "type: histogram, source: v, config: { buckets: [ 1, 2.5, 5, .inf ] }";
    assert_eq!(value(histogram, LINES), Some(expected));
}

#[test]
fn a_histogram_without_buckets_has_those_of_promtails_library() {
    for config in ["{}", "{ buckets: [] }", "{ buckets: [ .inf ] }"] {
        let histogram = format!("type: histogram, source: v, config: {config}");
        let Some(SampleValue::Histogram { buckets, count, .. }) = value(&histogram, LINES) else {
            panic!("no histogram");
        };
        let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).collect();
        let expected = [
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        assert_eq!((bounds.as_slice(), count), (expected.as_slice(), 4));
    }
}

#[test]
fn a_metric_has_the_prefix_of_promtail_or_its_own_and_the_source_of_its_name() {
    let yaml = "- json: { expressions: { v: } }\n- metrics: { v: { type: counter, description: help, config: { action: inc } }, w: { type: gauge, source: v, prefix: my_, config: { action: set } } }";
    let mut run = Run::new(yaml);
    run.line(r#"{"v":2}"#);
    let samples = snapshot(&run);
    assert_eq!(
        (samples[0].name.as_str(), samples[0].help.as_str()),
        ("promtail_custom_v", "help")
    );
    assert_eq!(samples[0].series.len(), 1);
    assert_eq!(samples[1].name, "my_w");
}

#[test]
fn series_are_the_labels_of_lines_without_internal_ones() {
    let yaml = "- metrics: { m: { type: counter, config: { action: inc, match_all: true } } }";
    let mut run = Run::new(yaml).labels(&[("__path__", "/x"), ("app", "b")]);
    run.line("x");
    run.labels = set(&[("app", "a")]);
    run.line("x").line("x");
    let series = snapshot(&run).remove(0).series;
    assert_eq!(series.len(), 2);
    assert_eq!(
        (series[0].labels.clone(), series[0].value.clone()),
        (set(&[("app", "a")]), SampleValue::Counter(2.0))
    );
    assert_eq!(series[1].labels, set(&[("app", "b")]));
}

#[test]
fn idle_series_are_removed() {
    let yaml = "- metrics: { m: { type: counter, max_idle_duration: 10s, config: { action: inc, match_all: true } } }";
    let mut run = Run::new(yaml);
    run.line("x");
    run.now += 9 * SECOND;
    assert_eq!(snapshot(&run)[0].series.len(), 1);
    run.now += SECOND;
    assert!(snapshot(&run)[0].series.is_empty());
}

#[test]
fn series_are_bounded() {
    let yaml = "- metrics: { m: { type: counter, config: { action: inc, match_all: true } } }";
    let limits = tailwater_stages::Limits {
        max_series: 3,
        ..tailwater_stages::Limits::default()
    };
    let mut run = Run::new(yaml);
    run.stages = tailwater_stages::Stages::compile_within(&stages(yaml), limits).unwrap();
    run.worker = run.stages.worker();
    for app in 0..10 {
        run.labels = set(&[("app", &app.to_string())]);
        run.line("x");
    }
    assert_eq!(snapshot(&run)[0].series.len(), 3);
}

#[test]
fn workers_share_the_metrics() {
    let yaml = "- metrics: { m: { type: counter, config: { action: inc, match_all: true } } }";
    let mut run = Run::new(yaml);
    run.line("x");
    run.worker = run.stages.worker();
    run.line("x");
    assert_eq!(snapshot(&run)[0].series[0].value, SampleValue::Counter(2.0));
}

#[test]
fn metrics_that_cannot_work_are_refused_by_their_key() {
    let refused = |metric: &str| {
        compile_error(&format!("- metrics: {{ m: {{ {metric} }} }}"))
            .path()
            .to_owned()
    };
    assert_eq!(refused("type: summary"), "[0].metrics.m.type");
    assert_eq!(refused("type: counter"), "[0].metrics.m.config.action");
    assert_eq!(
        refused("type: counter, config: { action: set }"),
        "[0].metrics.m.config.action"
    );
    assert_eq!(
        refused("type: counter, config: { action: inc, match_all: true, value: x }"),
        "[0].metrics.m.config.match_all"
    );
    assert_eq!(
        refused("type: counter, config: { action: add, count_entry_bytes: true }"),
        "[0].metrics.m.config.count_entry_bytes"
    );
    for buckets in ["2, 1", "1, .inf, 2", "-.inf, 1", ".nan"] {
        assert_eq!(
            refused(&format!(
                "type: histogram, config: {{ buckets: [ {buckets} ] }}"
            )),
            "[0].metrics.m.config.buckets",
            "{buckets}"
        );
    }
    assert_eq!(
        refused("type: gauge, max_idle_duration: 10ms, config: { action: set }"),
        "[0].metrics.m.max_idle_duration"
    );
    assert_eq!(
        compile_error("- metrics: { m: { type: counter, config: { action: inc } } }\n- metrics: { m: { type: gauge, config: { action: set } } }").path(),
        "[1].metrics.m.type"
    );
}
