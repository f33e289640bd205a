//! Compressed files: delivered once, whatever happens to the agent half-way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::client;
use tailwater_testkit::fault_sink::SinkState;
use tailwater_testkit::logrotate::{Logrotate, Rule};
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

const GZIP: &str = "    decompression: gzip\n";

/// Writes lines, compresses them, and gives the archive its name at once, as rotation does.
fn pack(rig: &Rig, name: &str, file: u32, lines: u64) -> (PathBuf, Written) {
    let plain = rig.directory.path().join(format!("plain-{file}"));
    let mut writer = LogWriter::open(&plain, file, WriterOptions::default()).unwrap();
    writer.write_lines(lines).unwrap();
    let packed = Command::new("gzip").arg(&plain).status().unwrap();
    assert!(packed.success());
    let path = rig.log(name);
    rename(&plain.with_extension("gz"), &path);
    (path, writer.written())
}

#[expect(clippy::disallowed_methods, reason = "a rename as rotation makes it")]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

#[test]
fn archives_are_delivered_once_and_not_decoded_again_by_the_next_start() {
    let rig = Rig::new(GZIP, "");
    let (_, first) = pack(&rig, "a.log", 1, 5000);
    let mut agent = rig.start();
    let (_, second) = pack(&rig, "b.log", 2, 5000);
    let written = [first, second];
    rig.settle(&agent, &written);
    stop(&mut agent);
    let mut agent = rig.start();
    let (path, third) = pack(&rig, "c.log", 3, 10);
    let written = [first, second, third];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    let status = agent.status().unwrap();
    let files = status["files"].as_array().unwrap();
    assert_eq!(files.len(), 3);
    for file in files {
        assert_eq!(file["offset"], file["size_bytes"], "{file}");
    }
    let len = std::fs::metadata(path).unwrap().len();
    assert_ne!(files[2]["offset"], len, "it is that of the decoded bytes");
    let metrics = agent.metrics().unwrap();
    assert_eq!(
        metrics.get("tailwater_archives_damaged_total", &[]),
        Some(0.0)
    );
    stop(&mut agent);
}

/// Each line once where a backend recognizes repeats, and each life goes on where the last one was.
#[test]
fn an_archive_is_resumed_after_each_kill() {
    let rig = Rig::new(GZIP, "");
    let (_, written) = pack(&rig, "a.log", 1, 60_000);
    let mut committed = 0;
    for _ in 0..4 {
        let mut agent = rig.start();
        let some = |state: &SinkState| state.committed_entries() > committed + 2_000;
        assert!(rig.sink.wait_until(some, DEADLINE), "{}", agent.log());
        agent.sigkill().unwrap();
        committed = rig.sink.inspect(SinkState::committed_entries);
    }
    let mut agent = rig.start();
    rig.settle(&agent, &[written]);
    rig.verdict(&[written]).assert_exact_without_repeats();
    stop(&mut agent);
}

