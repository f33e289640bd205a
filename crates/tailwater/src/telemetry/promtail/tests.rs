use std::collections::BTreeSet;
use std::path::PathBuf;

use tailwater_engine::{DeadLetterStatus, Lost, RouteBooks, SinkState, SpillStatus};
use tailwater_sink::DURATION_BUCKETS;
use tailwater_testkit::metrics::Metrics;

use super::*;

fn sink(name: &str, host: &str) -> SinkStatus {
    SinkStatus {
        name: name.to_owned(),
        target: format!("http://{host}/loki/api/v1/push"),
        host: host.to_owned(),
        state: SinkState::Delivering,
        failure: None,
        requests: 0,
        request_durations: Vec::new(),
        tenants: [(String::new(), TenantCounts::default())].into(),
        failures: Vec::new(),
        delivered_batches: 0,
        delivered_bytes: 0,
        splits: 0,
        in_flight_batches: 0,
        queued_batches: 0,
        queue_used_bytes: 0,
        queue_max_bytes: 0,
        oldest_unacked: None,
        spill: SpillStatus::default(),
        dead_letters: DeadLetterStatus::default(),
    }
}

fn durations(status: Option<u16>) -> RequestDurations {
    RequestDurations {
        status,
        buckets: [1; DURATION_BUCKETS.len()],
        sum_seconds: 0.004,
        count: 1,
    }
}

fn file(path: &str, inode: u64, sink: &str) -> FileStatus {
    FileStatus {
        source: "logs".to_owned(),
        sink: sink.to_owned(),
        path: PathBuf::from(path),
        current_path: Some(PathBuf::from(path)),
        device: 1,
        inode,
        fingerprint: (String::new(), 0),
        read_offset: 10,
        read_lines: 2,
        acked_offset: 5,
        size_bytes: 20,
        is_rotated: false,
        is_open: true,
        oldest_unacked: None,
    }
}

fn render(status: &Status, stages: &StageFigures) -> Metrics {
    let mut out = Exposition::default();
    let process = Process {
        sources: 2,
        reloads: 3,
        failed_reloads: 4,
    };
    put(&mut out, status, stages, process);
    Metrics::parse(&out.into_text()).unwrap()
}

/// One sink that was asked three times, and one file.
fn busy() -> Status {
    let mut busy = sink("loki", "loki:3100");
    busy.request_durations = vec![durations(None), durations(Some(204)), durations(Some(500))];
    Status {
        sinks: vec![busy],
        files: vec![file("/var/log/a.log", 1, "loki")],
        ..Status::default()
    }
}

#[test]
fn every_reason_stands_at_zero_before_it_is_met() {
    let metrics = render(&busy(), &StageFigures::default());
    for name in [
        "promtail_dropped_bytes_total",
        "promtail_dropped_entries_total",
        "promtail_mutated_bytes_total",
        "promtail_mutated_entries_total",
    ] {
        for reason in REASONS {
            let labels = [("host", "loki:3100"), ("tenant", ""), ("reason", reason)];
            assert_eq!(metrics.get(name, &labels), Some(0.0), "{name} {reason}");
        }
    }
    let labels = [("host", "loki:3100"), ("tenant", "")];
    assert_eq!(
        metrics.get("promtail_batch_retries_total", &labels),
        Some(0.0)
    );
}

#[test]
fn what_is_sent_and_lost_is_added_up_by_host_and_tenant() {
    let counts = TenantCounts {
        encoded_bytes: 7,
        sent_records: 2,
        sent_bytes: 5,
        retries: 1,
        lost: [(
            "ingester_error",
            Lost {
                records: 3,
                bytes: 2,
            },
        )]
        .into(),
    };
    let mut sinks = vec![sink("one", "loki"), sink("two", "loki")];
    for sink in &mut sinks {
        sink.tenants = [("shop".to_owned(), counts.clone())].into();
        sink.request_durations = vec![durations(Some(204))];
    }
    let books = RouteBooks {
        sink: "one".into(),
        truncated_lines: 6,
        ..RouteBooks::default()
    };
    let status = Status {
        sinks,
        books: vec![books],
        stage_truncated: (3, 70),
        ..Status::default()
    };
    let stages = StageFigures {
        dropped_lines: [(Cow::Borrowed("line_too_long"), 8)].into(),
        ..StageFigures::default()
    };
    let metrics = render(&status, &stages);
    let check = |name: &str, reason: &str, expected: f64| {
        let labels = [("host", "loki"), ("tenant", "shop"), ("reason", reason)];
        assert_eq!(
            metrics.get(name, &labels),
            Some(expected),
            "{name} {reason}"
        );
    };
    check("promtail_dropped_entries_total", "ingester_error", 6.0);
    check("promtail_dropped_bytes_total", "ingester_error", 4.0);
    check("promtail_dropped_entries_total", "line_too_long", 16.0);
    check("promtail_mutated_entries_total", "line_too_long", 12.0);
    check("promtail_mutated_bytes_total", "line_too_long", 140.0);
    let host = [("host", "loki")];
    let get = |name| metrics.get(name, &host);
    assert_eq!(get("promtail_encoded_bytes_total"), Some(14.0));
    assert_eq!(get("promtail_sent_bytes_total"), Some(10.0));
    assert_eq!(get("promtail_sent_entries_total"), Some(4.0));
    assert_eq!(get("promtail_batch_retries_total"), Some(2.0));
    assert_eq!(get("promtail_request_duration_seconds_count"), Some(2.0));
}

