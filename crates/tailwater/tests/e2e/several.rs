//! Several sources, one file: each gets every line, once, in its own stream and on its own books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tailwater_durable::{Disk, Storage};
use tailwater_position_store::StoreLimits;
use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{FaultSink, Mode, SinkState};
use tailwater_testkit::line::{LineId, parse_line};
use tailwater_testkit::metrics::books;
use tailwater_testkit::wait;
use tailwater_testkit::writer::Written;

use crate::reload::rewrite;
use crate::rig::{DEADLINE, Rig, stop, wait_settled};

/// The rig's configuration with a source of these keys before its own.
fn with_source(rig: &Rig, name: &str, job: &str, keys: &str) -> String {
    let logs = rig.directory.path().join("logs");
    let source = format!(
        "sources:\n  {name}:\n    include: [\"{}/*.log\"]\n    labels: {{ job: {job} }}\n{keys}",
        logs.display()
    );
    rig.config.replace("sources:\n", &source)
}

/// Timestamps and copies of each line that a job has had stored.
fn lines_of(state: &SinkState, job: &str) -> BTreeMap<LineId, (BTreeSet<i64>, u64)> {
    let mut lines: BTreeMap<LineId, (BTreeSet<i64>, u64)> = BTreeMap::new();
    let entries = state.entries().iter();
    for entry in entries.filter(|entry| entry.label("job").as_deref() == Some(job)) {
        let (stamps, copies) = lines.entry(parse_line(&entry.line).unwrap()).or_default();
        stamps.insert(entry.timestamp_ns);
        *copies += 1;
    }
    lines
}

fn has_all(state: &SinkState, job: &str, written: Written) -> bool {
    let lines = lines_of(state, job);
    (0..written.acked).all(|seq| {
        lines.contains_key(&LineId {
            file: written.file,
            seq,
        })
    })
}

#[track_caller]
fn wait_all(sink: &FaultSink, agent: &Agent, job: &str, written: Written) {
    let arrived = sink.wait_until(|state| has_all(state, job, written), DEADLINE);
    assert!(arrived, "lines of {job} are missing\n{}", agent.log());
}

/// Asserts that a job had exactly the lines from `first` on stored, once each.
#[track_caller]
fn assert_once(sink: &FaultSink, job: &str, written: Written, first: u64) {
    sink.inspect(|state| {
        let lines = lines_of(state, job);
        let found: Vec<(u64, u64)> = lines
            .iter()
            .map(|(id, (_, copies))| (id.seq, *copies))
            .collect();
        let expected: Vec<(u64, u64)> = (first..written.acked).map(|seq| (seq, 1)).collect();
        assert_eq!(found, expected, "lines of {job}");
    });
}

/// Asserts that the books of a route have it read and acked so many records.
#[track_caller]
fn assert_books(agent: &Agent, source: &str, sink: &str, records: u64) {
    let routes = books(&agent.metrics().unwrap()).unwrap();
    let route = routes
        .iter()
        .find(|route| route.source == source && route.sink == sink)
        .unwrap();
    let found = (route.read, route.acked);
    let expected = f64::from(u32::try_from(records).unwrap());
    assert!(found == (expected, expected), "{route}");
}

#[test]
fn two_sources_of_one_file_get_every_line_once_through_rotations() {
    let rig = Rig::new("", "");
    let config = with_source(&rig, "metrics", "metrics", "");
    let mut agent = crate::rig::start(&config, rig.directory.path());
    let mut writer = rig.writer("a.log", 1);
    for generation in 0..4 {
        writer.write_lines(500).unwrap();
        if generation < 3 {
            rename(&rig.log("a.log"), &rig.log(&format!("a.log.{generation}")));
            writer.reopen().unwrap();
        }
    }
    let written = writer.written();
    for job in ["e2e", "metrics"] {
        wait_all(&rig.sink, &agent, job, written);
        assert_once(&rig.sink, job, written, 0);
    }
    wait_settled(&agent);
    for source in ["logs", "metrics"] {
        assert_books(&agent, source, "loki", 2000);
    }
    let status = agent.status().unwrap();
    let files = status["files"].as_array().unwrap();
    let live = files.iter().filter(|file| file["is_rotated"] == false);
    let mut sources: Vec<_> = live.map(|file| file["source"].as_str().unwrap()).collect();
    sources.sort_unstable();
    assert_eq!(sources, ["logs", "metrics"]);
    stop(&mut agent);
}

