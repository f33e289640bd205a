//! Durations, sizes and numbers: of Go, as the stages take them, of our own configuration, and of
//! `Retry-After`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tailwater_record::TimestampNs;
use tailwater_stages::{
    DropConfig, MetricConfig, MetricSettings, MultilineConfig, SampleValue, StageConfig,
};

use crate::pass;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let waits = pass::compile(&[multiline(text)]).is_some();
    let older = pass::compile(&[drop(Some(text), None)]).is_some();
    assert_eq!(waits, older, "one duration, two stages");
    pass::compile(&[drop(None, Some(text))]);
    let value = gauge(text);
    if waits {
        let seconds = value.expect("a duration is a number of seconds");
        assert!(seconds >= 0.0 && seconds.is_finite());
        let unsigned = text.trim_start_matches(['+', '-']);
        assert_eq!(gauge(&format!("-{unsigned}")), Some(-seconds.abs()));
    }
    check_own(text);
    // What a server asks for is never taken for more than it says.
    let wait = tailwater_sink::parse_retry_after(text, SystemTime::UNIX_EPOCH);
    if let (Some(wait), Ok(seconds)) = (wait, text.trim().parse()) {
        assert!(wait <= Duration::from_secs(seconds));
    }
}

fn multiline(wait: &str) -> StageConfig {
    StageConfig::Multiline(MultilineConfig {
        firstline: "^a".to_owned(),
        max_wait_time: Some(wait.to_owned()),
        heading: None,
        max_lines: None,
    })
}

fn drop(older_than: Option<&str>, longer_than: Option<&str>) -> StageConfig {
    StageConfig::Drop(DropConfig {
        older_than: older_than.map(str::to_owned),
        longer_than: longer_than.map(str::to_owned),
        ..DropConfig::default()
    })
}

/// The number that a metric takes the text for.
fn gauge(text: &str) -> Option<f64> {
    let metric = MetricConfig {
        kind: "Gauge".to_owned(),
        description: String::new(),
        source: Some("v".to_owned()),
        prefix: String::new(),
        max_idle_duration: None,
        config: MetricSettings {
            action: Some("set".to_owned()),
            ..MetricSettings::default()
        },
    };
    let stage = StageConfig::Metrics(BTreeMap::from([("g".to_owned(), metric)]));
    let stages = pass::compile(&[stage]).expect("the metric is right");
    let labels = pass::labels(Some(text));
    pass::lines(&stages, &labels, std::iter::once(&b"line"[..]));
    let samples = stages.registry().snapshot(TimestampNs(pass::NOW));
    let series = samples.first()?.series.first()?;
    match series.value {
        SampleValue::Gauge(value) => Some(value),
        SampleValue::Counter(_) | SampleValue::Histogram { .. } => None,
    }
}

/// What is read is read again from a plainer text for it.
fn check_own(text: &str) {
    if let Ok(duration) = tailwater_sink::parse_duration(text)
        && duration.subsec_nanos().is_multiple_of(1_000_000)
        && let Ok(ms) = u64::try_from(duration.as_millis())
    {
        let again = tailwater_sink::parse_duration(&format!("{ms}ms"));
        assert_eq!(again, Ok(Duration::from_millis(ms)));
    }
    if let Ok(bytes) = tailwater_sink::parse_size(text) {
        assert_eq!(tailwater_sink::parse_size(&format!("{bytes}B")), Ok(bytes));
    }
}