#[test]
fn requests_without_an_answer_have_the_status_minus_one() {
    let metrics = render(&busy(), &StageFigures::default());
    for status in ["-1", "204", "500"] {
        let labels = [("status_code", status), ("host", "loki:3100")];
        let count = metrics.get("promtail_request_duration_seconds_count", &labels);
        assert_eq!(count, Some(1.0), "{status}");
        let all = [labels[0], labels[1], ("le", "+Inf")];
        let bucket = metrics.get("promtail_request_duration_seconds_bucket", &all);
        assert_eq!(bucket, Some(1.0), "{status}");
    }
}

#[test]
fn a_file_has_its_series_while_it_is_followed_however_many_sinks_read_it() {
    let mut status = busy();
    status.files.push(file("/var/log/a.log", 1, "second"));
    let hostile = "/var/log/\"\n\\{}.log";
    status.files.push(file(hostile, 2, "loki"));
    let mut gone = file("/var/log/gone.log", 3, "loki");
    (gone.is_rotated, gone.current_path) = (true, None);
    status.files.push(gone);
    let metrics = render(&status, &StageFigures::default());
    for path in ["/var/log/a.log", hostile] {
        let of = |name| metrics.get(name, &[("path", path)]);
        assert_eq!(of("promtail_read_bytes_total"), Some(10.0));
        assert_eq!(of("promtail_file_bytes_total"), Some(20.0));
        assert_eq!(of("promtail_read_lines_total"), Some(2.0));
    }
    let gone = [("path", "/var/log/gone.log")];
    assert_eq!(metrics.get("promtail_read_bytes_total", &gone), None);
    assert_eq!(metrics.get("promtail_files_active_total", &[]), Some(3.0));
    status.files.clear();
    let metrics = render(&status, &StageFigures::default());
    assert_eq!(metrics.samples("promtail_read_bytes_total", &[]).count(), 0);
}

#[test]
fn what_stages_drop_is_counted_by_reason_and_by_label() {
    let stages = StageFigures {
        dropped_lines: [(Cow::Borrowed("drop_stage"), 4)].into(),
        dropped_by_label: vec![("pod".to_owned(), "a\"b".to_owned(), 2)],
        ..StageFigures::default()
    };
    let metrics = render(&busy(), &stages);
    let reason = [("reason", "drop_stage")];
    let dropped = metrics.get("logentry_dropped_lines_total", &reason);
    assert_eq!(dropped, Some(4.0));
    let label = [("label_name", "pod"), ("label_value", "a\"b")];
    let dropped = metrics.get("logentry_dropped_lines_by_label_total", &label);
    assert_eq!(dropped, Some(2.0));
}

#[test]
fn the_process_is_described() {
    let mut status = busy();
    status.tailing.refusals = 5;
    let metrics = render(&status, &StageFigures::default());
    let single = |name| metrics.get(name, &[]);
    assert_eq!(single("promtail_targets_active_total"), Some(2.0));
    assert_eq!(single("promtail_config_reload_success_total"), Some(3.0));
    assert_eq!(single("promtail_config_reload_fail_total"), Some(4.0));
    assert_eq!(single("promtail_build_info"), Some(1.0));
    let failed = metrics.get("promtail_targets_failed_total", &[("reason", "open")]);
    assert_eq!(failed, Some(5.0));
    for level in ["error", "warn", "info", "debug"] {
        let logged = metrics.get("log_messages_total", &[("level", level)]);
        assert!(logged.is_some(), "{level}");
    }
}

