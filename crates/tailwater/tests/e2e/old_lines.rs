//! Lines that Loki does not take for their time: they are counted by the reason in a few requests, and the
//! others are stored.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{SinkState, Times};
use tailwater_testkit::metrics::books;

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

const HOUR: i64 = 3600 * 1_000_000_000;
const WEEK: i64 = 7 * 24 * HOUR;

/// Lines begin with their time in nanoseconds since the epoch.
const STAGES: &str = "    stages: [ { regex: { expression: '^(?P<ts>\\d+) ' } }, { timestamp: { source: ts, format: UnixNs } } ]\n";

#[expect(clippy::disallowed_methods, reason = "the sink goes by its clock")]
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}

fn append(path: &Path, times: impl IntoIterator<Item = i64>) -> usize {
    let (mut text, mut lines) = (String::new(), 0);
    for time in times {
        writeln!(text, "{time} line {lines} of {}", path.display()).unwrap();
        lines += 1;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    lines
}

/// A rig whose sink takes lines as Loki does with its defaults.
fn rig(sink_keys: &str) -> Rig {
    let mut rig = Rig::new(STAGES, sink_keys);
    // One after the other: a second batch would meet another limit than the one before.
    rig.config += "    max_in_flight: 1\n";
    rig.sink.script(|script| {
        script.rules.times = Some(Times {
            max_age: Duration::from_secs(7 * 24 * 3600),
            behind: Duration::from_secs(3600),
        });
    });
    rig
}

/// Waits until all lines are read and settled.
fn settle(agent: &Agent, lines: usize) {
    let read = || {
        agent
            .metrics()
            .unwrap()
            .sum("tailwater_read_lines_total", &[])
    };
    let lines = f64::from(u32::try_from(lines).unwrap());
    tailwater_testkit::wait::until(DEADLINE, "all lines are read", || read() > lines - 0.5)
        .unwrap();
    wait_settled(agent);
}

/// The times of the lines that were stored, each once however often.
fn stored(rig: &Rig) -> BTreeSet<i64> {
    let times = |state: &SinkState| {
        let entries = state.entries().iter();
        entries.map(|entry| entry.timestamp_ns).collect()
    };
    rig.sink.inspect(times)
}

fn requests(rig: &Rig) -> usize {
    rig.sink.inspect(|state| state.requests().len())
}

fn rejected(agent: &Agent, reason: &str) -> usize {
    let metrics = agent.metrics().unwrap();
    for route in books(&metrics).unwrap() {
        assert!(route.in_flight < 0.5, "{route:?}");
    }
    let count = metrics.sum("tailwater_rejected_records_total", &[("reason", reason)]);
    format!("{count:.0}").parse().unwrap()
}

fn batches(agent: &Agent) -> usize {
    let metrics = agent.metrics().unwrap();
    let count = metrics.sum("tailwater_sink_delivered_batches_total", &[]);
    format!("{count:.0}").parse().unwrap()
}

#[test]
fn of_an_archive_that_is_too_old_every_batch_is_sent_once() {
    for keys in ["", ", encoding: json"] {
        let rig = rig(keys);
        let start = now_ns() - 3 * WEEK;
        let lines = append(
            &rig.log("a.log"),
            (0..20_000).map(|line| start + line * 50_000_000),
        );
        let mut agent = rig.start();
        settle(&agent, lines);
        assert_eq!(rejected(&agent, "too_old"), lines);
        assert!(stored(&rig).is_empty());
        let batches = batches(&agent);
        assert!(batches > 3);
        assert_eq!(requests(&rig), batches, "{}", agent.log());
        stop(&mut agent);
    }
}

#[test]
fn across_the_limit_every_line_is_either_stored_or_counted() {
    let rig = rig("");
    let limit = now_ns() - WEEK;
    // Seconds apart, and none within some seconds of the limit, which moves while the test runs.
    let all: Vec<i64> = (-6000..6000)
        .filter(|step: &i64| !(0..120).contains(step))
        .map(|step| limit + step * 1_000_000_000)
        .collect();
    let lines = append(&rig.log("a.log"), all.iter().copied());
    let mut agent = rig.start();
    settle(&agent, lines);
    let expected: BTreeSet<i64> = all.iter().copied().filter(|time| *time >= limit).collect();
    assert_eq!(stored(&rig), expected);
    assert_eq!(rejected(&agent, "too_old"), lines - expected.len());
    let (requests, batches) = (requests(&rig), batches(&agent));
    assert!(requests <= batches + 2, "{requests} for {batches} batches");
    stop(&mut agent);
}

/// The limit passes some lines while they are sent again: what was stored may be counted as well, but
/// nothing is missing, and it ends.
#[test]
fn lines_close_to_the_limit_end_in_a_bounded_number_of_requests() {
    let rig = rig("");
    let limit = now_ns() - WEEK;
    let all: Vec<i64> = (-3000..9000)
        .map(|step: i64| limit + step * 1_000_000)
        .collect();
    let lines = append(&rig.log("a.log"), all.iter().copied());
    let mut agent = rig.start();
    settle(&agent, lines);
    let (stored, rejected) = (stored(&rig), rejected(&agent, "too_old"));
    assert!(stored.len() + rejected >= lines);
    assert!(all.iter().take(3000).all(|time| !stored.contains(time)));
    let (requests, batches) = (requests(&rig), batches(&agent));
    assert!(
        requests <= batches * 150,
        "{requests} for {batches} batches"
    );
    stop(&mut agent);
}

#[test]
fn what_is_too_far_behind_in_its_stream_is_counted_and_other_streams_are_stored() {
    let rig = rig("");
    let now = now_ns();
    let mut agent = rig.start();
    let mut lines = append(&rig.log("live.log"), [now]);
    settle(&agent, lines);
    let behind: Vec<i64> = (0..5000)
        .map(|step| now - 4 * HOUR + step * 1_000_000_000)
        .collect();
    lines += append(&rig.log("live.log"), behind.iter().copied());
    // Of a request with several streams Loki says nothing of those before the last.
    settle(&agent, lines);
    lines += append(&rig.log("other.log"), behind.iter().map(|time| time + 1));
    settle(&agent, lines);
    let stored = stored(&rig);
    let is_taken = |time: &&i64| stored.contains(*time);
    assert_eq!(behind.iter().filter(is_taken).count(), 0);
    assert!(behind.iter().all(|time| stored.contains(&(time + 1))));
    assert_eq!(rejected(&agent, "too_far_behind"), behind.len());
    let (requests, batches) = (requests(&rig), batches(&agent));
    assert!(requests <= 3 * batches, "{requests} for {batches} batches");
    stop(&mut agent);
}

#[test]
fn an_archive_that_is_read_backwards_is_counted_where_it_is_too_far_behind() {
    let rig = rig("");
    let now = now_ns();
    // Newest first: what Loki takes depends on the order within the request as well.
    let all: Vec<i64> = (0..7200).map(|step| now - step * 1_000_000_000).collect();
    let lines = append(&rig.log("a.log"), all.iter().copied());
    let mut agent = rig.start();
    settle(&agent, lines);
    let expected: BTreeSet<i64> = all
        .iter()
        .copied()
        .filter(|time| *time >= now - HOUR)
        .collect();
    assert_eq!(stored(&rig), expected);
    assert_eq!(rejected(&agent, "too_far_behind"), lines - expected.len());
    let (requests, batches) = (requests(&rig), batches(&agent));
    assert!(requests <= batches + 2, "{requests} for {batches} batches");
    stop(&mut agent);
}

#[test]
fn what_was_too_old_is_kept_with_the_dead_letters() {
    let rig = rig("");
    let start = now_ns() - 2 * WEEK;
    let lines = append(&rig.log("a.log"), (0..500).map(|line| start + line));
    let mut agent = rig.start();
    settle(&agent, lines);
    let kept = agent
        .metrics()
        .unwrap()
        .sum("tailwater_dead_letter_records_total", &[]);
    assert_eq!(format!("{kept:.0}").parse(), Ok(lines));
    stop(&mut agent);
}
