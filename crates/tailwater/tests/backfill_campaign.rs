//! A backfill at length: gigabytes in archives that the real logrotate with gzip, and pigz, have made; delivered in
//! one go, and again under kills.
//!
//! The command `tests/campaign backfill` builds the agent and runs this; it prints a verdict.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tailwater_testkit::agent::BINARY_VARIABLE;
use tailwater_testkit::fault_sink::{FaultSink, Keep, SinkState};
use tailwater_testkit::logrotate::{Logrotate, Rule};
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::random::Random;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

/// Longest time that one run may take.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Lines are long, so that the sink can keep all of them.
const PAYLOAD_BYTES: std::ops::RangeInclusive<usize> = 300..=600;

/// Bytes of a line beside its payload, about.
const HEAD_BYTES: u64 = 35;

fn number(name: &str) -> u64 {
    let text = std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `tests/campaign backfill`"));
    text.parse()
        .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
}

#[expect(clippy::print_stderr, reason = "what a campaign finds is printed")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Two logs: one that logrotate rotates and compresses, and one that pigz packs.
struct Logs {
    directory: PathBuf,
    written: [Written; 2],
    bytes: u64,
}

impl Logs {
    fn make(directory: &Path, bytes: u64, files: u64) -> Self {
        let logs = directory.join("logs");
        fs::create_dir(&logs).unwrap();
        let lines = (bytes / files / (450 + HEAD_BYTES)).max(1);
        let writer = |name: &str, file| {
            let options = WriterOptions {
                lines_per_write: 500,
                payload_bytes: PAYLOAD_BYTES,
                ..WriterOptions::default()
            };
            LogWriter::open(logs.join(name), file, options).unwrap()
        };
        let (mut first, mut second) = (writer("first.log", 1), writer("second.log", 2));
        let rule = Rule {
            rotate: 1000,
            compress: true,
            delay_compress: true,
            ..Rule::new([logs.join("first.log").display().to_string()])
        };
        let logrotate = Logrotate::new(directory, &[rule]).unwrap();
        let rotations = (files / 2).saturating_sub(1);
        for rotation in 0..rotations {
            first.write_lines(lines).unwrap();
            logrotate.force().unwrap();
            first.reopen().unwrap();
            second.write_lines(lines).unwrap();
            let packed = logs.join(format!("second.log.{}", rotations - rotation));
            rename(&logs.join("second.log"), &packed);
            assert!(
                Command::new("pigz")
                    .arg(&packed)
                    .status()
                    .unwrap()
                    .success()
            );
            second.reopen().unwrap();
        }
        first.write_lines(lines).unwrap();
        second.write_lines(lines).unwrap();
        Self {
            bytes: first.bytes() + second.bytes(),
            written: [first.written(), second.written()],
            directory: logs,
        }
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.directory).unwrap().count()
    }

    fn lines(&self) -> u64 {
        self.written.iter().map(|written| written.acked).sum()
    }

    /// Starts a backfill of all files.
    fn start(&self, sink: &FaultSink, data_dir: &Path) -> Run {
        let binary = std::env::var_os(BINARY_VARIABLE).unwrap();
        let child = Command::new(binary)
            .args([
                "backfill",
                "--to",
                &sink.url(),
                "--no-progress",
                "--data-dir",
            ])
            .arg(data_dir)
            .arg(self.directory.join("*"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Run(child)
    }
}

#[expect(clippy::disallowed_methods, reason = "a rename as rotation makes it")]
fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

/// A child; killed when it is dropped.
struct Run(Child);

impl Run {
    /// Waits until it ends by itself.
    fn code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }

    /// Kills it; returns whether it had not ended.
    fn kill(&mut self) -> bool {
        let has_ended = self.0.try_wait().unwrap().is_some();
        if !has_ended {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
        !has_ended
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Nothing can be done about a child that cannot be killed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a campaign says how long it took"
)]
#[test]
fn gigabytes_of_archives_are_delivered_once_whatever_happens() {
    let (bytes, files) = (
        number("TAILWATER_CAMPAIGN_BYTES"),
        number("TAILWATER_CAMPAIGN_FILES"),
    );
    let (kills, seed) = (number("TAILWATER_KILLS"), number("TAILWATER_SEED"));
    let directory = tempfile::tempdir().unwrap();
    let logs = Logs::make(directory.path(), bytes, files);
    say(&format!(
        "{} files, {} lines, {} bytes of text; seed {seed}",
        logs.files(),
        logs.lines(),
        logs.bytes
    ));

    let sink = FaultSink::start_keeping(Keep::Counts).unwrap();
    let started = Instant::now();
    let mut run = logs.start(&sink, &directory.path().join("in-one-go"));
    assert_eq!(
        run.code(),
        Some(0),
        "it says that not every line was delivered"
    );
    let seconds = started.elapsed().as_secs_f64();
    let verdict = sink.inspect(|state| Verdict::new(&logs.written, state));
    verdict.assert_at_least_once(0);
    say(&format!(
        "in one go: each line once, exit 0, {seconds:.1} s"
    ));
    drop(sink);

    let sink = FaultSink::start().unwrap();
    let mut random = Random::new(seed);
    let mut killed = 0;
    let data_dir = directory.path().join("killed");
    // Up to where it has come before each kill, at random.
    for kill in 1..=kills {
        let target = logs.lines() * (kill * 100 - random.within(0..=99)) / ((kills + 1) * 100);
        let mut run = logs.start(&sink, &data_dir);
        sink.wait_until(|state| state.committed_entries() >= target, DEADLINE);
        killed += u64::from(run.kill());
    }
    let mut run = logs.start(&sink, &data_dir);
    assert_eq!(
        run.code(),
        Some(0),
        "it says that not every line was delivered"
    );
    let verdict = sink.inspect(|state| Verdict::new(&logs.written, state));
    verdict.assert_exact_without_repeats();
    let repeats = sink.inspect(SinkState::committed_entries) - logs.lines();
    say(&format!(
        "killed {killed} of {kills} times: each line once but for {repeats} equal (stream, timestamp, line), exit 0"
    ));
    assert_eq!(killed, kills, "it had ended before some of the kills");
}