/// One of the two sinks is down: the other source goes on, and neither is disturbed by a restart.
#[test]
fn two_sources_of_one_file_with_a_sink_each_do_not_wait_for_each_other() {
    let rig = Rig::new("    sinks: [loki]\n", "");
    let other = FaultSink::start().unwrap();
    other.set_fallback(Mode::status(503));
    let config = format!(
        "{}  other:\n    loki: {{ url: \"{}\", timeout: 2s }}\n    batch: {{ max_wait: 50ms }}\n    \
         retry: {{ min_wait: 20ms, max_wait: 200ms }}\n",
        with_source(&rig, "metrics", "metrics", "    sinks: [other]\n"),
        other.url()
    );
    let mut agent = crate::rig::start(&config, rig.directory.path());
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(1000).unwrap();
    wait_all(&rig.sink, &agent, "e2e", writer.written());
    stop(&mut agent);
    let mut agent = crate::rig::start(&config, rig.directory.path());
    writer.write_lines(1000).unwrap();
    let written = writer.written();
    wait_all(&rig.sink, &agent, "e2e", written);
    other.set_fallback(Mode::commit());
    wait_all(&other, &agent, "metrics", written);
    wait_settled(&agent);
    assert_once(&rig.sink, "e2e", written, 0);
    assert_once(&other, "metrics", written, 0);
    assert_books(&agent, "logs", "loki", 2000);
    assert_books(&agent, "metrics", "other", 2000);
    stop(&mut agent);
}

/// What is sent again after a kill is what it was, of each source.
#[test]
fn a_kill_repeats_the_lines_of_two_sources_as_they_were() {
    let rig = Rig::new("", "");
    let config = with_source(&rig, "metrics", "metrics", "");
    let mut writer = rig.writer("a.log", 1);
    for _ in 0..5 {
        let mut agent = crate::rig::start(&config, rig.directory.path());
        writer.write_lines(2000).unwrap();
        let some = |state: &SinkState| state.committed_entries() >= 200;
        assert!(rig.sink.wait_until(some, DEADLINE), "{}", agent.log());
        agent.sigkill().unwrap();
    }
    let mut agent = crate::rig::start(&config, rig.directory.path());
    let written = writer.written();
    for job in ["e2e", "metrics"] {
        wait_all(&rig.sink, &agent, job, written);
    }
    wait_settled(&agent);
    rig.sink.inspect(|state| {
        for job in ["e2e", "metrics"] {
            let lines = lines_of(state, job);
            let restamped = lines.iter().filter(|(_, (stamps, _))| stamps.len() > 1);
            assert_eq!(restamped.count(), 0, "lines of {job} have several times");
            let mut stamps: Vec<i64> = lines.values().flat_map(|line| line.0.clone()).collect();
            assert!(stamps.is_sorted(), "lines of {job} are out of order");
            stamps.dedup();
            assert_eq!(stamps.len(), lines.len(), "lines of {job} share a time");
        }
    });
    stop(&mut agent);
}

