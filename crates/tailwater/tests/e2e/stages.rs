//! Stages on the way of a line: what they join, drop and send elsewhere, and what becomes of it across
//! rotation, reload and kills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{Mode, SinkState};
use tailwater_testkit::metrics::books;
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

const MULTILINE: &str =
    "    stages: [ { multiline: { firstline: '^START', max_wait_time: 2s } } ]\n";

pub(crate) fn append(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log rotation renames without syncing"
)]
fn rotate(path: &Path) {
    std::fs::rename(path, path.with_extension("log.1")).unwrap();
}

/// The distinct lines that were stored, with the timestamps that each had.
fn stored(state: &SinkState) -> BTreeMap<String, BTreeSet<i64>> {
    let mut lines: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for entry in state.entries() {
        let line = String::from_utf8(entry.line.clone()).unwrap();
        lines.entry(line).or_default().insert(entry.timestamp_ns);
    }
    lines
}

#[track_caller]
pub(crate) fn wait_lines(rig: &Rig, agent: &Agent, expected: &[&str]) {
    let has_all = |state: &SinkState| {
        let stored = stored(state);
        expected.iter().all(|line| stored.contains_key(*line))
    };
    let arrived = rig.sink.wait_until(has_all, DEADLINE);
    let found = rig.sink.inspect(stored);
    assert!(
        arrived,
        "{expected:?} is not all of {found:?}\n{}",
        agent.log()
    );
}

/// Asserts that just these lines were stored, and each under one timestamp.
#[track_caller]
pub(crate) fn assert_lines(rig: &Rig, expected: &[&str]) {
    let found = rig.sink.inspect(stored);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let repeated: Vec<_> = found
        .iter()
        .filter(|(_, stamps)| stamps.len() > 1)
        .collect();
    assert!(
        repeated.is_empty(),
        "under several timestamps: {repeated:?}"
    );
}

fn position(agent: &Agent) -> Option<u64> {
    let status = agent.status().unwrap();
    let offset = status.pointer("/files/0/offset");
    offset.and_then(serde_json::Value::as_u64)
}

#[track_caller]
fn wait_position(agent: &Agent, expected: u64) {
    wait::until(DEADLINE, "the position is where it should be", || {
        position(agent) == Some(expected)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}, not {expected}", position(agent)));
}

pub(crate) fn count(agent: &Agent, name: &str) -> f64 {
    agent.metrics().unwrap().sum(name, &[])
}

#[test]
fn joined_lines_arrive_as_one_record_and_the_position_stays_at_an_open_group() {
    let rig = Rig::new(MULTILINE, "");
    let path = rig.log("a.log");
    let first = "START one\n  more\n  and more\n";
    append(&path, &format!("{first}START two\n  open\n"));
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["START one\n  more\n  and more"]);
    wait_position(&agent, first.len() as u64);
    wait_lines(&rig, &agent, &["START two\n  open"]);
    wait_settled(&agent);
    wait_position(&agent, std::fs::metadata(&path).unwrap().len());
    assert_lines(
        &rig,
        &["START one\n  more\n  and more", "START two\n  open"],
    );
    assert!((count(&agent, "tailwater_read_lines_total") - 5.0).abs() < 0.5);
    assert!((count(&agent, "tailwater_read_records_total") - 2.0).abs() < 0.5);
    assert!((count(&agent, "tailwater_joined_lines_total") - 3.0).abs() < 0.5);
    stop(&mut agent);
}

#[test]
fn what_is_held_when_the_agent_is_killed_is_read_again_with_the_timestamp_it_had() {
    let rig = Rig::new(MULTILINE, "");
    let path = rig.log("a.log");
    append(&path, "START one\n  more\nSTART two\n");
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["START one\n  more"]);
    append(&path, "  rest\n");
    agent.sigkill().unwrap();
    append(&path, "  after\nSTART three\n");
    let mut agent = rig.start();
    let expected = [
        "START one\n  more",
        "START two\n  rest\n  after",
        "START three",
    ];
    wait_lines(&rig, &agent, &expected);
    wait_settled(&agent);
    assert_lines(&rig, &expected);
    stop(&mut agent);
}

