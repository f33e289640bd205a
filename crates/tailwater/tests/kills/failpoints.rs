//! The agent kills itself at every named place, once and several times in a row.

use std::time::Duration;

use tailwater_failpoint::{NAMES, VARIABLE};
use tailwater_testkit::load::Pace;

use crate::rig::{DEADLINE, Policy, Rig, Setup};
use crate::weather::Weather;

/// At which coming to the place the agent dies, start after start.
const COUNTS: [&[u64]; 4] = [&[1], &[1, 1], &[4], &[5, 2]];

/// Enough for a queue of 48 KiB to overflow in an outage.
const PACE: Pace = Pace {
    lines: 10,
    rest: Duration::from_millis(5),
};

/// Kills the agent at one place in all the ways of [`COUNTS`], each in a rig of its own.
fn survives(name: &str, policy: Policy) {
    assert!(NAMES.contains(&name), "{name} is no failpoint");
    std::thread::scope(|scope| {
        for counts in COUNTS {
            scope.spawn(move || survives_counts(name, policy, counts));
        }
    });
}

fn survives_counts(name: &str, policy: Policy, counts: &[u64]) {
    let setup = Setup {
        policy,
        ..Setup::default()
    };
    let rig = Rig::new(&setup);
    let loads = rig.loads(2, PACE);
    let weather = Weather::tide(&rig.sink);
    die_at(&rig, name, counts);
    drop(weather);
    rig.judge(loads).assert_nothing_is_lost();
}

fn die_at(rig: &Rig, name: &str, counts: &[u64]) {
    for count in counts {
        let variable = format!("{name}:{count}");
        let mut agent = rig.launch(&[(VARIABLE, &variable)]);
        agent
            .wait_killed(DEADLINE)
            .unwrap_or_else(|error| panic!("the agent never came to {variable}: {error:#}"));
    }
}

/// Makes the tests, and the list of the names that they cover.
macro_rules! failpoints {
    ($($test:ident: $name:literal under $($policy:ident),+;)+) => {
        const COVERED: &[&str] = &[$($name),+];

        $(
            #[test]
            fn $test() {
                $(survives($name, Policy::$policy);)+
            }
        )+
    };
}

failpoints! {
    a_kill_before_a_read_loses_nothing: "read" under Block, Spill;
    a_kill_when_a_batch_is_sealed_loses_nothing: "seal" under Block, Spill;
    a_kill_before_an_intent_is_written_loses_nothing: "intent_before" under Block, Spill;
    a_kill_after_an_intent_is_written_loses_nothing: "intent_after" under Block, Spill;
    a_kill_before_a_batch_is_sent_loses_nothing: "send" under Block, Spill;
    a_kill_when_a_batch_is_answered_loses_nothing: "ack" under Block, AlwaysSpill;
    a_kill_before_a_batch_is_settled_loses_nothing: "settle" under Block, AlwaysSpill;
    a_kill_before_a_frame_is_appended_loses_nothing: "spill_append" under Spill, AlwaysSpill;
    a_kill_before_frames_are_synced_loses_nothing: "spill_sync" under Spill, AlwaysSpill;
    a_kill_after_frames_are_synced_loses_nothing: "spill_synced" under Spill, AlwaysSpill;
    a_kill_before_a_frame_is_in_the_books_loses_nothing: "spill_enter" under Spill, AlwaysSpill;
    a_kill_before_a_frame_is_read_loses_nothing: "spill_read" under Spill, AlwaysSpill;
    a_kill_before_space_is_given_back_loses_nothing: "spill_release" under Spill, AlwaysSpill;
    a_kill_before_positions_are_written_loses_nothing: "checkpoint_append" under Block, Spill;
    a_kill_before_positions_are_synced_loses_nothing: "checkpoint_sync" under Block, Spill;
    a_kill_after_positions_are_synced_loses_nothing: "checkpoint_done" under Block, Spill;
}

/// A journal is compacted once it has 1 MiB: many files and many checkpoints.
fn survives_compaction(name: &str, counts: &[u64]) {
    let setup = Setup {
        checkpoint_interval: Duration::from_millis(10),
        ..Setup::default()
    };
    let rig = Rig::new(&setup);
    let pace = Pace {
        lines: 1,
        rest: Duration::from_millis(20),
    };
    let loads = rig.loads(100, pace);
    die_at(&rig, name, counts);
    rig.judge(loads).assert_nothing_is_lost();
}

#[test]
fn a_kill_before_the_journal_is_compacted_loses_nothing() {
    survives_compaction("compact_write", &[1]);
    survives_compaction("compact_write", &[1, 1]);
}

#[test]
fn a_kill_after_the_journal_was_compacted_loses_nothing() {
    survives_compaction("compact_done", &[1]);
    survives_compaction("compact_done", &[1, 1]);
}

#[test]
fn every_failpoint_has_a_test() {
    let compaction = ["compact_write", "compact_done"];
    let untested: Vec<_> = NAMES
        .iter()
        .filter(|name| !COVERED.contains(name) && !compaction.contains(name))
        .collect();
    assert!(untested.is_empty(), "{untested:?}");
}
