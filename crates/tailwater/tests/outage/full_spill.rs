//! A spill that reaches its limit: what happens then is what the configuration says.

use crate::rig::Rig;
use crate::setup::{
    MANY, assert_all_acked, assert_dropped_exactly, assert_only_newest, bring_up, end, float,
    metric, rig, take_down, wait_books, wait_delivered, wait_gone, wait_read, wait_spilled, writer,
};

/// A spill of 1 MiB: less than half of what the tests write.
fn small_spill(then: &str) -> Rig {
    let spill = format!("spill: {{ max_bytes: 1MiB, then: {then} }}");
    rig(&["when_full: spill", &spill])
}

const MAX_BYTES: f64 = 1_048_576.0;

#[test]
fn then_block_holds_the_rest_in_its_files_and_loses_nothing() {
    let rig = small_spill("block");
    take_down(&rig);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    let written = [writer.written()];
    wait_books(&agent, "the spill is full", |_| {
        metric(&agent, "tailwater_spill_full", &[]) > 0.5
    });
    wait_spilled(&rig, &agent);
    let read = metric(&agent, "tailwater_read_records_total", &[]);
    assert!(read < float(MANY), "nothing was held back");
    assert!(metric(&agent, "tailwater_spill_bytes", &[]) <= MAX_BYTES);
    bring_up(&rig);
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn then_drop_newest_counts_exactly_what_is_missing_and_recovers() {
    let rig = small_spill("drop_newest");
    take_down(&rig);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_spilled(&rig, &agent);
    assert!(metric(&agent, "tailwater_spill_bytes", &[]) <= MAX_BYTES);
    bring_up(&rig);
    wait_gone(&rig, &agent);
    let first = writer.written().acked;
    // Whole again: nothing is dropped any more.
    writer.write_lines(500).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_gone(&rig, &agent);
    let missing = assert_dropped_exactly(&rig, &agent, "queue_full", &[writer.written()]).concat();
    let lines_per_batch = rig.sink.inspect(|state| state.requests()[0].entries);
    assert_only_newest(&missing, first, lines_per_batch);
    end(agent);
}

#[test]
fn then_drop_oldest_counts_exactly_what_is_missing_and_recovers() {
    let rig = small_spill("drop_oldest");
    take_down(&rig);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_spilled(&rig, &agent);
    assert!(metric(&agent, "tailwater_spill_bytes", &[]) <= MAX_BYTES);
    bring_up(&rig);
    wait_gone(&rig, &agent);
    writer.write_lines(500).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_gone(&rig, &agent);
    let missing = assert_dropped_exactly(&rig, &agent, "spill_full", &[writer.written()]).concat();
    let contiguous: Vec<u64> = (missing[0]..missing[0] + len(&missing)).collect();
    assert_eq!(missing, contiguous, "not only the oldest were dropped");
    assert!(
        *missing.last().unwrap() < MANY - 1,
        "the newest were dropped"
    );
    end(agent);
}

fn len(missing: &[u64]) -> u64 {
    u64::try_from(missing.len()).unwrap()
}
