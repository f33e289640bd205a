//! Files that are read once: every line, once, in the order of its chain.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests"
)]

mod groups;
mod resume;
mod rig;

use std::process::Command;

use tailwater_engine::{FileState, WhenFull};
use tailwater_tailer::Damage;

use crate::rig::{Mode, Rig, bzip2, gzip, numbered, texts, write};

#[tokio::test]
async fn a_chain_of_plain_files_and_archives_arrives_whole_and_in_order() {
    let rig = Rig::new();
    write(&rig.path("a.log.4"), numbered(0, 2000));
    write(&rig.path("a.log.3.bz2"), bzip2(numbered(2000, 3000)));
    let members = [gzip(numbered(5000, 500)), gzip(numbered(5500, 20_000))];
    write(&rig.path("a.log.2.gz"), members.concat());
    write(&rig.path("a.log.1"), "");
    write(&rig.path("a.log"), numbered(25_500, 1000));
    let names = ["a.log.4", "a.log.3.bz2", "a.log.2.gz", "a.log.1", "a.log"];
    let ran = rig.run(&[&names], 1).await;
    assert_eq!(rig.lines(), texts(&numbered(0, 26_500)));
    let lines: Vec<u64> = ran.files.iter().map(|file| file.lines_read).collect();
    assert_eq!(lines, [2000, 3000, 20_500, 0, 1000]);
    assert!(ran.files.iter().all(|file| file.state == FileState::Whole));
    assert!(ran.files.iter().all(|file| file.raw_bytes == file.raw_len));
    assert_eq!(
        ran.files[2].decoded_bytes,
        numbered(5000, 20_500).len() as u64
    );
    assert_eq!(ran.status.books[0].acked_records, 26_500);
    assert_eq!(ran.unacked, 0);
}

#[tokio::test]
async fn what_a_file_is_its_bytes_say_and_not_its_name() {
    let rig = Rig::new();
    write(&rig.path("plain.gz"), numbered(0, 10));
    write(&rig.path("packed.log"), gzip(numbered(10, 10)));
    let ran = rig.run(&[&["plain.gz", "packed.log"]], 1).await;
    assert_eq!(rig.lines(), texts(&numbered(0, 20)));
    assert!(ran.files.iter().all(|file| file.state == FileState::Whole));
}

#[tokio::test]
async fn a_last_line_without_its_newline_is_sent() {
    let rig = Rig::new();
    write(&rig.path("a"), "one\ntwo");
    write(&rig.path("b"), gzip("three\nfour"));
    write(&rig.path("c"), "five");
    rig.run(&[&["a", "b", "c"]], 1).await;
    assert_eq!(rig.lines(), ["one", "two", "three", "four", "five"]);
}

