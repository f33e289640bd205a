//! Files that are rotated away and deleted while their sink is down.

use tailwater_testkit::agent::Agent;
use tailwater_testkit::logrotate::{Logrotate, Rule};
use tailwater_testkit::wait;
use tailwater_testkit::writer::LogWriter;

use crate::rig::{DEADLINE, Rig};
use crate::setup::{
    assert_all_acked, bring_up, end, float, metric, rig, take_down, wait_books, wait_delivered,
    wait_read, wait_spilled, writer,
};

const ROTATIONS: u32 = 20;

/// Writes through rotations each of which deletes what the one before it has renamed. A file is rotated
/// only once it was found: nothing is promised for one that no reader could open.
fn rotate_through(rig: &Rig, agent: &Agent, writer: &mut LogWriter) {
    let directory = rig.directory.path().join("rotate");
    std::fs::create_dir(&directory).unwrap();
    let rule = Rule {
        rotate: 1,
        ..Rule::new([rig.log("*.log").display().to_string()])
    };
    let logrotate = Logrotate::new(&directory, &[rule]).unwrap();
    writer.write_lines(250).unwrap();
    for rotation in 1..=ROTATIONS {
        wait::until_ok(DEADLINE, "the file is found", || {
            let found = agent.metrics()?.sum("tailwater_files_found_total", &[]);
            Ok(found > f64::from(rotation) - 0.5)
        })
        .unwrap();
        logrotate.force().unwrap();
        writer.write_lines(250).unwrap();
        writer.reopen().unwrap();
        writer.write_lines(250).unwrap();
    }
}

#[test]
fn with_a_spill_what_was_deleted_unsent_arrives_in_order_and_the_disk_is_given_back() {
    let rig = rig(&["when_full: spill", "spill: { max_bytes: 64MiB }"]);
    take_down(&rig);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    rotate_through(&rig, &agent, &mut writer);
    let written = [writer.written()];
    wait_read(&agent, &written);
    wait_spilled(&rig, &agent);
    bring_up(&rig);
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn with_block_what_was_deleted_unread_is_held_open_and_arrives_in_order() {
    let rig = rig(&["when_full: block"]);
    take_down(&rig);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    rotate_through(&rig, &agent, &mut writer);
    let written = [writer.written()];
    wait_books(&agent, "reading waits for room", |_| {
        metric(&agent, "tailwater_room_refusals_total", &[]) > 0.5
    });
    let read = metric(&agent, "tailwater_read_records_total", &[]);
    assert!(
        read < float(writer.written().acked),
        "nothing was held back"
    );
    let open = metric(&agent, "tailwater_files_open", &[]);
    assert!(open > 10.0, "deleted files are not held: {open} are open");
    bring_up(&rig);
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    assert_all_acked(&agent, &written);
    end(agent);
}