#[test]
fn a_group_goes_on_in_the_file_that_took_the_path() {
    let rig = Rig::new(MULTILINE, "");
    let path = rig.log("a.log");
    append(&path, "START one\nSTART two\n  before\n");
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["START one"]);
    rotate(&path);
    append(&path, "  behind\nSTART three\n");
    let expected = ["START one", "START two\n  before\n  behind", "START three"];
    wait_lines(&rig, &agent, &expected);
    wait_settled(&agent);
    assert_lines(&rig, &expected);
    stop(&mut agent);
    // Nothing of either file is left to be read.
    let mut agent = rig.start();
    append(&path, "START four\n");
    wait_lines(&rig, &agent, &["START four"]);
    wait_settled(&agent);
    let once = [&expected[..], &["START four"]].concat();
    assert_lines(&rig, &once);
    assert_eq!(rig.sink.inspect(SinkState::committed_entries), 4);
    stop(&mut agent);
}

#[test]
fn a_group_whose_file_is_deleted_is_sent() {
    let rig = Rig::new("    stages: [ { cri: {} } ]\n    path_label: \"\"\n", "");
    let path = rig.log("a.log");
    append(&path, "2026-01-01T00:00:00Z stdout F whole\n");
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["whole"]);
    append(&path, "2026-01-01T00:00:01Z stdout P partial\n");
    wait::until(DEADLINE, "it is read", || {
        count(&agent, "tailwater_read_lines_total") > 1.5
    })
    .unwrap();
    std::fs::remove_file(&path).unwrap();
    wait_lines(&rig, &agent, &["whole", "partial"]);
    wait_settled(&agent);
    assert_lines(&rig, &["whole", "partial"]);
    stop(&mut agent);
}

#[test]
fn partial_lines_of_two_streams_of_one_file_are_joined_each_by_itself() {
    let rig = Rig::new("    stages: [ { cri: {} } ]\n", "");
    let path = rig.log("a.log");
    append(
        &path,
        "2026-01-01T00:00:00Z stdout P out \n\
         2026-01-01T00:00:01Z stderr P err \n\
         2026-01-01T00:00:02Z stderr F end of err\n\
         2026-01-01T00:00:03Z stderr F alone\n",
    );
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["err end of err", "alone"]);
    // Behind the open group nothing is done, though it is sent.
    assert_eq!(position(&agent), Some(0));
    agent.sigkill().unwrap();
    append(&path, "2026-01-01T00:00:04Z stdout F end of out\n");
    let mut agent = rig.start();
    let expected = ["err end of err", "alone", "out end of out"];
    wait_lines(&rig, &agent, &expected);
    wait_settled(&agent);
    wait_position(&agent, std::fs::metadata(&path).unwrap().len());
    assert_lines(&rig, &expected);
    rig.sink.inspect(|state| {
        let of = |line: &str| {
            let mut entries = state.entries().iter();
            let found = entries.find(|entry| entry.line == line.as_bytes());
            found.and_then(|entry| entry.label("stream"))
        };
        assert_eq!(of("out end of out").as_deref(), Some("stdout"));
        assert_eq!(of("alone").as_deref(), Some("stderr"));
    });
    stop(&mut agent);
}

#[test]
fn lines_of_one_file_go_to_the_tenants_that_a_stage_names_and_all_must_be_acked() {
    let rig = Rig::new(
        "    stages: [ { json: { expressions: { who: } } }, { tenant: { source: who } } ]\n",
        "",
    );
    let path = rig.log("a.log");
    let mut text = String::new();
    for index in 0..3000 {
        let line = match index % 3 {
            0 => format!("{{\"n\":{index}}}\n"),
            turn => format!("{{\"n\":{index},\"who\":\"tenant-{turn}\"}}\n"),
        };
        text.push_str(&line);
    }
    append(&path, &text);
    rig.sink.push(Mode::status(503));
    let mut agent = rig.start();
    assert!(
        rig.sink
            .wait_until(|state| stored(state).len() == 3000, DEADLINE),
        "{}",
        agent.log()
    );
    wait_settled(&agent);
    wait_position(&agent, text.len() as u64);
    rig.sink.inspect(|state| {
        for entry in state.entries() {
            let line: serde_json::Value = serde_json::from_slice(&entry.line).unwrap();
            let who = line.get("who").and_then(serde_json::Value::as_str);
            assert_eq!(entry.tenant.as_deref(), who);
        }
        assert_eq!(state.entries().len(), 3000);
    });
    stop(&mut agent);
}

#[test]
fn dropped_lines_are_counted_by_reason_and_the_position_passes_them() {
    let rig = Rig::new(
        "    stages: [ { drop: { expression: 'healthz', drop_counter_reason: probes } } ]\n",
        "",
    );
    let path = rig.log("a.log");
    append(&path, "GET /healthz\nGET /shop\nGET /healthz\n");
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["GET /shop"]);
    wait_settled(&agent);
    wait_position(&agent, std::fs::metadata(&path).unwrap().len());
    assert_lines(&rig, &["GET /shop"]);
    let dropped = agent
        .metrics()
        .unwrap()
        .get("tailwater_dropped_records_total", &[("reason", "probes")]);
    assert_eq!(dropped, Some(2.0));
    stop(&mut agent);
}

