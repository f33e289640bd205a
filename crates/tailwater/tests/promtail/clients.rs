//! Several clients, tenants, and labels from the command line.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tailwater_testkit::fault_sink::FaultSink;
use tailwater_testkit::oracle::Verdict;

use crate::rig::{DEADLINE, Rig, append, labels};

const ONE_JOB: &str = "scrape_configs:\n\
    - job_name: app\n  \
      static_configs: [{ labels: { job: app, own: file, __path__: DIR/logs/*.log } }]\n";

#[test]
fn a_client_that_is_down_does_not_hold_up_the_other() {
    let rig = Rig::new();
    let mut other = FaultSink::start().unwrap();
    let (port, url) = (other.port(), other.url());
    other.stop();
    rig.configure(&format!(
        "clients: [{{ name: other, url: '{url}', batchwait: 50ms, external_labels: {{ to: other }}, \
         backoff_config: {{ min_period: 20ms, max_period: 200ms }} }}]\n{ONE_JOB}"
    ));
    let mut writer = rig.writer("logs/a.log", 1);
    writer.write_lines(500).unwrap();
    let mut promtail = rig.start(&[]);
    let has_all = |written| {
        rig.sink
            .wait_until(|state| state.has_all(&[written]), DEADLINE)
    };
    assert!(has_all(writer.written()), "{}", promtail.log());
    writer.write_lines(500).unwrap();
    let written = [writer.written()];
    assert!(has_all(written[0]), "{}", promtail.log());
    other.start_at(port).unwrap();
    assert!(other.wait_until(|state| state.has_all(&written), DEADLINE));
    rig.settle(&promtail, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    let verdict = other.inspect(|state| Verdict::new(&written, state));
    verdict.assert_exact_by_timestamp();
    let streams = other.inspect(|state| {
        let entries = state.entries().iter();
        entries.map(labels).collect::<BTreeSet<_>>()
    });
    let path = rig.path("logs/a.log").display().to_string();
    let expected = format!(r#"{{filename="{path}", job="app", own="file", to="other"}}"#);
    assert_eq!(streams, BTreeSet::from([expected]));
    promtail.stop();
}

#[test]
fn labels_of_the_command_line_are_on_every_line_that_has_no_own() {
    let rig = Rig::new();
    rig.configure(ONE_JOB);
    let mut writer = rig.writer("logs/a.log", 1);
    writer.write_lines(100).unwrap();
    let mut promtail = rig.start(&["-client.external-labels=node=n1,own=flag"]);
    let written = [writer.written()];
    rig.settle(&promtail, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    let path = rig.path("logs/a.log").display().to_string();
    let expected = format!(r#"{{filename="{path}", job="app", node="n1", own="file"}}"#);
    let found: BTreeSet<String> = rig.entries().iter().map(labels).collect();
    assert_eq!(found, BTreeSet::from([expected]));
    promtail.stop();
}

#[test]
fn lines_go_to_the_tenants_that_a_stage_chooses() {
    let rig = Rig::new();
    rig.configure(
        "scrape_configs:\n\
         - job_name: app\n  \
           pipeline_stages:\n  \
           - regex: { expression: '^(?P<who>[a-z]+) ' }\n  \
           - tenant: { source: who }\n  \
           static_configs: [{ labels: { job: app, __path__: DIR/logs/*.log } }]\n",
    );
    let mut text = String::new();
    for number in 0..300 {
        let who = ["red ", "green ", "9 "][number % 3];
        writeln!(text, "{who}{number}").unwrap();
    }
    append(&rig.path("logs/a.log"), &text);
    let mut promtail = rig.start(&[]);
    rig.settle_lines(&promtail, 300);
    promtail.stop();
    assert_eq!(rig.entries().len(), 300, "each line once");
    for entry in rig.entries() {
        let line = String::from_utf8(entry.line).unwrap();
        let (who, _) = line.split_once(' ').unwrap();
        let expected = Some(who).filter(|who| *who != "9");
        assert_eq!(entry.tenant.as_deref(), expected, "{line}");
        assert!(!entry.labels.contains("tenant"), "{}", entry.labels);
    }
}

#[test]
fn lines_for_a_tenant_that_cannot_be_hold_up_no_others() {
    let rig = Rig::new();
    rig.configure(
        "scrape_configs:\n\
         - job_name: app\n  \
           pipeline_stages:\n  \
           - regex: { expression: '^\\[(?P<who>[^]]*)\\] ' }\n  \
           - tenant: { source: who }\n  \
           static_configs: [{ labels: { job: app, __path__: DIR/logs/*.log } }]\n",
    );
    let mut text = String::new();
    for number in 0..300 {
        let who = ["a\u{1}b", "", "red"][number % 3];
        writeln!(text, "[{who}] {number}").unwrap();
    }
    append(&rig.path("logs/a.log"), &text);
    let mut promtail = rig.start(&[]);
    rig.settle_lines(&promtail, 200);
    let rejected = promtail
        .metrics()
        .sum("tailwater_rejected_records_total", &[("reason", "tenant")]);
    promtail.stop();
    assert!((rejected - 100.0).abs() < 0.5, "{rejected}");
    assert_eq!(rig.entries().len(), 200, "each line once");
    for entry in rig.entries() {
        let line = String::from_utf8(entry.line).unwrap();
        let expected = line.starts_with("[red]").then_some("red");
        assert_eq!(entry.tenant.as_deref(), expected, "{line}");
    }
}
