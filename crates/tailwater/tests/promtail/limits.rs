//! What is dropped and cut, and how it is counted.

use crate::rig::{Rig, append, texts};

fn one_job(stages: &str) -> String {
    format!(
        "scrape_configs:\n- job_name: app\n  pipeline_stages:\n{stages}  \
         static_configs: [{{ labels: {{ job: app, __path__: DIR/logs/*.log }} }}]\n"
    )
}

#[test]
fn lines_over_the_rate_are_dropped_and_counted() {
    let rig = Rig::new();
    rig.configure(&format!(
        "limits_config: {{ readline_rate_enabled: true, readline_rate: 10, readline_burst: 50, readline_rate_drop: true }}\n{}",
        one_job("  - static_labels: { a: b }\n")
    ));
    let mut writer = rig.writer("logs/a.log", 1);
    writer.write_lines(5_000).unwrap();
    let mut promtail = rig.start(&[]);
    let dropped = |promtail: &crate::rig::Promtail| {
        let labels = [("reason", "global_rate_limiter_drop")];
        promtail
            .metrics()
            .sum("logentry_dropped_lines_total", &labels)
    };
    promtail.wait_until("every line is read", |promtail| {
        let stored = rig.entries().len();
        let all = dropped(promtail) + f64::from(u32::try_from(stored).unwrap());
        all > 4_999.5
    });
    promtail.wait_settled();
    let stored = rig.entries().len();
    assert!((50..1_000).contains(&stored), "{stored} lines were stored");
    let missing = u64::try_from(5_000 - stored).unwrap();
    rig.verdict(&[writer.written()])
        .assert_exact_but_for(missing);
    promtail.stop();
}

#[test]
fn long_lines_are_dropped_and_counted_or_cut() {
    for (is_cut, expected) in [
        ("false", vec!["short", "also short"]),
        ("true", vec!["short", "0123456789012345", "also short"]),
    ] {
        let rig = Rig::new();
        rig.configure(&format!(
            "limits_config: {{ max_line_size: 16, max_line_size_truncate: {is_cut} }}\n{}",
            one_job("  - static_labels: { a: b }\n")
        ));
        let text = "short\n01234567890123456789\nalso short\n";
        append(&rig.path("logs/a.log"), text);
        let mut promtail = rig.start(&[]);
        rig.settle_lines(&promtail, expected.len());
        assert_eq!(texts(&rig.entries()), expected);
        let metrics = promtail.metrics();
        let reason = [("reason", "line_too_long")];
        let (name, bytes) = if is_cut == "true" {
            ("promtail_mutated_entries_total", 4.0)
        } else {
            ("promtail_dropped_entries_total", 0.0)
        };
        assert!(metrics.sum(name, &reason) > 0.5, "{name}");
        let mutated = metrics.sum("promtail_mutated_bytes_total", &reason);
        assert!((mutated - bytes).abs() < 0.5, "{mutated} bytes were cut");
        promtail.stop();
    }
}

#[test]
fn stages_drop_with_their_reasons_and_make_metrics() {
    let rig = Rig::new();
    rig.configure(&one_job(
        "  - json: { expressions: { level: , ms: } }\n  \
           - labels: { level: }\n  \
           - metrics:\n      \
             lines_seen: { type: Counter, description: all, config: { match_all: true, action: inc } }\n      \
             ms: { type: Histogram, source: ms, config: { buckets: [10, 100] } }\n  \
           - match: { selector: '{level=\"debug\"}', action: drop, drop_counter_reason: noise }\n  \
           - drop: { expression: heartbeat }\n",
    ));
    let text = "{\"level\":\"info\",\"ms\":5}\n{\"level\":\"debug\",\"ms\":50}\n\
                {\"level\":\"info\",\"ms\":500,\"t\":\"heartbeat\"}\n{\"level\":\"warn\",\"ms\":50}\n";
    append(&rig.path("logs/a.log"), text);
    let mut promtail = rig.start(&[]);
    rig.settle_lines(&promtail, 2);
    promtail.wait_until("all lines are read", |promtail| {
        promtail.metrics().sum("promtail_custom_lines_seen", &[]) > 3.5
    });
    promtail.wait_settled();
    let metrics = promtail.metrics();
    let dropped = |reason: &str| {
        let labels = [("reason", reason)];
        metrics.sum("logentry_dropped_lines_total", &labels)
    };
    assert!((dropped("noise") - 1.0).abs() < 0.5);
    assert!((dropped("drop_stage") - 1.0).abs() < 0.5);
    assert!((metrics.sum("promtail_custom_ms_count", &[]) - 4.0).abs() < 0.5);
    assert!((metrics.sum("promtail_custom_ms_sum", &[]) - 605.0).abs() < 0.5);
    assert_eq!(rig.entries().len(), 2, "each line once");
    promtail.stop();
}
