//! A spill on a disk that is full, read-only or failing: it counts as a full spill, nothing hangs, and
//! it is used again when it can be.

use std::path::PathBuf;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::Mode;
use tailwater_testkit::metrics::books;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

use crate::mount::{Ballast, Mount, ext4_image};
use crate::rig::{DEADLINE, Rig, stop};

/// A rig that spills without a limit that matters, and whose sink is down.
fn rig(then: &str) -> Rig {
    let mut rig = Rig::new("", "");
    rig.config.insert_str(0, "checkpoint_interval: 50ms\n");
    rig.config.extend([
        "    queue: { max_bytes: 256KiB }\n    max_in_flight: 1\n    when_full: spill\n    \
         spill: { max_bytes: 1GiB, then: ",
        then,
        " }\n",
    ]);
    rig.sink.set_fallback(Mode::status(503));
    rig
}

fn spill(rig: &Rig) -> PathBuf {
    rig.directory.path().join("data/spill")
}

fn writer(rig: &Rig) -> LogWriter {
    let options = WriterOptions {
        lines_per_write: 100,
        ..WriterOptions::default()
    };
    LogWriter::open(rig.log("a.log"), 1, options).unwrap()
}

fn metric(agent: &Agent, name: &str) -> f64 {
    agent.metrics().unwrap().sum(name, &[])
}

fn read(agent: &Agent) -> f64 {
    metric(agent, "tailwater_read_records_total")
}

fn float(lines: u64) -> f64 {
    f64::from(u32::try_from(lines).unwrap())
}

#[track_caller]
fn wait_metric(agent: &Agent, name: &str, condition: impl Fn(f64) -> bool) {
    let waited = wait::until_ok(DEADLINE, name, || {
        Ok(condition(agent.metrics()?.sum(name, &[])))
    });
    if let Err(error) = waited {
        panic!("{error}\n{}", agent.log());
    }
}

#[track_caller]
fn wait_full(agent: &Agent) {
    wait_metric(agent, "tailwater_spill_full", |full| full > 0.5);
}

/// The sink is back: waits until every line is there, and nothing is on its way or on disk.
#[track_caller]
fn bring_up(rig: &Rig, agent: &Agent, written: &[Written]) {
    rig.sink.set_fallback(Mode::commit());
    rig.settle(agent, written);
    wait_settled(agent);
}

#[track_caller]
fn wait_settled(agent: &Agent) {
    wait::until_ok(DEADLINE, "nothing waits on disk", || {
        let books = books(&agent.metrics()?)?;
        Ok(books
            .iter()
            .all(|route| route.in_flight + route.spilled < 0.5))
    })
    .unwrap();
}

fn segments(rig: &Rig) -> usize {
    let directory = std::fs::read_dir(spill(rig).join("loki"));
    directory.map_or(0, Iterator::count)
}

