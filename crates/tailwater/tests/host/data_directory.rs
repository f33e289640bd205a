//! A data directory that is full or read-only: at the start it is refused by name, later delivery goes
//! on without it.

use std::path::Path;
use std::process::{Command, Output};

use tailwater_testkit::agent::Agent;
use tailwater_testkit::wait;
use tailwater_testkit::writer::LogWriter;

use crate::mount::{Ballast, Mount, ext4_image};
use crate::rig::{DEADLINE, Rig, stop};

const FAILURES: &str = "tailwater_checkpoint_failures_total";

/// A rig whose positions are written often.
fn rig() -> Rig {
    let mut rig = Rig::new("", "");
    rig.config.insert_str(0, "checkpoint_interval: 20ms\n");
    rig
}

/// Writes and delivers until positions could not be written.
#[track_caller]
fn deliver_until_positions_fail(rig: &Rig, agent: &Agent, writer: &mut LogWriter) {
    wait::until_ok(DEADLINE, "positions cannot be written", || {
        writer.write_lines(10)?;
        rig.settle(agent, &[writer.written()]);
        Ok(agent.metrics()?.sum(FAILURES, &[]) > 0.5)
    })
    .unwrap();
    wait::until(DEADLINE, "the agent says that it goes on", || {
        agent
            .log()
            .contains("cannot write positions: delivery goes on")
    })
    .unwrap();
}

#[track_caller]
fn wait_written_again(agent: &Agent) {
    wait::until(DEADLINE, "positions are written again", || {
        agent.log().contains("positions are written again")
    })
    .unwrap();
}

/// Starts again, writes more, and asserts that all arrived with at most so many repeats.
#[track_caller]
fn restart_and_judge(rig: &Rig, writer: &mut LogWriter, max_duplicates: u64) -> u64 {
    let mut agent = rig.start();
    writer.write_lines(100).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    let verdict = rig.verdict(&written);
    verdict.assert_at_least_once(max_duplicates);
    stop(&mut agent);
    verdict.duplicates()
}

#[test]
fn a_data_directory_that_fills_up_stops_no_delivery_and_is_used_again_when_there_is_room() {
    let rig = rig();
    let data = Mount::tmpfs(&rig.directory.path().join("data"), "size=1M");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    rig.settle(&agent, &[writer.written()]);
    let ballast = Ballast::fill(data.path());
    deliver_until_positions_fail(&rig, &agent, &mut writer);
    assert!(
        agent.log().contains("No space left on device"),
        "{}",
        agent.log()
    );
    writer.write_lines(500).unwrap();
    rig.settle(&agent, &[writer.written()]);
    drop(ballast);
    wait_written_again(&agent);
    stop(&mut agent);
    restart_and_judge(&rig, &mut writer, 0);
}

#[test]
fn stopped_with_a_full_data_directory_only_what_was_not_stored_is_repeated() {
    let rig = rig();
    let data = Mount::tmpfs(&rig.directory.path().join("data"), "size=1M");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    rig.settle(&agent, &[writer.written()]);
    // Stopped and started: what was delivered up to here is stored.
    stop(&mut agent);
    let mut agent = rig.start();
    let stored = writer.written().acked;
    let ballast = Ballast::fill(data.path());
    deliver_until_positions_fail(&rig, &agent, &mut writer);
    writer.write_lines(50).unwrap();
    rig.settle(&agent, &[writer.written()]);
    let not_stored = writer.written().acked - stored;
    stop(&mut agent);
    drop(ballast);
    let repeated = restart_and_judge(&rig, &mut writer, not_stored);
    assert!(
        repeated >= 50,
        "the disk was not full: {repeated} lines were repeated"
    );
    assert_eq!(restart_and_judge(&rig, &mut writer, repeated), repeated);
}

/// Asserts that the agent does not start: code 1, the directory, the reason, and what to do.
#[track_caller]
fn refused(rig: &Rig, data: &Path, reason: &str) {
    let output = run(rig);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let hint = said
        .split("hint: ")
        .nth(1)
        .unwrap_or_else(|| panic!("no hint in:\n{said}"));
    for part in [&*data.display().to_string(), reason] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    assert!(
        hint.contains("data_dir") && hint.contains("write") && !hint.contains("one agent"),
        "{said}"
    );
}

fn run(rig: &Rig) -> Output {
    let config = rig.directory.path().join("c.yaml");
    if !config.exists() {
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new()
                .create_new(true)
                .write(true)
                .open(&config)
                .unwrap(),
            rig.config.as_bytes(),
        )
        .unwrap();
    }
    Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .args(["run", "--config", "c.yaml"])
        .current_dir(rig.directory.path())
        .output()
        .unwrap()
}

#[test]
fn a_data_directory_that_is_full_at_the_start_is_refused_by_name_and_used_once_there_is_room() {
    let rig = rig();
    let data = Mount::tmpfs(&rig.directory.path().join("data"), "size=1M");
    let ballast = Ballast::fill(data.path());
    refused(&rig, data.path(), "No space left on device");
    drop(ballast);
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    rig.settle(&agent, &[writer.written()]);
    stop(&mut agent);
    // The same with positions in it.
    let ballast = Ballast::fill(data.path());
    refused(&rig, data.path(), "No space left on device");
    drop(ballast);
    restart_and_judge(&rig, &mut writer, 0);
}

#[test]
fn a_data_directory_that_is_read_only_at_the_start_is_refused_by_name_and_used_once_it_is_not() {
    let rig = rig();
    let data = Mount::tmpfs(&rig.directory.path().join("data"), "size=1M,ro");
    refused(&rig, data.path(), "Read-only file system");
    data.remount("rw");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    rig.settle(&agent, &[writer.written()]);
    stop(&mut agent);
    data.remount("ro");
    refused(&rig, data.path(), "Read-only file system");
    data.remount("rw");
    restart_and_judge(&rig, &mut writer, 0);
}

/// What ext4 does when its disk fails. It never becomes writable again; its operator mounts another.
#[test]
fn a_data_directory_that_turns_read_only_stops_no_delivery_and_its_replacement_is_used() {
    let rig = rig();
    let path = rig.directory.path().join("data");
    let images = ["first.img", "second.img"].map(|name| rig.directory.path().join(name));
    images.iter().for_each(|image| ext4_image(image, 8 << 20));
    let mut first = Mount::image(&images[0], &path);
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    rig.settle(&agent, &[writer.written()]);
    first.remount("abort");
    deliver_until_positions_fail(&rig, &agent, &mut writer);
    assert!(
        agent.log().contains("Read-only file system"),
        "{}",
        agent.log()
    );
    writer.write_lines(500).unwrap();
    rig.settle(&agent, &[writer.written()]);
    first.detach();
    let _second = Mount::image(&images[1], &path);
    wait_written_again(&agent);
    stop(&mut agent);
    restart_and_judge(&rig, &mut writer, 0);
}
