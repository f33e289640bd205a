//! A spill that outlives its agent: it goes first, and a configuration that has changed loses nothing.

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::SinkState;
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, stop};
use crate::setup::{
    MANY, assert_all_acked, assert_count, bring_up, dropped, end, rig, rig_with, segments,
    take_down, wait_books, wait_delivered, wait_read, wait_spilled, writer,
};

const SPILL: &[&str] = &["when_full: spill", "spill: { max_bytes: 64MiB }"];

#[track_caller]
fn wait_said(agent: &Agent, text: &str) {
    wait::until(DEADLINE, &format!("the agent says: {text}"), || {
        agent.log().contains(text)
    })
    .unwrap();
}

/// Leaves a backlog of a file that is gone, and stops.
fn leave_backlog(rig: &Rig) -> tailwater_testkit::writer::LogWriter {
    take_down(rig);
    let mut agent = rig.start();
    let mut writer = writer(rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_spilled(rig, &agent);
    std::fs::remove_file(rig.log("a.log")).unwrap();
    stop(&mut agent);
    writer
}

#[test]
fn after_a_restart_the_spill_goes_first_and_live_lines_follow_in_order() {
    let rig = rig(SPILL);
    let mut writer = leave_backlog(&rig);
    // The same program goes on in a new file, before and after the agent is back.
    writer.reopen().unwrap();
    writer.write_lines(2000).unwrap();
    bring_up(&rig);
    let agent = rig.start();
    writer.write_lines(2000).unwrap();
    let written = [writer.written()];
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    wait_said(&agent, "the spill of an earlier run is delivered first");
    end(agent);
}

#[test]
fn the_spill_of_a_sink_that_was_renamed_is_left_and_named_until_the_name_is_back() {
    let rig = rig(SPILL);
    let writer = leave_backlog(&rig);
    let left = segments(&rig);
    let renamed = rig
        .config
        .replacen("sinks:\n  loki:\n", "sinks:\n  other:\n", 1);
    bring_up(&rig);
    let mut agent = crate::rig::start(&renamed, rig.directory.path());
    wait_said(&agent, "a spill is left of a sink that is not configured");
    stop(&mut agent);
    assert_eq!(segments(&rig), left, "the spill was touched");
    let agent = rig.start();
    let written = [writer.written()];
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn the_spill_of_a_source_that_went_another_way_is_delivered_all_the_same() {
    let rig = rig_with("    tenant: shop\n", "", SPILL);
    let writer = leave_backlog(&rig);
    bring_up(&rig);
    // Nothing feeds the lane of that tenant any more.
    let moved = rig.config.replacen("tenant: shop", "tenant: store", 1);
    let agent = crate::rig::start(&moved, rig.directory.path());
    let written = [writer.written()];
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    let of_shop = rig.sink.inspect(|state| {
        let entries = state.entries().iter();
        entries
            .filter(|entry| entry.tenant.as_deref() == Some("shop"))
            .count()
    });
    assert_eq!(
        u64::try_from(of_shop).unwrap(),
        MANY,
        "sent for another tenant"
    );
    end(agent);
}

/// Starts with the other encoding; waits until it says why the spill stays.
fn start_with_json(rig: &Rig) -> Agent {
    let json = rig
        .config
        .replacen("timeout: 2s", "timeout: 2s, encoding: json", 1);
    let agent = crate::rig::start(&json, rig.directory.path());
    wait_said(
        &agent,
        "the spill holds another encoding than the sink sends",
    );
    agent
}

#[test]
fn a_spill_in_another_encoding_is_kept_and_said_and_goes_on_when_it_is_set_back() {
    let rig = rig(SPILL);
    let writer = leave_backlog(&rig);
    bring_up(&rig);
    let mut agent = start_with_json(&rig);
    stop(&mut agent);
    assert_eq!(rig.sink.inspect(SinkState::committed_entries), 0);
    let agent = rig.start();
    let written = [writer.written()];
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    end(agent);
}

/// What was read meanwhile stands behind it, and in turn waits for its own encoding.
#[test]
fn lines_that_came_while_another_encoding_was_set_are_delivered_after_the_spill() {
    let rig = rig(SPILL);
    let mut writer = leave_backlog(&rig);
    bring_up(&rig);
    let mut agent = start_with_json(&rig);
    writer.reopen().unwrap();
    writer.write_lines(2000).unwrap();
    let written = [writer.written()];
    wait_books(&agent, "the live lines are read", |books| {
        books.iter().map(|route| route.read).sum::<f64>() > crate::setup::float(MANY + 2000) - 0.5
    });
    stop(&mut agent);
    let mut agent = rig.start();
    let first = rig
        .sink
        .wait_until(|state| state.tally().frontier(1) >= MANY, DEADLINE);
    assert!(first, "{}", agent.log());
    stop(&mut agent);
    let json = rig
        .config
        .replacen("timeout: 2s", "timeout: 2s, encoding: json", 1);
    let agent = crate::rig::start(&json, rig.directory.path());
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    assert_count("dropped", dropped(&agent, "spill_damaged"), 0);
    end(agent);
}