#[test]
fn a_reload_adds_removes_and_brings_back_a_second_source() {
    let rig = Rig::new("", "");
    let both = with_source(&rig, "metrics", "metrics", "");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    let mut reloads = 0;
    let mut reload = |agent: &mut Agent, config: &str| {
        rewrite(&rig, config);
        agent.sighup().unwrap();
        reloads += 1;
        wait::until(DEADLINE, "it is reloaded", || {
            agent.log().matches("configuration reloaded").count() == reloads
        })
        .unwrap();
    };
    writer.write_lines(500).unwrap();
    wait_all(&rig.sink, &agent, "e2e", writer.written());
    // It is new to the file, which it gets from its first line.
    reload(&mut agent, &both);
    writer.write_lines(500).unwrap();
    let at_removal = writer.written();
    wait_all(&rig.sink, &agent, "metrics", at_removal);
    wait_settled(&agent);
    assert_once(&rig.sink, "metrics", at_removal, 0);
    reload(&mut agent, &rig.config);
    writer.write_lines(500).unwrap();
    wait_all(&rig.sink, &agent, "e2e", writer.written());
    wait_settled(&agent);
    assert_once(&rig.sink, "metrics", at_removal, 0);
    // It goes on where it was when it went.
    reload(&mut agent, &both);
    writer.write_lines(500).unwrap();
    let written = writer.written();
    for job in ["e2e", "metrics"] {
        wait_all(&rig.sink, &agent, job, written);
    }
    wait_settled(&agent);
    for (job, source) in [("e2e", "logs"), ("metrics", "metrics")] {
        assert_once(&rig.sink, job, written, 0);
        assert_books(&agent, source, "loki", 2000);
    }
    stop(&mut agent);
}

#[test]
fn a_source_that_is_renamed_goes_on_where_it_was() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    wait_all(&rig.sink, &agent, "e2e", writer.written());
    wait_settled(&agent);
    stop(&mut agent);
    let renamed = rig.config.replace("  logs:\n", "  renamed:\n");
    for _ in 0..2 {
        let mut agent = crate::rig::start(&renamed, rig.directory.path());
        writer.write_lines(500).unwrap();
        wait_all(&rig.sink, &agent, "e2e", writer.written());
        wait_settled(&agent);
        stop(&mut agent);
    }
    assert_once(&rig.sink, "e2e", writer.written(), 0);
}

/// Positions by the sink alone, as earlier versions stored them and imports do.
#[test]
fn positions_that_name_no_source_are_those_of_every_source() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    wait_all(&rig.sink, &agent, "e2e", writer.written());
    wait_settled(&agent);
    stop(&mut agent);
    let first = writer.written().acked;
    forget_sources(&rig);
    let both = with_source(&rig, "metrics", "metrics", "");
    for _ in 0..2 {
        let mut agent = crate::rig::start(&both, rig.directory.path());
        writer.write_lines(500).unwrap();
        for job in ["e2e", "metrics"] {
            let arrived = rig.sink.wait_until(
                |state| {
                    let last = LineId {
                        file: 1,
                        seq: writer.written().acked - 1,
                    };
                    lines_of(state, job).contains_key(&last)
                },
                DEADLINE,
            );
            assert!(arrived, "{}", agent.log());
        }
        wait_settled(&agent);
        stop(&mut agent);
    }
    assert_once(&rig.sink, "e2e", writer.written(), 0);
    assert_once(&rig.sink, "metrics", writer.written(), first);
}

/// Stores the positions of all files as earlier versions did.
fn forget_sources(rig: &Rig) {
    let directory = rig.directory.path().join("data");
    let storage: Arc<dyn Storage> = Arc::new(Disk::open(&directory).unwrap());
    let (mut store, mut journal, _) =
        tailwater_position_store::open(storage, StoreLimits::default(), 1).unwrap();
    let files: Vec<_> = store.files().cloned().collect();
    assert!(!files.is_empty());
    for file in files {
        for stored in &file.positions {
            assert_eq!(&*stored.sink, "loki/logs");
            store.set_position(file.key, "loki", stored.position, file.updated_ns);
        }
        store.remove_positions(file.key, &["loki/logs".into()]);
    }
    journal.append(&store.take_group().unwrap()).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a rename as rotation makes it")]
fn rename(from: &std::path::Path, to: &std::path::Path) {
    std::fs::rename(from, to).unwrap();
}