#[tokio::test]
async fn what_stands_before_the_damage_is_delivered_and_the_rest_goes_on() {
    let rig = Rig::new();
    let whole = gzip(numbered(0, 5000));
    write(&rig.path("truncated.gz"), &whole[..whole.len() / 2]);
    let mut corrupt = whole.clone();
    let end = corrupt.len();
    corrupt[end - 6] ^= 0xff;
    write(&rig.path("corrupt.gz"), corrupt);
    write(
        &rig.path("trailing.gz"),
        [whole.as_slice(), b"and some words"].concat(),
    );
    write(&rig.path("after.log"), numbered(5000, 3));
    let names = ["truncated.gz", "corrupt.gz", "trailing.gz", "after.log"];
    let chains = names.map(|name| [name]);
    let chains = chains.each_ref().map(<[&str; 1]>::as_slice);
    let ran = rig.run(&chains, 1).await;
    let states: Vec<&FileState> = ran.files.iter().map(|file| &file.state).collect();
    let damaged = [Damage::Truncated, Damage::Corrupt, Damage::TrailingBytes];
    for (state, damage) in states.iter().zip(damaged) {
        assert_eq!(**state, FileState::Damaged(damage));
    }
    assert_eq!(*states[3], FileState::Whole);
    let stored = rig.stored();
    let of = |name: &str| {
        let of = stored.iter().filter(|record| record.file.ends_with(name));
        of.map(|record| record.line.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("corrupt.gz"), texts(&numbered(0, 5000)));
    assert_eq!(of("trailing.gz"), texts(&numbered(0, 5000)));
    assert_eq!(of("after.log"), texts(&numbered(5000, 3)));
    // The last one may be the beginning of a line.
    let truncated = of("truncated.gz");
    let (last, before) = truncated.split_last().unwrap();
    assert!(before.len() > 1000);
    assert_eq!(before, &texts(&numbered(0, 5000))[..before.len()]);
    assert!(texts(&numbered(0, 5000))[before.len()].starts_with(last));
    // The status tells the truth again, and nothing is sent again.
    let ran = rig.run(&chains, 1).await;
    let states: Vec<FileState> = ran.files.iter().map(|file| file.state.clone()).collect();
    assert_eq!(states[0], FileState::Damaged(Damage::Truncated));
    assert_eq!(states[3], FileState::AlreadyDelivered);
    assert_eq!(rig.stored(), stored);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_the_rest_goes_on() {
    let rig = Rig::new();
    write(&rig.path("a.log"), numbered(0, 3));
    let made = Command::new("mkfifo").arg(rig.path("fifo")).status();
    assert!(made.unwrap().success());
    write(&rig.path("b.log"), numbered(3, 3));
    let ran = rig.run(&[&["a.log", "gone.log", "fifo", "b.log"]], 1).await;
    assert_eq!(rig.lines(), texts(&numbered(0, 6)));
    let reason = |index: usize| {
        let state = &ran.files[index].state;
        let FileState::Unreadable(reason) = state else {
            panic!("{state:?}");
        };
        reason.clone()
    };
    assert!(reason(1).contains("does not exist"), "{}", reason(1));
    assert!(reason(2).contains("FIFO"), "{}", reason(2));
}

#[tokio::test]
async fn more_jobs_than_chains_read_each_chain_in_its_order() {
    let rig = Rig::new();
    let names: Vec<[String; 2]> = (0..3)
        .map(|chain| [format!("{chain}.log.1.gz"), format!("{chain}.log")])
        .collect();
    for [older, newer] in &names {
        write(&rig.path(older), gzip(numbered(0, 3000)));
        write(&rig.path(newer), numbered(3000, 3000));
    }
    let names: Vec<Vec<&str>> = names
        .iter()
        .map(|names| names.iter().map(String::as_str).collect())
        .collect();
    let chains: Vec<&[&str]> = names.iter().map(Vec::as_slice).collect();
    let ran = rig.run(&chains, 8).await;
    assert!(ran.files.iter().all(|file| file.state == FileState::Whole));
    let stored = rig.stored();
    for names in &names {
        let lines: Vec<String> = stored
            .iter()
            .filter(|record| record.file.ends_with(&format!("/{}", names[1])))
            .map(|record| record.line.clone())
            .collect();
        assert_eq!(lines, texts(&numbered(0, 6000)));
    }
    let mut times: Vec<u64> = stored.iter().map(|record| record.timestamp).collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), stored.len(), "no two records share a time");
}

#[tokio::test]
async fn reading_waits_for_a_sink_that_is_down_whatever_the_policy_says() {
    let mut rig = Rig::new();
    rig.config.sinks[0].policy.when_full = WhenFull::DropNewest;
    write(&rig.path("a.log"), numbered(0, 20_000));
    write(&rig.path("b.log.gz"), gzip(numbered(20_000, 20_000)));
    rig.set_mode(Mode::Down);
    let running = rig.start(&[&["a.log", "b.log.gz"]], 1);
    rig.attempted(20).await;
    let lines_read = running.backfill.progress().lines_read;
    assert!(lines_read < 20_000, "{lines_read} lines were read ahead");
    rig.set_mode(Mode::Take);
    let all = async {
        running.backfill.read_all().await;
        running.engine.delivered().await;
    };
    tokio::time::timeout(rig::DEADLINE, all).await.unwrap();
    let progress = running.backfill.progress();
    assert_eq!((progress.files_done, progress.files), (2, 2));
    assert_eq!(progress.raw_bytes, progress.raw_len);
    assert_eq!(progress.lines_read, 40_000);
    running.engine.shutdown(rig::DEADLINE).await;
    assert_eq!(rig.lines(), texts(&numbered(0, 40_000)));
}

#[tokio::test]
async fn a_line_longer_than_many_blocks_is_cut_where_the_limit_says() {
    let mut rig = Rig::new();
    rig.config.sources[0].frame.max_line_bytes = 600_000;
    let long = "x".repeat(500_000);
    let longer = "y".repeat(900_000);
    write(
        &rig.path("a.gz"),
        gzip(format!("first\n{long}\n{longer}\nlast\n")),
    );
    rig.run(&[&["a.gz"]], 1).await;
    let lines = rig.lines();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1], long);
    assert!(lines[2].ends_with("...[truncated]") && lines[2].len() <= 600_000);
    assert_eq!(lines[3], "last");
}
