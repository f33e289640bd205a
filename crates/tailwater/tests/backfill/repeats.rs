//! Runs that were killed or stopped, and run again.

use std::fs::File;

use rustix::process::Signal;
use tailwater_testkit::random::Random;
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, pack, rename};

/// Two logs, plain, gzipped and zstandard, with so many lines in each file.
fn logs(rig: &Rig, lines: u64) -> [tailwater_testkit::writer::Written; 2] {
    let names = [(1, "a.log"), (2, "b.log")];
    names.map(|(file, name)| {
        let mut writer = rig.writer(name, file);
        for (ending, program, arguments) in [("3", "gzip", &[][..]), ("2", "zstd", &["--rm", "-q"])]
        {
            writer.write_lines(lines).unwrap();
            let rotated = rig.log(&format!("{name}.{ending}"));
            rename(&rig.log(name), &rotated);
            pack(program, arguments, &rotated);
            writer.reopen().unwrap();
        }
        writer.write_lines(lines).unwrap();
        writer.written()
    })
}

#[test]
fn a_run_that_is_killed_again_and_again_delivers_every_line_once() {
    let rig = Rig::new();
    let written = logs(&rig, 20_000);
    let config = rig.config("");
    let arguments = ["--config", &config, "--jobs", "2"];
    let mut random = Random::new(0x5eed);
    let mut kills = 0;
    for _ in 0..6 {
        let stored = rig.stored();
        let more = random.within(1..=15_000);
        let mut running = rig.start_with(&arguments);
        rig.sink.wait_until(
            |state| state.committed_entries() >= stored + more,
            DEADLINE / 20,
        );
        kills += u32::from(running.kill());
    }
    let report = rig.run_with(&arguments).assert_complete();
    rig.verdict(&written).assert_exact_without_repeats();
    assert!(kills >= 3, "it was killed {kills} times: {report}");
}

#[test]
fn a_run_that_is_told_to_stop_delivers_what_it_has_read_and_the_next_one_goes_on() {
    for signal in [Signal::TERM, Signal::INT] {
        let rig = Rig::new();
        let written = logs(&rig, 10_000);
        let config = rig.config("");
        let slowly = ["--config", &config, "--rate", "1MiB", "--jobs", "1"];
        let running = rig.start_with(&slowly);
        let some = rig
            .sink
            .wait_until(|state| state.committed_entries() >= 1000, DEADLINE);
        assert!(some, "nothing arrives");
        running.signal(signal);
        let report = running.wait().assert_incomplete();
        assert_eq!(report["ended"], "interrupted", "{report}");
        let stored = rig.stored();
        let all: u64 = written.iter().map(|written| written.acked).sum();
        assert!(stored < all, "it was stopped too late");
        assert_eq!(report["sinks"][0]["undelivered"], all - stored, "{report}");
        let report = rig.run_with(&["--config", &config]).assert_complete();
        rig.verdict(&written).assert_exact_by_timestamp();
        assert_eq!(rig.stored(), all);
        assert_eq!(report["duplicates_avoided"]["lines"], stored, "{report}");
    }
}

#[test]
fn a_run_that_is_told_to_stop_twice_does_not_count_what_is_left() {
    let mut rig = Rig::new();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    // Zeros that are on no disk, and take minutes to look through.
    let huge = rig.write("b.log", b"");
    let huge = File::options().write(true).open(huge).unwrap();
    huge.set_len(1 << 40).unwrap();
    rig.sink.stop();
    let running = rig.start(&[&rig.glob("*"), "--jobs", "1"]);
    let logged = |word: &str| {
        let found = wait::until(DEADLINE, word, || running.errors().contains(word));
        assert!(found.is_ok(), "{}", running.errors());
    };
    logged("delivery failed");
    running.signal(Signal::INT);
    // Now it waits for the sink, or counts.
    logged("told to stop");
    running.signal(Signal::INT);
    let outcome = running.wait();
    let report = outcome.assert_incomplete();
    assert_eq!(report["ended"], "interrupted", "{report}");
    assert!(report["unread_lines"].is_null(), "{report}");
    assert!(report["sinks"][0]["undelivered"].is_null(), "{report}");
    assert!(
        outcome.errors.contains("not every line is delivered"),
        "{}",
        outcome.errors
    );
}
