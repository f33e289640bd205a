//! Compressed files: delivered once, whatever happens to the agent half-way.

use std::path::{Path, PathBuf};
use std::process::Command;

use tailwater_testkit::client;
use tailwater_testkit::fault_sink::SinkState;
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