/// The expressions of Promtail's mixin: its alerts, its recording rules, its dashboard.
const MIXIN: [&str; 14] = [
    "100 * sum(rate(promtail_request_duration_seconds_count{status_code=~\"5..|failed\"}[1m])) by \
     (cluster, namespace, job, route, instance) / \
     sum(rate(promtail_request_duration_seconds_count[1m])) by (cluster, namespace, job, route, \
     instance) > 10",
    "promtail_file_bytes_total unless promtail_read_bytes_total",
    "histogram_quantile(0.99, sum(rate(promtail_request_duration_seconds_bucket[1m])) by (le, \
     cluster, job))",
    "histogram_quantile(0.50, sum(rate(promtail_request_duration_seconds_bucket[1m])) by (le, \
     cluster, job, namespace))",
    "histogram_quantile(0.99, sum(rate(promtail_request_duration_seconds_bucket[1m])) by (le, \
     cluster, job, status_code, namespace))",
    "sum(rate(promtail_request_duration_seconds_sum[1m])) by (cluster, job, status_code, \
     namespace) / sum(rate(promtail_request_duration_seconds_count[1m])) by (cluster, job, \
     status_code, namespace)",
    "sum(rate(promtail_request_duration_seconds_bucket[1m])) by (le, cluster, job, status_code, \
     namespace)",
    "sum(promtail_targets_active_total{cluster=\"a\", job=\"b\"})",
    "sum(promtail_files_active_total{cluster=\"a\", job=\"b\"})",
    "sum(rate(promtail_read_bytes_total{cluster=\"a\", job=\"b\"}[1m]))",
    "sum(rate(promtail_read_lines_total{cluster=\"a\", job=\"b\"}[1m]))",
    "sum by (status_code) (rate(promtail_request_duration_seconds_count{cluster=\"a\"}[1m]))",
    "sum(rate(promtail_sent_bytes_total[1m])) by (host)",
    "topk(10, sum(rate(promtail_dropped_entries_total[5m])) by (host, tenant, reason))",
];

/// Labels that the scrape adds, and `route`, which Promtail never had.
const OF_THE_SCRAPE: [&str; 5] = ["cluster", "namespace", "job", "instance", "route"];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .filter(|word| !word.is_empty())
}

/// Returns the names of labels in `by (…)` and in `{…}`.
fn labels_in(expression: &str) -> BTreeSet<&str> {
    let grouped = expression.split("by (").skip(1);
    let grouped = grouped.filter_map(|rest| rest.split(')').next());
    let matched = expression.split('{').skip(1);
    let matched = matched
        .filter_map(|rest| rest.split('}').next())
        .flat_map(|matchers| matchers.split(','))
        .filter_map(|matcher| matcher.split('=').next());
    grouped
        .flat_map(words)
        .chain(matched.flat_map(words))
        .filter(|label| !OF_THE_SCRAPE.contains(label))
        .collect()
}

#[test]
fn the_mixin_of_promtail_finds_every_metric_and_label_it_asks_for() {
    let metrics = render(&busy(), &StageFigures::default());
    for expression in MIXIN {
        let names: BTreeSet<&str> = words(expression)
            .filter(|word| word.starts_with("promtail_"))
            .collect();
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            let labels = labels_in(expression);
            let found: Vec<_> = metrics.samples(name, &[]).collect();
            assert!(!found.is_empty(), "{name}: {expression}");
            // A bucket has a bound; the count and the sum beside it have none.
            for label in labels {
                let has_label = found.iter().all(|sample| sample.labels.contains_key(label));
                assert!(has_label, "{label} of {name}: {expression}");
            }
        }
    }
}

#[test]
fn the_alert_for_missing_files_stays_silent_while_every_file_is_read() {
    let metrics = render(&busy(), &StageFigures::default());
    let paths = |name| -> BTreeSet<String> {
        let samples = metrics.samples(name, &[]);
        samples
            .map(|sample| sample.labels["path"].clone())
            .collect()
    };
    let known = paths("promtail_file_bytes_total");
    assert!(!known.is_empty());
    assert_eq!(known, paths("promtail_read_bytes_total"));
}

#[test]
fn the_alert_for_errors_counts_server_errors_as_it_did_in_promtail() {
    let metrics = render(&busy(), &StageFigures::default());
    let name = "promtail_request_duration_seconds_count";
    let is_matched = |status: &str| {
        let is_5xx = status.len() == 3 && status.starts_with('5');
        is_5xx || status == "failed"
    };
    let failed: f64 = metrics
        .samples(name, &[])
        .filter(|sample| is_matched(&sample.labels["status_code"]))
        .map(|sample| sample.value)
        .sum();
    assert!((failed - 1.0).abs() < f64::EPSILON, "{failed}");
}