#[test]
fn a_spill_that_fills_a_disk_of_16_mib_holds_the_rest_in_its_files_and_gives_the_disk_back() {
    let rig = rig("block");
    let _disk = Mount::tmpfs(&spill(&rig), "size=16M");
    let mut agent = rig.start();
    let mut writer = writer(&rig);
    writer.write_lines(200_000).unwrap();
    wait_full(&agent);
    assert!(read(&agent) < 200_000.0, "nothing was held back");
    assert!(metric(&agent, "tailwater_spill_bytes") > 15e6);
    let written = [writer.written()];
    bring_up(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    wait_metric(&agent, "tailwater_spill_segments", |count| count < 0.5);
    assert_eq!(segments(&rig), 0);
    stop(&mut agent);
}

#[test]
fn a_spill_that_fills_its_disk_and_then_drops_counts_exactly_what_is_missing() {
    for (then, reason) in [("drop_newest", "queue_full"), ("drop_oldest", "spill_full")] {
        let rig = rig(then);
        // Segments of 16 MiB are too large for a disk of that size to give up one of them.
        let _disk = Mount::tmpfs(&spill(&rig), "size=4M");
        let config = rig.config.replace("max_bytes: 1GiB", "max_bytes: 8MiB");
        let mut agent = crate::rig::start(&config, rig.directory.path());
        let mut writer = writer(&rig);
        writer.write_lines(60_000).unwrap();
        wait_metric(&agent, "tailwater_read_records_total", |read| {
            read > 59_999.5
        });
        let written = [writer.written()];
        rig.sink.set_fallback(Mode::commit());
        wait_settled(&agent);
        let missing = rig.sink.inspect(|state| state.missing(written[0]));
        let dropped = agent
            .metrics()
            .unwrap()
            .sum("tailwater_dropped_records_total", &[("reason", reason)]);
        let lines = u64::try_from(missing.len()).unwrap();
        assert!(lines > 0, "{then}: nothing was dropped");
        assert!(
            (dropped - float(lines)).abs() < 0.5,
            "{then}: {dropped} counted, {lines} missing"
        );
        rig.verdict(&written).assert_exact_but_for(lines);
        stop(&mut agent);
    }
}

#[test]
fn a_spill_whose_disk_is_filled_by_others_goes_on_when_there_is_room_again() {
    let rig = rig("block");
    let disk = Mount::tmpfs(&spill(&rig), "size=16M");
    let mut agent = rig.start();
    let mut writer = writer(&rig);
    writer.write_lines(20_000).unwrap();
    wait_metric(&agent, "tailwater_spilled_records", |spilled| spilled > 0.5);
    wait_metric(&agent, "tailwater_read_records_total", |read| {
        read > 19_999.5
    });
    let ballast = Ballast::fill(disk.path());
    writer.write_lines(20_000).unwrap();
    wait_full(&agent);
    assert!(read(&agent) < 40_000.0, "nothing was held back");
    drop(ballast);
    wait_metric(&agent, "tailwater_read_records_total", |read| {
        read > 39_999.5
    });
    wait_metric(&agent, "tailwater_spill_full", |full| full < 0.5);
    let written = [writer.written()];
    bring_up(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    stop(&mut agent);
}

#[test]
fn a_disk_that_is_full_from_the_start_does_not_hold_up_a_sink_that_is_back() {
    let rig = rig("block");
    let disk = Mount::tmpfs(&spill(&rig), "size=1M");
    let _ballast = Ballast::fill(disk.path());
    let mut agent = rig.start();
    let mut writer = writer(&rig);
    writer.write_lines(20_000).unwrap();
    wait_full(&agent);
    let written = [writer.written()];
    bring_up(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    stop(&mut agent);
}

#[test]
fn a_spill_that_is_read_only_at_the_start_is_used_once_it_is_not() {
    let rig = rig("block");
    let disk = Mount::tmpfs(&spill(&rig), "size=16M,ro");
    let mut agent = rig.start();
    let mut writer = writer(&rig);
    writer.write_lines(20_000).unwrap();
    wait_full(&agent);
    assert!(read(&agent) < 20_000.0, "nothing was held back");
    assert!(
        agent.log().contains("Read-only file system"),
        "{}",
        agent.log()
    );
    disk.remount("rw");
    wait_metric(&agent, "tailwater_read_records_total", |read| {
        read > 19_999.5
    });
    let written = [writer.written()];
    bring_up(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    stop(&mut agent);
}

/// What ext4 does when its disk fails: it can be read, and never be written again.
#[test]
fn a_spill_that_turns_read_only_is_delivered_and_what_comes_later_goes_past_it() {
    let rig = rig("block");
    let image = rig.directory.path().join("spill.img");
    ext4_image(&image, 16 << 20);
    let disk = Mount::image(&image, &spill(&rig));
    let mut agent = rig.start();
    let mut writer = writer(&rig);
    writer.write_lines(20_000).unwrap();
    wait_metric(&agent, "tailwater_spilled_records", |spilled| spilled > 0.5);
    disk.remount("abort");
    writer.write_lines(20_000).unwrap();
    wait_full(&agent);
    let written = [writer.written()];
    bring_up(&rig, &agent, &written);
    let verdict = rig.verdict(&written);
    verdict.assert_at_least_once(0);
    stop(&mut agent);
}
