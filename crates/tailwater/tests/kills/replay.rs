//! What is sent again after a kill is what it was.

use std::path::Path;
use std::time::Duration;

use tailwater_failpoint::VARIABLE;
use tailwater_testkit::fault_sink::SinkState;
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::writer::{LogWriter, WriterOptions};

use crate::rig::{DEADLINE, Rig, Setup};

/// The file was found empty, so that its fingerprint says nothing, and nothing was made durable since:
/// only the bytes themselves tell that they are others. An inode that is reused looks the same.
#[test]
fn a_file_with_other_content_is_not_cut_where_batches_of_the_old_one_ended() {
    let setup = Setup {
        checkpoint_interval: Duration::from_secs(600),
        ..Setup::default()
    };
    let rig = Rig::new(&setup);
    let open = |file| {
        let path = rig.logs().join("a.log");
        LogWriter::open(path, file, WriterOptions::default()).unwrap()
    };
    let mut old = open(0);
    let mut agent = rig.start();
    old.write_lines(100).unwrap();
    let has_all = |written| {
        rig.sink
            .wait_until(|state| state.has_all(&[written]), DEADLINE)
    };
    assert!(has_all(old.written()));
    agent.sigkill().unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(old.path())
        .unwrap();
    let mut new = open(1);
    new.write_lines(300).unwrap();
    let agent = rig.start();
    assert!(has_all(new.written()), "{}", agent.log());
    let written = [old.written(), new.written()];
    let verdict = rig.sink.inspect(|state| Verdict::new(&written, state));
    verdict.assert_exact_without_repeats();
}

/// The file that had the inode before was stored when it was empty: nothing but its path tells the two
/// apart.
#[test]
fn a_file_with_the_inode_of_an_empty_one_keeps_its_own_labels() {
    let setup = Setup {
        checkpoint_interval: Duration::from_secs(600),
        ..Setup::default()
    };
    let rig = Rig::new(&setup);
    let path = |name: &str| rig.logs().join(name);
    let elsewhere = rig.directory.path().join("elsewhere");
    LogWriter::open(path("empty.log"), 9, WriterOptions::default()).unwrap();
    rig.start().sigkill().unwrap();
    rename(&path("empty.log"), &elsewhere);
    let mut agent = rig.start();
    rename(&elsewhere, &path("full.log"));
    let mut writer = LogWriter::open(path("full.log"), 0, WriterOptions::default()).unwrap();
    writer.write_lines(100).unwrap();
    let written = [writer.written()];
    let has_all = |state: &SinkState| state.has_all(&written);
    assert!(rig.sink.wait_until(has_all, DEADLINE), "{}", agent.log());
    agent.sigkill().unwrap();
    rename(&path("full.log"), &path("full.log.1"));
    let agent = rig.start();
    // What it had not yet made durable is sent again.
    let is_repeated = |state: &SinkState| state.committed_entries() >= 200;
    assert!(
        rig.sink.wait_until(is_repeated, DEADLINE),
        "{}",
        agent.log()
    );
    let verdict = rig.sink.inspect(|state| Verdict::new(&written, state));
    verdict.assert_exact_without_repeats();
}

/// Of several files that were made and renamed while the agent was down, each is found by its name and by
/// its being younger than the newest that is stored. So none may be stored without the others.
#[test]
fn generations_that_are_found_together_are_stored_together() {
    let rig = Rig::new(&Setup::default());
    let path = |name: &str| rig.logs().join(name);
    let mut writer = LogWriter::open(path("a.log"), 0, WriterOptions::default()).unwrap();
    writer.write_lines(10).unwrap();
    rig.start().sigkill().unwrap();
    // As rotation would name them in the end: the oldest has the highest number.
    for number in (1..=80).rev() {
        rename(&path("a.log"), &path(&format!("a.log.{number}")));
        writer.reopen().unwrap();
        writer.write_lines(2).unwrap();
    }
    // The first checkpoint is that of the first file that was found.
    let mut agent = rig.launch(&[(VARIABLE, "checkpoint_done:1")]);
    agent.wait_killed(DEADLINE).unwrap();
    let agent = rig.start();
    let written = [writer.written()];
    let has_all = |state: &SinkState| state.has_all(&written);
    assert!(rig.sink.wait_until(has_all, DEADLINE), "{}", agent.log());
    let verdict = rig.sink.inspect(|state| Verdict::new(&written, state));
    verdict.assert_exact_without_repeats();
}

#[expect(clippy::disallowed_methods, reason = "a rename as others make it")]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}
