//! Stopped and killed with a dead sink: what was read is on disk, and is delivered by the next run.

use std::time::Duration;

use tailwater_testkit::fault_sink::{Mode, SinkState};

use crate::rig::{DEADLINE, stop};
use crate::setup::{
    MANY, assert_all_acked, bring_up, end, rig, take_down, wait_delivered, wait_read, wait_spilled,
    writer,
};

const SPILL: &[&str] = &["when_full: spill", "spill: { max_bytes: 64MiB }"];

/// What the configuration gives it, and a little.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Stops an agent that has read so many lines of a file that is gone, starts another, and asserts that
/// every line arrives.
fn stop_with_a_dead_sink(lines: u64) {
    let mut rig = rig(SPILL);
    rig.config.insert_str(0, "shutdown_timeout: 2s\n");
    take_down(&rig);
    let mut agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(lines).unwrap();
    let written = [writer.written()];
    wait_read(&agent, &written);
    std::fs::remove_file(rig.log("a.log")).unwrap();
    let status = agent.sigterm(STOP_DEADLINE).unwrap();
    assert!(status.success(), "{status}\n{}", agent.log());
    assert_eq!(
        rig.sink.inspect(SinkState::committed_entries),
        0,
        "the sink was not down"
    );
    bring_up(&rig);
    let agent = rig.start();
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn stopped_with_a_dead_sink_a_spill_delivers_what_it_held_after_the_restart() {
    stop_with_a_dead_sink(MANY);
}

#[test]
fn stopped_with_a_dead_sink_what_was_in_memory_goes_to_the_spill() {
    stop_with_a_dead_sink(500);
}

#[test]
fn a_sink_that_never_answers_does_not_hold_up_a_stop() {
    let mut rig = rig(SPILL);
    rig.config.insert_str(0, "shutdown_timeout: 1s\n");
    rig.sink.set_fallback(Mode::hang());
    let mut agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(500).unwrap();
    let written = [writer.written()];
    wait_read(&agent, &written);
    let is_asked = |state: &SinkState| !state.requests().is_empty();
    assert!(rig.sink.wait_until(is_asked, DEADLINE));
    std::fs::remove_file(rig.log("a.log")).unwrap();
    let status = agent.sigterm(STOP_DEADLINE).unwrap();
    assert!(status.success(), "{status}\n{}", agent.log());
    bring_up(&rig);
    let agent = rig.start();
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn stopped_while_a_spill_is_delivered_what_is_on_the_wire_is_waited_for_and_sent_once() {
    let rig = rig(SPILL);
    take_down(&rig);
    let mut agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    let written = [writer.written()];
    wait_read(&agent, &written);
    wait_spilled(&rig, &agent);
    std::fs::remove_file(rig.log("a.log")).unwrap();
    stop(&mut agent);
    // Each batch is stored at once, and its answer takes a while.
    rig.sink.set_fallback(Mode::drip(Duration::from_millis(5)));
    let mut agent = rig.start();
    let has_some = |state: &SinkState| state.committed_entries() > 0;
    assert!(rig.sink.wait_until(has_some, DEADLINE), "{}", agent.log());
    stop(&mut agent);
    let stored = rig.sink.inspect(SinkState::committed_entries);
    assert!(stored < MANY, "all was delivered before the stop");
    bring_up(&rig);
    let agent = rig.start();
    wait_delivered(&rig, &agent, &written);
    let verdict = rig.verdict(&written);
    verdict.assert_exact();
    assert_eq!(verdict.excused_duplicates(), 0, "{verdict}");
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn killed_while_it_spills_nothing_is_lost_and_nothing_repeated() {
    let rig = rig(SPILL);
    take_down(&rig);
    let mut writer = writer(&rig, "a.log", 1);
    for _ in 0..3 {
        let mut agent = rig.start();
        for _ in 0..4 {
            writer.write_lines(MANY / 12).unwrap();
        }
        wait_spilled(&rig, &agent);
        agent.sigkill().unwrap();
    }
    bring_up(&rig);
    let agent = rig.start();
    let written = [writer.written()];
    wait_delivered(&rig, &agent, &written);
    let verdict = rig.verdict(&written);
    verdict.assert_exact_by_timestamp();
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn killed_while_it_catches_up_what_is_repeated_is_the_same_to_the_nanosecond() {
    const KILLS: u64 = 3;
    let rig = rig(SPILL);
    take_down(&rig);
    let mut agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    let written = [writer.written()];
    wait_spilled(&rig, &agent);
    bring_up(&rig);
    for part in 1..=KILLS {
        let lines = MANY * part / 4;
        let has_some = |state: &SinkState| state.tally().frontier(1) >= lines;
        assert!(rig.sink.wait_until(has_some, DEADLINE), "{}", agent.log());
        agent.sigkill().unwrap();
        agent = rig.start();
    }
    wait_delivered(&rig, &agent, &written);
    let verdict = rig.verdict(&written);
    verdict.assert_at_least_once(KILLS * MANY);
    assert_eq!(verdict.restamped.count, 0, "{verdict}");
    assert_eq!(verdict.reordered_by_timestamp.count, 0, "{verdict}");
    assert_all_acked(&agent, &written);
    end(agent);
}