#[test]
fn labels_of_the_sink_are_added_behind_the_stages_where_a_record_has_none() {
    let mut rig = Rig::new(
        "    stages: [ { static_labels: { region: eu } }, { labeldrop: [job] } ]\n",
        "",
    );
    rig.config = rig.config.replace(
        "  loki:\n    loki:",
        "  loki:\n    labels: { cluster: one, region: us, job: sink }\n    loki:",
    );
    let path = rig.log("a.log");
    append(&path, "line\n");
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["line"]);
    rig.sink.inspect(|state| {
        let entry = state.entries().first().unwrap();
        let label = |name: &str| entry.label(name);
        assert_eq!(label("cluster").as_deref(), Some("one"));
        assert_eq!(label("region").as_deref(), Some("eu"));
        assert_eq!(label("job").as_deref(), Some("sink"));
    });
    wait_settled(&agent);
    stop(&mut agent);
}

#[test]
fn a_reload_reads_again_what_the_old_stages_held() {
    let rig = Rig::new(MULTILINE, "");
    let path = rig.log("a.log");
    append(&path, "START one\nSTART two\n  before\n");
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["START one"]);
    agent.sighup().unwrap();
    wait::until(DEADLINE, "it is reloaded", || {
        agent.log().contains("configuration reloaded")
    })
    .unwrap();
    append(&path, "  behind\nSTART three\n");
    let expected = ["START one", "START two\n  before\n  behind", "START three"];
    wait_lines(&rig, &agent, &expected);
    wait_settled(&agent);
    let found = rig.sink.inspect(stored);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(rig.sink.inspect(SinkState::committed_entries), 3);
    stop(&mut agent);
}

#[test]
fn a_truncated_file_gives_up_what_was_held_of_it() {
    let rig = Rig::new(MULTILINE, "");
    let path = rig.log("a.log");
    append(&path, "START one\nSTART two\n  held\n");
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["START one"]);
    std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    append(&path, "START new\n");
    let expected = ["START one", "START two\n  held", "START new"];
    wait_lines(&rig, &agent, &expected);
    wait_settled(&agent);
    assert_lines(&rig, &expected);
    stop(&mut agent);
}

/// Kills at random moments while groups of random length are written to several files.
#[test]
fn groups_survive_kills_whole_and_in_order() {
    let rig = Rig::new(
        "    stages: [ { multiline: { firstline: '^START', max_wait_time: 400ms } } ]\n",
        "",
    );
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); 3];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for round in 0..12 {
        let mut agent = rig.start();
        for step in 0..40 {
            let file = usize::try_from(random(3)).unwrap();
            let lines = random(6);
            let mut group = format!("START {file} {round} {step} {}", "x".repeat(300));
            for line in 0..lines {
                write!(group, "\n  line {line}").unwrap();
            }
            append(&rig.log(&format!("{file}.log")), &format!("{group}\n"));
            expected[file].push(group);
        }
        agent.run_for(Duration::from_millis(random(300))).unwrap();
        agent.sigkill().unwrap();
    }
    let mut agent = rig.start();
    let all = expected.iter().map(Vec::len).sum::<usize>();
    let arrived = rig
        .sink
        .wait_until(|state| stored(state).len() >= all, DEADLINE);
    let found = rig.sink.inspect(stored);
    let missing: Vec<_> = expected
        .iter()
        .flatten()
        .filter(|group| !found.contains_key(*group))
        .collect();
    assert!(arrived, "missing {missing:?}\n{}", agent.log());
    wait_settled(&agent);
    assert!(missing.is_empty(), "missing {missing:?}");
    let torn: Vec<_> = found
        .keys()
        .filter(|line| !expected.iter().any(|groups| groups.contains(line)))
        .collect();
    assert!(torn.is_empty(), "torn {torn:?}");
    let repeated: Vec<_> = found
        .iter()
        .filter(|(_, stamps)| stamps.len() > 1)
        .collect();
    assert!(
        repeated.is_empty(),
        "under several timestamps: {repeated:?}"
    );
    for route in books(&agent.metrics().unwrap()).unwrap() {
        assert!(route.is_balanced(), "{route:?}");
    }
    stop(&mut agent);
}
