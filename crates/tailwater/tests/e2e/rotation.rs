//! Rotation by the real logrotate, while the agent is stopped, killed and started.

use std::time::Duration;

use tailwater_testkit::logrotate::{Logrotate, Method, Rule};
use tailwater_testkit::writer::LogWriter;

use crate::rig::{Rig, stop};

fn rotate(rig: &Rig, rule: Rule) -> Logrotate {
    let directory = rig.directory.path().join("rotate");
    std::fs::create_dir_all(&directory).unwrap();
    Logrotate::new(&directory, &[rule]).unwrap()
}

fn rule(rig: &Rig) -> Rule {
    Rule {
        rotate: 50,
        ..Rule::new([rig.log("*.log").display().to_string()])
    }
}

/// Writes to the old descriptor too, as a server does until it is told to reopen.
fn rotate_and_go_on(logrotate: &Logrotate, writer: &mut LogWriter, lines: u64) {
    logrotate.force().unwrap();
    writer.write_lines(lines).unwrap();
    writer.reopen().unwrap();
    writer.write_lines(lines).unwrap();
}

#[test]
fn twenty_rotations_lose_and_repeat_nothing() {
    let rig = Rig::new("", "");
    let logrotate = rotate(&rig, rule(&rig));
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    for _ in 0..20 {
        rotate_and_go_on(&logrotate, &mut writer, 200);
    }
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn rotations_with_compression_lose_and_repeat_nothing() {
    let rig = Rig::new("", "");
    let compress = Rule {
        compress: true,
        delay_compress: true,
        ..rule(&rig)
    };
    let logrotate = rotate(&rig, compress);
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    for _ in 0..10 {
        writer.write_lines(500).unwrap();
        rotate_and_go_on(&logrotate, &mut writer, 500);
        // The next rotation compresses and deletes what this one renamed: nothing is promised for a
        // file that is deleted before any reader could open it.
        rig.settle(&agent, &[writer.written()]);
    }
    let written = [writer.written()];
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn stopping_while_lines_are_written_and_files_rotated_repeats_nothing() {
    let rig = Rig::new("", "");
    let logrotate = rotate(&rig, rule(&rig));
    let mut writer = rig.writer("a.log", 1);
    for _ in 0..6 {
        let mut agent = rig.start();
        writer.write_lines(300).unwrap();
        rotate_and_go_on(&logrotate, &mut writer, 300);
        stop(&mut agent);
        writer.write_lines(100).unwrap();
    }
    let mut agent = rig.start();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn three_rotations_while_the_agent_is_down_lose_and_repeat_nothing() {
    let rig = Rig::new("", "");
    let logrotate = rotate(&rig, rule(&rig));
    let mut writer = rig.writer("a.log", 1);
    let mut agent = rig.start();
    writer.write_lines(500).unwrap();
    rig.settle(&agent, &[writer.written()]);
    stop(&mut agent);
    for _ in 0..3 {
        rotate_and_go_on(&logrotate, &mut writer, 200);
    }
    let mut agent = rig.start();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

/// The bound of docs/operating.md: what was acked since the last checkpoint, and what was in flight.
/// Here each round writes 900 lines at most before the kill.
#[test]
fn killing_while_lines_are_written_and_files_rotated_loses_nothing_and_repeats_within_the_bound() {
    let rig = Rig::new("", "");
    let logrotate = rotate(&rig, rule(&rig));
    let mut writer = rig.writer("a.log", 1);
    for _ in 0..6 {
        let mut agent = rig.start();
        writer.write_lines(300).unwrap();
        rotate_and_go_on(&logrotate, &mut writer, 300);
        agent.sigkill().unwrap();
    }
    let mut agent = rig.start();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_at_least_once(6 * 900);
    stop(&mut agent);
}

#[test]
fn copytruncate_delivers_every_line_that_a_caught_up_reader_could_see() {
    let rig = Rig::new("", "");
    let logrotate = rotate(
        &rig,
        Rule {
            method: Method::CopyTruncate,
            ..rule(&rig)
        },
    );
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    for _ in 0..10 {
        writer.write_lines(300).unwrap();
        // Nothing is written between copy and truncation, which no reader could see.
        rig.settle(&agent, &[writer.written()]);
        logrotate.force().unwrap();
    }
    writer.write_lines(300).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    assert!(
        agent
            .metrics()
            .unwrap()
            .sum("tailwater_files_truncated_total", &[])
            > 0.5
    );
    stop(&mut agent);
}

#[test]
fn a_sink_that_is_down_through_ten_rotations_gets_every_line_in_order() {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace("max_bytes: 64KiB", "max_bytes: 16KiB");
    rig.config
        .push_str("    queue: { max_bytes: 16KiB }\n    max_in_flight: 1\n");
    let port = rig.sink.port();
    let logrotate = rotate(&rig, rule(&rig));
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(200).unwrap();
    rig.settle(&agent, &[writer.written()]);
    rig.sink.stop();
    for _ in 0..10 {
        rotate_and_go_on(&logrotate, &mut writer, 200);
    }
    rig.sink.start_at(port).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact();
    let status = agent.sigterm(Duration::from_secs(15)).unwrap();
    assert!(status.success());
}
