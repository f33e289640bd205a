//! Runs that go on where others were ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tailwater_engine::FileState;

use crate::rig::{DEADLINE, Mode, Ran, Received, Rig, gzip, numbered, texts, write};

/// Every batch that came twice was the same both times.
fn assert_repeats_are_the_same(stored: &[Received]) {
    let mut by_batch: BTreeMap<u64, Vec<&Received>> = BTreeMap::new();
    for record in stored {
        by_batch.entry(record.batch).or_default().push(record);
    }
    for records in by_batch.values() {
        let (first, second) = records.split_at(records.len() / 2);
        let mut times: Vec<u64> = records.iter().map(|record| record.timestamp).collect();
        times.sort_unstable();
        let is_once = times.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(is_once || first == second, "{records:?}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests rotate logs as logrotate does"
)]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

/// Compresses a file as logrotate does.
fn compress(rig: &Rig, from: &str, to: &str) {
    let bytes = std::fs::read(rig.path(from)).unwrap();
    write(&rig.path(to), gzip(bytes));
    std::fs::remove_file(rig.path(from)).unwrap();
}

#[tokio::test]
async fn a_run_that_ended_within_an_archive_goes_on_there() {
    let rig = Rig::new();
    write(&rig.path("a.gz"), gzip(numbered(0, 30_000)));
    write(&rig.path("b.log"), numbered(30_000, 1000));
    let chain = ["a.gz", "b.log"];
    let ran = rig.run_until_hung(&[&chain], 40).await;
    assert!(ran.unacked > 0);
    let lines = usize::try_from(ran.files[0].lines_read).unwrap();
    let bytes = numbered(0, lines).len() as u64;
    assert_eq!(
        ran.files[0].decoded_bytes, bytes,
        "what is read, and not what is read ahead"
    );
    let before = rig.stored();
    assert!(!before.is_empty() && before.len() < 30_000);
    let ran = rig.run(&[&chain], 1).await;
    assert!(ran.files[0].resumed_at > 0);
    assert!(ran.files[0].lines_read < 30_000);
    assert_eq!(ran.files[0].state, FileState::Whole);
    assert_eq!(rig.lines(), texts(&numbered(0, 31_000)));
    let stored = rig.stored();
    assert!(stored.len() > 31_000, "what was not answered comes again");
    assert_repeats_are_the_same(&stored);
    // And then there is nothing left to do.
    let ran = rig.run(&[&chain], 1).await;
    let states: Vec<FileState> = ran.files.into_iter().map(|file| file.state).collect();
    assert_eq!(
        states,
        [FileState::AlreadyDelivered, FileState::AlreadyDelivered]
    );
    assert_eq!(rig.stored(), stored);
}

#[tokio::test]
async fn a_file_that_was_renamed_and_compressed_in_between_goes_on() {
    let rig = Rig::new();
    write(&rig.path("app.log.2"), numbered(0, 500));
    write(&rig.path("app.log.1"), numbered(500, 20_000));
    rig.run_until_hung(&[&["app.log.2", "app.log.1"]], 30).await;
    compress(&rig, "app.log.2", "app.log.4.gz");
    rename(&rig.path("app.log.1"), &rig.path("app.log.2"));
    compress(&rig, "app.log.2", "app.log.3.gz");
    write(&rig.path("app.log.2"), numbered(20_500, 100));
    let chain = ["app.log.4.gz", "app.log.3.gz", "app.log.2"];
    let ran = rig.run(&[&chain], 1).await;
    assert_eq!(ran.files[0].state, FileState::AlreadyDelivered);
    assert!(ran.files[1].resumed_at > 0);
    assert_eq!(rig.lines(), texts(&numbered(0, 20_600)));
    let stored = rig.stored();
    // Known by their new names from now on.
    let ran = rig.run(&[&chain], 1).await;
    let mut states = ran.files.iter().map(|file| &file.state);
    assert!(states.all(|state| *state == FileState::AlreadyDelivered));
    assert_eq!(rig.stored(), stored);
}

#[tokio::test]
async fn files_that_are_alike_are_each_delivered() {
    let rig = Rig::new();
    write(&rig.path("a.log"), numbered(0, 100));
    rig.run(&[&["a.log"]], 1).await;
    // A copy is a file of its own, as long as the other one is there.
    write(&rig.path("b.log"), numbered(0, 100));
    let ran = rig.run(&[&["b.log"], &["a.log"]], 1).await;
    assert_eq!(ran.files[0].state, FileState::Whole);
    assert_eq!(ran.files[1].state, FileState::AlreadyDelivered);
    assert_eq!(rig.stored().len(), 200);
}

#[tokio::test]
async fn a_file_that_only_begins_like_one_that_is_gone_is_read_from_its_start() {
    let rig = Rig::new();
    write(&rig.path("a.log"), numbered(0, 100));
    rig.run(&[&["a.log"]], 1).await;
    std::fs::remove_file(rig.path("a.log")).unwrap();
    let other = format!("{}something else\n", numbered(0, 90));
    write(&rig.path("b.log.gz"), gzip(&other));
    let ran = rig.run(&[&["b.log.gz"]], 1).await;
    assert_eq!(ran.files[0].state, FileState::Whole);
    assert_eq!(ran.files[0].resumed_at, 0);
    let stored = rig.stored();
    let lines: Vec<String> = stored[100..]
        .iter()
        .map(|record| record.line.clone())
        .collect();
    assert_eq!(lines, texts(&other));
}

#[tokio::test]
async fn a_plain_file_goes_on_where_it_has_grown_since() {
    let rig = Rig::new();
    write(&rig.path("a.log"), numbered(0, 100));
    rig.run(&[&["a.log"]], 1).await;
    write(&rig.path("a.log"), numbered(0, 250));
    let ran = rig.run(&[&["a.log"]], 1).await;
    assert_eq!(ran.files[0].resumed_at, numbered(0, 100).len() as u64);
    assert_eq!(ran.files[0].lines_read, 150);
    assert_eq!(rig.stored().len(), 250);
    assert_eq!(rig.lines(), texts(&numbered(0, 250)));
}

#[tokio::test]
async fn each_sink_goes_on_where_it_was() {
    let mut rig = Rig::new();
    let other = rig.add_sink();
    other.set_mode(Mode::Down);
    write(&rig.path("a.gz"), gzip(numbered(0, 30_000)));
    write(&rig.path("b.log"), numbered(30_000, 1000));
    let chain = ["a.gz", "b.log"];
    rig.run_until_hung(&[&chain], 10).await;
    other.set_mode(Mode::Take);
    let ran = rig.run(&[&chain], 1).await;
    assert_eq!(ran.files[0].state, FileState::Whole);
    assert_eq!(rig.lines(), texts(&numbered(0, 31_000)));
    assert_eq!(other.lines(), texts(&numbered(0, 31_000)));
    // One that is new gets everything, and the others nothing again.
    rig.config.sinks.truncate(1);
    rig.config.sources[0].sinks.truncate(1);
    let stored = rig.stored();
    let other = rig.add_sink();
    rig.config.sinks[1].name = "third".into();
    let ran = rig.run(&[&chain], 1).await;
    assert_eq!(ran.files[0].resumed_at, 0);
    assert_eq!(other.lines(), texts(&numbered(0, 31_000)));
    assert_eq!(rig.stored(), stored);
}

#[tokio::test]
async fn a_run_that_is_told_to_stop_is_waited_for_no_longer() {
    let rig = Rig::new();
    write(&rig.path("a.gz"), gzip(numbered(0, 30_000)));
    rig.set_mode(Mode::Down);
    let running = rig.start(&[&["a.gz"]], 1);
    rig.attempted(3).await;
    let stopped = running.engine.shutdown(Duration::ZERO).await;
    assert!(stopped.unacked_records > 0);
    tokio::time::timeout(DEADLINE, running.backfill.read_all())
        .await
        .unwrap();
    assert_eq!(running.backfill.files()[0].state, FileState::Reading);
    rig.set_mode(Mode::Take);
    rig.run(&[&["a.gz"]], 1).await;
    assert_eq!(rig.lines(), texts(&numbered(0, 30_000)));
}

/// Runs over generations, of which the first is read when the sink comes back, once `change` was made to the others.
async fn run_while(rig: &Rig, chain: &[&str], change: impl FnOnce()) -> Ran {
    rig.set_mode(Mode::Down);
    let running = rig.start(&[chain], 1);
    // The first file is far larger than what is read before a batch is taken.
    rig.attempted(1).await;
    change();
    rig.set_mode(Mode::Take);
    running.finish().await
}

#[tokio::test]
async fn files_that_are_rotated_before_their_turn_are_read_under_their_new_names() {
    let rig = Rig::new();
    write(&rig.path("app.log.2.gz"), gzip(numbered(0, 20_000)));
    write(&rig.path("app.log.1"), numbered(20_000, 5000));
    write(&rig.path("app.log"), numbered(25_000, 100));
    let chain = ["app.log.2.gz", "app.log.1", "app.log"];
    let ran = run_while(&rig, &chain, || {
        rename(&rig.path("app.log.2.gz"), &rig.path("app.log.3.gz"));
        rename(&rig.path("app.log.1"), &rig.path("app.log.2"));
        rename(&rig.path("app.log"), &rig.path("app.log.1"));
        write(&rig.path("app.log"), numbered(90_000, 5000));
    });
    let states: Vec<FileState> = ran.await.files.into_iter().map(|file| file.state).collect();
    assert_eq!(states, vec![FileState::Whole; 3]);
    assert_eq!(rig.lines(), texts(&numbered(0, 25_100)));
    let chain = ["app.log.3.gz", "app.log.2", "app.log.1", "app.log"];
    let ran = rig.run(&[&chain], 1).await;
    assert_eq!(ran.files[3].lines_read, 5000);
    assert_eq!(rig.stored().len(), 30_100, "nothing was sent again");
}

#[tokio::test]
async fn a_file_that_is_not_what_it_was_when_the_run_began_is_told_and_read_by_the_next() {
    let rig = Rig::new();
    write(&rig.path("app.log.2"), numbered(0, 20_000));
    write(&rig.path("app.log.1"), numbered(20_000, 5000));
    write(&rig.path("app.log"), numbered(25_000, 1000));
    let chain = ["app.log.2", "app.log.1", "app.log"];
    let ran = run_while(&rig, &chain, || {
        compress(&rig, "app.log.1", "app.log.3.gz");
        // As copytruncate does it, and then more is written than there was.
        write(&rig.path("app.log.1"), numbered(25_000, 1000));
        write(&rig.path("app.log"), numbered(26_000, 2000));
    });
    let states: Vec<FileState> = ran.await.files.into_iter().map(|file| file.state).collect();
    assert_eq!(states[0], FileState::Whole);
    for state in &states[1..] {
        assert!(matches!(state, FileState::Unreadable(_)), "{state:?}");
    }
    assert_eq!(rig.lines(), texts(&numbered(0, 20_000)));
    let chain = ["app.log.2", "app.log.3.gz", "app.log.1", "app.log"];
    rig.run(&[&chain], 1).await;
    assert_eq!(rig.lines(), texts(&numbered(0, 28_000)));
    assert_eq!(rig.stored().len(), 28_000, "nothing was sent again");
}

#[tokio::test]
async fn a_line_that_is_cut_off_over_several_blocks_is_the_same_again() {
    let mut rig = Rig::new();
    rig.config.sources[0].frame.max_line_bytes = 1000;
    let long = "x".repeat(700_000);
    let content: Vec<String> = (0..4)
        .map(|round| format!("{}{long}\n", numbered(round * 100, 100)))
        .collect();
    write(&rig.path("a.log"), content.concat());
    let chain = ["a.log"];
    // Every batch is once the one without an answer.
    while rig.lines().len() < 404 {
        rig.run_until_hung(&[&chain], 1).await;
    }
    rig.run(&[&chain], 1).await;
    let lines = rig.lines();
    let (cut, whole): (Vec<String>, Vec<String>) =
        lines.into_iter().partition(|line| line.starts_with('x'));
    assert_eq!(cut.len(), 4);
    assert_eq!(whole, texts(&numbered(0, 400)));
    assert_repeats_are_the_same(&rig.stored());
}
