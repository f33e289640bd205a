//! What the tests of outages share: a sink with a policy and a small queue, and what is asked of the
//! agent and of its directory.

use std::fs;
use std::path::PathBuf;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::Mode;
use tailwater_testkit::metrics::{RouteBooks, books};
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

use crate::rig::{DEADLINE, Rig, stop};

/// Lines that are several times what the queue of [`rig`] holds.
pub(crate) const MANY: u64 = 20_000;

/// A rig whose sink has a queue of four batches, one request at a time, and these further lines in its
/// block of the configuration.
pub(crate) fn rig(policy: &[&str]) -> Rig {
    rig_with("", "", policy)
}

/// Does what [`rig`] does, with further keys of the source and of Loki as [`Rig::new`] takes them.
pub(crate) fn rig_with(source_keys: &str, loki_keys: &str, policy: &[&str]) -> Rig {
    let mut rig = Rig::new(source_keys, loki_keys);
    rig.config.insert_str(0, "checkpoint_interval: 50ms\n");
    let own = ["queue: { max_bytes: 256KiB }", "max_in_flight: 1"];
    for key in own.iter().chain(policy) {
        rig.config.extend(["    ", key, "\n"]);
    }
    rig
}

/// A writer whose lines go to the kernel by fifties.
pub(crate) fn writer(rig: &Rig, name: &str, file: u32) -> LogWriter {
    leveled_writer(rig, name, file, &[])
}

/// A writer whose lines say these levels, one after the other.
pub(crate) fn leveled_writer(
    rig: &Rig,
    name: &str,
    file: u32,
    levels: &'static [&'static str],
) -> LogWriter {
    let options = WriterOptions {
        lines_per_write: 50,
        levels,
        ..WriterOptions::default()
    };
    LogWriter::open(rig.log(name), file, options).unwrap()
}

/// The sink refuses every request, as a backend does that is overloaded.
pub(crate) fn take_down(rig: &Rig) {
    rig.sink.set_fallback(Mode::status(503));
}

/// The sink takes every request.
pub(crate) fn bring_up(rig: &Rig) {
    rig.sink.set_fallback(Mode::commit());
}

/// Returns the sum of a metric over whatever has these labels.
pub(crate) fn metric(agent: &Agent, name: &str, labels: &[(&str, &str)]) -> f64 {
    agent.metrics().unwrap().sum(name, labels)
}

/// Returns the records that were dropped for this reason.
pub(crate) fn dropped(agent: &Agent, reason: &str) -> f64 {
    metric(
        agent,
        "tailwater_dropped_records_total",
        &[("reason", reason)],
    )
}

/// Waits until the books hold what is looked for; they balance at every look on the way.
#[track_caller]
pub(crate) fn wait_books(agent: &Agent, what: &str, condition: impl Fn(&[RouteBooks]) -> bool) {
    let mut last = Vec::new();
    let waited = wait::until_ok(DEADLINE, what, || {
        let metrics = agent.metrics()?;
        // There are none until the first file is found.
        let mut read = metrics.samples("tailwater_read_records_total", &[]);
        if read.next().is_none() {
            return Ok(false);
        }
        last = books(&metrics)?;
        Ok(condition(&last))
    });
    if let Err(error) = waited {
        let books: Vec<_> = last.iter().map(ToString::to_string).collect();
        panic!("{error}\n{}\n{}", books.join("\n"), agent.log());
    }
}

/// Waits until the agent has read every line that was written, for each of its sinks.
#[track_caller]
pub(crate) fn wait_read(agent: &Agent, written: &[Written]) {
    let lines = float(written.iter().map(|written| written.acked).sum());
    wait_books(agent, "everything is read", |books| {
        books.iter().map(|route| route.read).sum::<f64>() > lines - 0.5
    });
}

/// Waits until nothing is on its way and nothing waits on disk.
#[track_caller]
pub(crate) fn wait_settled(agent: &Agent) {
    wait_books(agent, "everything is settled", |books| {
        let is_settled = |route: &RouteBooks| route.in_flight < 0.5 && route.spilled < 0.5;
        books.iter().all(is_settled)
    });
}