#[test]
fn a_damaged_archive_is_told_of_once_and_the_others_go_on() {
    let rig = Rig::new(GZIP, "");
    let (path, whole) = pack(&rig, "a.log", 1, 2000);
    let bytes = std::fs::read(&path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(bytes.len() as u64 / 2).unwrap();
    let (_, other) = pack(&rig, "b.log", 2, 1000);
    let told = "archive is damaged";
    for life in 0..2 {
        let mut agent = rig.start();
        wait::until(DEADLINE, "it is told of", || {
            life > 0 || agent.log().contains(told)
        })
        .unwrap();
        rig.settle(&agent, &[other]);
        wait_settled(&agent);
        let metrics = client::get(agent.admin(), "/metrics").unwrap().body;
        let metrics = String::from_utf8_lossy(metrics.as_ref()).into_owned();
        let count = format!("tailwater_archives_damaged_total {}", 1 - life);
        assert!(metrics.contains(&count), "{metrics}");
        stop(&mut agent);
        // The log of all lives.
        assert_eq!(agent.log().matches(told).count(), 1);
    }
    let found = rig.sink.inspect(|state| {
        let tally = state.tally().file(whole.file).unwrap();
        (0..whole.acked)
            .filter(|seq| tally.copies(*seq).committed == 1)
            .count()
    });
    assert!((500..1500).contains(&found), "{found} lines");
}

/// A rig whose source takes archives in by its glob, or not; requests arrive in order.
fn rig_of(glob: &str) -> Rig {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace("/*.log\"", &format!("/{glob}\""));
    rig.config.push_str("    max_in_flight: 1\n");
    rig
}

/// Archives match, or are found without that.
const GLOBS: [&str; 2] = ["*.log", "*.log*"];

fn logrotate(rig: &Rig, delay_compress: bool) -> Logrotate {
    let directory = rig.directory.path().join("rotate");
    std::fs::create_dir_all(&directory).unwrap();
    let rule = Rule {
        rotate: 50,
        compress: true,
        delay_compress,
        ..Rule::new([rig.log("*.log").display().to_string()])
    };
    Logrotate::new(&directory, &[rule]).unwrap()
}

fn rotate(logrotate: &Logrotate, writer: &mut LogWriter) {
    logrotate.force().unwrap();
    writer.reopen().unwrap();
}

/// Waits until the agent has nothing to do, and starts it twice more: nothing is sent again.
fn assert_exact_for_good(rig: &Rig, mut agent: Agent, written: &[Written]) {
    rig.settle(&agent, written);
    rig.verdict(written).assert_exact();
    for _ in 0..2 {
        stop(&mut agent);
        agent = rig.start();
        agent.wait_ready().unwrap();
        // Longer than an archive is waited for.
        agent.run_for(Duration::from_millis(800)).unwrap();
        rig.settle(&agent, written);
    }
    rig.verdict(written).assert_exact();
    let metrics = agent.metrics().unwrap();
    assert!(metrics.sum("tailwater_archives_damaged_total", &[]) < 0.5);
    stop(&mut agent);
}

#[test]
fn a_half_delivered_file_that_is_compressed_while_the_agent_is_down_goes_on_in_its_archive() {
    for glob in GLOBS {
        for delay_compress in [true, false] {
            let rig = rig_of(glob);
            let logrotate = logrotate(&rig, delay_compress);
            let mut agent = rig.start();
            let mut writer = rig.writer("app.log", 1);
            writer.write_lines(500).unwrap();
            rig.settle(&agent, &[writer.written()]);
            stop(&mut agent);
            writer.write_lines(500).unwrap();
            rotate(&logrotate, &mut writer);
            writer.write_lines(300).unwrap();
            rotate(&logrotate, &mut writer);
            writer.write_lines(200).unwrap();
            assert!(rig.log("app.log.2.gz").exists());
            assert_eq!(rig.log("app.log.1").exists(), delay_compress);
            let agent = rig.start();
            assert_exact_for_good(&rig, agent, &[writer.written()]);
        }
    }
}

/// The sink is down, so half of the file is still to be sent when it is compressed and deleted.
#[test]
fn a_half_delivered_file_that_is_compressed_while_the_agent_runs_is_delivered_once() {
    for glob in GLOBS {
        let mut rig = rig_of(glob);
        rig.config = rig.config.replace("max_bytes: 64KiB", "max_bytes: 16KiB");
        rig.config.push_str("    queue: { max_bytes: 16KiB }\n");
        let port = rig.sink.port();
        let logrotate = logrotate(&rig, true);
        let agent = rig.start();
        let mut writer = rig.writer("app.log", 1);
        writer.write_lines(500).unwrap();
        rig.settle(&agent, &[writer.written()]);
        rig.sink.stop();
        for round in 0..4 {
            writer.write_lines(500).unwrap();
            rotate(&logrotate, &mut writer);
            // It has seen the new file before the old one is compressed.
            wait::until_ok(DEADLINE, "the new file is found", || {
                let status = agent.status()?;
                let files = status["files"].as_array().map_or(0, Vec::len);
                Ok(files > round + 1)
            })
            .unwrap();
        }
        writer.write_lines(200).unwrap();
        assert!(rig.log("app.log.4.gz").exists());
        rig.sink.start_at(port).unwrap();
        assert_exact_for_good(&rig, agent, &[writer.written()]);
    }
}

#[test]
fn the_archive_of_a_file_that_was_delivered_is_never_sent_again() {
    for delay_compress in [true, false] {
        let rig = rig_of("*.log*");
        let logrotate = logrotate(&rig, delay_compress);
        let mut agent = rig.start();
        let mut writer = rig.writer("app.log", 1);
        for round in 0..6 {
            writer.write_lines(300).unwrap();
            rig.settle(&agent, &[writer.written()]);
            rotate(&logrotate, &mut writer);
            if round % 3 == 2 {
                stop(&mut agent);
                agent = rig.start();
            }
        }
        writer.write_lines(100).unwrap();
        assert!(rig.log("app.log.6.gz").exists() || delay_compress);
        // Whatever was still open is taken for its archive by now.
        agent.run_for(Duration::from_millis(1500)).unwrap();
        assert_exact_for_good(&rig, agent, &[writer.written()]);
    }
}

#[test]
fn archives_that_match_are_read_once_without_being_told_of() {
    let rig = rig_of("*.log*");
    let (_, first) = pack(&rig, "old.log.2.gz", 1, 3000);
    let agent = rig.start();
    let (path, second) = pack(&rig, "other.log.7.gz", 2, 3000);
    let written = [first, second];
    rig.settle(&agent, &written);
    // Rotation goes on.
    rename(&path, &rig.log("other.log.8.gz"));
    assert_exact_for_good(&rig, agent, &written);
}

/// What was in flight is read again out of the archive, with the same bounds and times.
#[test]
fn a_file_that_is_compressed_after_a_kill_is_resumed_without_a_repeat() {
    for glob in GLOBS {
        let rig = rig_of(glob);
        let logrotate = logrotate(&rig, false);
        let mut writer = rig.writer("app.log", 1);
        writer.write_lines(60_000).unwrap();
        let mut committed = 0;
        for _ in 0..4 {
            let mut agent = rig.start();
            let some = |state: &SinkState| state.committed_entries() > committed + 2_000;
            assert!(rig.sink.wait_until(some, DEADLINE), "{}", agent.log());
            agent.sigkill().unwrap();
            committed = rig.sink.inspect(SinkState::committed_entries);
            rotate(&logrotate, &mut writer);
            writer.write_lines(10).unwrap();
        }
        let mut agent = rig.start();
        rig.settle(&agent, &[writer.written()]);
        rig.verdict(&[writer.written()])
            .assert_exact_without_repeats();
        stop(&mut agent);
    }
}

/// Decompressed to be looked into, as an operator does.
#[test]
fn an_archive_that_is_decompressed_again_is_not_sent_twice() {
    let rig = rig_of("*.log*");
    let (path, written) = pack(&rig, "app.log.3.gz", 1, 2000);
    let mut agent = rig.start();
    rig.settle(&agent, &[written]);
    assert!(
        Command::new("gunzip")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    assert!(rig.log("app.log.3").exists());
    agent.run_for(Duration::from_millis(1500)).unwrap();
    assert_exact_for_good(&rig, agent, &[written]);
}