/// Waits until some records are on disk, by the books and by the directory.
#[track_caller]
pub(crate) fn wait_spilled(rig: &Rig, agent: &Agent) {
    wait_books(agent, "something is spilled", |books| {
        books.iter().any(|route| route.spilled > 0.5)
    });
    assert!(
        !segments(rig).is_empty(),
        "there is no segment on disk: {}",
        agent.log()
    );
}

/// Returns the segments of all spills, in order.
pub(crate) fn segments(rig: &Rig) -> Vec<PathBuf> {
    files_below(rig, "spill")
}

/// Returns the files in the directories of a directory of the agent, in order.
pub(crate) fn files_below(rig: &Rig, name: &str) -> Vec<PathBuf> {
    let list = |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = list(rig.directory.path().join("data").join(name))
        .flat_map(|lane| list(lane.path()))
        .map(|file| file.path())
        .collect();
    files.sort();
    files
}

/// Waits until all is delivered, settled, and gone from the disk.
#[track_caller]
pub(crate) fn wait_delivered(rig: &Rig, agent: &Agent, written: &[Written]) {
    let has_all = rig
        .sink
        .wait_until(|state| state.has_all(written), DEADLINE);
    assert!(
        has_all,
        "not every line arrived:\n{}\n{}",
        rig.verdict(written),
        agent.log()
    );
    wait_gone(rig, agent);
}

/// Waits until nothing is on its way or on disk.
#[track_caller]
pub(crate) fn wait_gone(rig: &Rig, agent: &Agent) {
    wait_settled(agent);
    wait::until_ok(DEADLINE, "the spill is empty", || {
        let known = agent.metrics()?.sum("tailwater_spill_segments", &[]);
        Ok(segments(rig).is_empty() && known < 0.5)
    })
    .unwrap();
}

/// Asserts that by the books every line that was written was read once and acked, over all runs.
#[track_caller]
pub(crate) fn assert_all_acked(agent: &Agent, written: &[Written]) {
    let lines = written.iter().map(|written| written.acked).sum();
    for name in [
        "tailwater_read_records_total",
        "tailwater_acked_records_total",
    ] {
        assert_count(name, metric(agent, name, &[]), lines);
    }
}

/// Asserts that a figure of the metrics is this count.
#[track_caller]
pub(crate) fn assert_count(what: &str, found: f64, expected: u64) {
    assert!(
        (found - float(expected)).abs() < 0.5,
        "{what}: {found} and not {expected}"
    );
}

/// Asserts that exactly the lines that were dropped for this reason are missing, that all others
/// arrived once, whole and in order; returns the numbers of the missing ones by their file.
#[track_caller]
pub(crate) fn assert_dropped_exactly(
    rig: &Rig,
    agent: &Agent,
    reason: &str,
    written: &[Written],
) -> Vec<Vec<u64>> {
    let missing: Vec<Vec<u64>> = written
        .iter()
        .map(|written| rig.sink.inspect(|state| state.missing(*written)))
        .collect();
    let lines = missing.iter().map(Vec::len).sum::<usize>();
    assert!(lines > 0, "nothing was dropped");
    let lines = u64::try_from(lines).unwrap();
    assert_count(reason, dropped(agent, reason), lines);
    assert_count(
        "all reasons",
        metric(agent, "tailwater_dropped_records_total", &[]),
        lines,
    );
    rig.verdict(written).assert_exact_but_for(lines);
    missing
}

/// Asserts that what is missing is all that came from some line on, but for the last lines: those of the
/// batch that was open when the sink came back, and found room.
#[track_caller]
pub(crate) fn assert_only_newest(missing: &[u64], written: u64, lines_per_batch: u64) {
    let (first, last) = (missing[0], missing[missing.len() - 1]);
    let contiguous: Vec<u64> = (first..=last).collect();
    assert_eq!(missing, contiguous, "something older was dropped");
    let after = written - 1 - last;
    assert!(after <= lines_per_batch, "{after} lines found room");
}

/// Stops the agent and asserts that it went in time and well.
#[track_caller]
pub(crate) fn end(mut agent: Agent) {
    stop(&mut agent);
}

/// Counts of tests are far below 2^32.
pub(crate) fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
