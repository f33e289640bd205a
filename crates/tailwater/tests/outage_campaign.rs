//! Outages at length: a sink that is down for minutes, while files are written at a rate and rotated
//! twenty times, each time deleting what is unread.
//!
//! The command `tests/campaign outage` builds the agent and runs this; it prints a table and fails where
//! a bound is missed. The bounds are those of the issue that asked for it: nothing lost but what a
//! policy has counted, 48 MiB of memory, five times the live rate while catching up, nothing left on
//! disk, and a tenth of throughput at most that a dead sink takes from another.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{FaultSink, Keep, Mode};
use tailwater_testkit::logrotate::{Logrotate, Rule};
use tailwater_testkit::metrics::books;
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, WriterOptions};

const ROTATIONS: u32 = 20;
const MAX_PEAK_MIB: f64 = 48.0;
const MIN_CATCH_UP: f64 = 5.0;
const MAX_DIFFERENCE_PERCENT: f64 = 10.0;

/// Longest time that everything may take to arrive once the sink is back and nothing is written.
const DEADLINE: Duration = Duration::from_secs(600);

/// A sink that is so little behind has caught up.
const CAUGHT_UP_LINES: u64 = 20_000;

const SECONDS_VARIABLE: &str = "TAILWATER_CAMPAIGN_SECONDS";
const RATE_VARIABLE: &str = "TAILWATER_CAMPAIGN_BYTES_PER_SECOND";
const ONLY_VARIABLE: &str = "TAILWATER_CAMPAIGN_ONLY";

/// What is run.
struct Settings {
    outage: Duration,
    bytes_per_second: u64,
    /// The runs whose names begin with this.
    only: String,
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str| -> u64 {
            let text = std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: run `tests/campaign outage`"));
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
        };
        Self {
            outage: Duration::from_secs(number(SECONDS_VARIABLE)),
            bytes_per_second: number(RATE_VARIABLE),
            only: std::env::var(ONLY_VARIABLE).unwrap_or_default(),
        }
    }

    /// Twice what is written during an outage.
    fn room(&self) -> u64 {
        (self.bytes_per_second * self.outage.as_secs() * 2).max(64 << 20)
    }
}

/// A directory with logs, a sink that is down, and an agent.
struct Run {
    directory: tempfile::TempDir,
    sink: FaultSink,
    agent: Agent,
    writer: Paced,
}

impl Run {
    /// `policy` is the rest of the sink's block; `other` is the address of a second sink that is
    /// configured alike.
    fn start(settings: &Settings, policy: &str, other: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("logs")).unwrap();
        let sink = FaultSink::start_keeping(Keep::Counts).unwrap();
        let block = |name: &str, url: &str| {
            format!(
                "  {name}:\n    loki: {{ url: \"{url}\" }}\n    max_in_flight: 1\n    \
                 retry: {{ min_wait: 100ms, max_wait: 1s }}\n{policy}"
            )
        };
        let names = other.map_or("loki", |_| "loki, other");
        let config = format!(
            "data_dir: data\nserver: {{ listen: \"127.0.0.1:0\" }}\n\
             sources:\n  logs:\n    include: [\"{}/*.log\"]\n    labels: {{ job: outage }}\n    \
             sinks: [{names}]\nsinks:\n{}{}",
            directory.path().join("logs").display(),
            block("loki", &sink.url()),
            other.map_or_else(String::new, |url| block("other", url))
        );
        let agent = Agent::start(&config, directory.path()).unwrap();
        let writer = Paced::open(&directory.path().join("logs/a.log"), settings);
        Self {
            directory,
            sink,
            agent,
            writer,
        }
    }

    fn metric(&self, name: &str) -> f64 {
        self.agent.metrics().unwrap().sum(name, &[])
    }

    /// Writes for as long as an outage lasts, with all rotations.
    fn write_through_the_outage(&mut self, outage: Duration) {
        let directory = self.directory.path().join("rotate");
        std::fs::create_dir(&directory).unwrap();
        let pattern = self.directory.path().join("logs/*.log");
        let rule = Rule {
            rotate: 1,
            ..Rule::new([pattern.display().to_string()])
        };
        let logrotate = Logrotate::new(&directory, &[rule]).unwrap();
        for rotation in 1..=ROTATIONS {
            self.writer.write_for(outage / (ROTATIONS + 1));
            wait::until_ok(DEADLINE, "the file is found", || {
                let found = self.agent.metrics()?;
                let found = found.sum("tailwater_files_found_total", &[]);
                Ok(found > f64::from(rotation) - 0.5)
            })
            .unwrap();
            logrotate.force().unwrap();
            self.writer.writer.reopen().unwrap();
        }
        self.writer.write_for(outage / (ROTATIONS + 1));
    }

    /// Goes on writing until the sink has all but the last lines; returns the bytes per second that it
    /// took meanwhile, from its first answer on: before, the agent waits for its next attempt.
    fn catch_up(&mut self) -> f64 {
        self.sink.set_fallback(Mode::commit());
        let is_asked = self
            .sink
            .wait_until(|state| state.committed_entries() > 0, DEADLINE);
        assert!(is_asked, "it is never tried again");
        let started = now();
        let before = self.arrived();
        loop {
            self.writer.write_for(Duration::from_millis(20));
            let written = self.writer.writer.written().acked;
            let arrived = self.arrived();
            if written - arrived < CAUGHT_UP_LINES {
                let bytes_per_line = float(self.writer.writer.bytes()) / float(written);
                let bytes = bytes_per_line * float(arrived - before);
                return bytes / started.elapsed().as_secs_f64();
            }
            assert!(started.elapsed() < DEADLINE, "it never catches up");
        }
    }

    /// Returns how many lines the sink has.
    fn arrived(&self) -> u64 {
        self.sink.inspect(|state| state.tally().distinct())
    }

    /// Waits until nothing is on its way and nothing waits on disk; the books balance all the time.
    fn settle(&self) {
        let written = float(self.writer.writer.written().acked);
        wait::until_ok(DEADLINE, "everything is settled", || {
            let books = books(&self.agent.metrics()?)?;
            let is_read = books.iter().all(|route| route.read > written - 0.5);
            let is_left = |route: &_| is_left(route);
            Ok(is_read && !books.iter().any(is_left))
        })
        .unwrap();
        wait::until(Duration::from_secs(10), "the spill is given back", || {
            spilled_files(self.directory.path()) == 0
        })
        .ok();
    }

    fn judge(&self, name: &'static str, catch_up: Option<f64>) -> Row {
        let written = [self.writer.writer.written()];
        let verdict = self.sink.inspect(|state| Verdict::new(&written, state));
        let dropped = self.metric("tailwater_dropped_records_total");
        Row {
            name,
            written_megabytes: float(self.writer.writer.bytes()) / 1e6,
            lines: written[0].acked,
            missing: verdict.missing(),
            dropped,
            strange: verdict.duplicates() + verdict.torn.count + verdict.unknown.count,
            reordered: verdict.reordered_by_arrival(),
            peak_mebibytes: peak_mebibytes(&self.agent),
            catch_up,
            left_files: spilled_files(self.directory.path()),
        }
    }
}

fn is_left(route: &tailwater_testkit::metrics::RouteBooks) -> bool {
    route.in_flight > 0.5 || route.spilled > 0.5
}

/// A writer that keeps to a rate.
struct Paced {
    writer: LogWriter,
    bytes_per_second: u64,
}

impl Paced {
    const LINES_PER_WRITE: u64 = 100;

    fn open(path: &Path, settings: &Settings) -> Self {
        let options = WriterOptions {
            lines_per_write: Self::LINES_PER_WRITE,
            payload_bytes: 100..=300,
            ..WriterOptions::default()
        };
        Self {
            writer: LogWriter::open(path, 1, options).unwrap(),
            bytes_per_second: settings.bytes_per_second,
        }
    }

    fn write_for(&mut self, time: Duration) {
        let (started, before) = (now(), self.writer.bytes());
        loop {
            let elapsed = started.elapsed().min(time);
            let due =
                u64::try_from(elapsed.as_micros()).unwrap() * self.bytes_per_second / 1_000_000;
            while self.writer.bytes() - before < due {
                self.writer.write_lines(Self::LINES_PER_WRITE).unwrap();
            }
            if elapsed == time {
                return;
            }
            pause();
        }
    }
}

/// What a run came to.
struct Row {
    name: &'static str,
    written_megabytes: f64,
    lines: u64,
    missing: u64,
    /// By the counters.
    dropped: f64,
    /// Duplicate, torn and unknown lines.
    strange: u64,
    reordered: u64,
    peak_mebibytes: f64,
    /// Bytes per second.
    catch_up: Option<f64>,
    left_files: usize,
}

impl Row {
    const HEAD: &'static str = "| run          |  MB |    lines | missing | counted | strange | reordered | \
                                peak MiB | catch-up MB/s | files left |";

    /// Returns which bounds are missed.
    fn faults(&self, settings: &Settings) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{}: {what}", self.name));
            }
        };
        let is_exact = (self.dropped - float(self.missing)).abs() < 0.5;
        check(is_exact, "the counters are not what is missing");
        let drops = self.name.starts_with("drop");
        check(drops == (self.missing > 0), "lines are missing, or none");
        check(self.strange == 0, "lines came twice, torn, or from nowhere");
        check(self.reordered == 0, "lines came out of order");
        check(self.peak_mebibytes <= MAX_PEAK_MIB, "too much memory");
        let least = MIN_CATCH_UP * float(settings.bytes_per_second);
        let is_fast = self.name != "spill" || self.catch_up.is_some_and(|speed| speed >= least);
        check(is_fast, "catching up is too slow");
        check(self.left_files == 0, "the spill was not given back");
        faults
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let catch_up = self
            .catch_up
            .map_or("-".to_owned(), |speed| format!("{:.1}", speed / 1e6));
        write!(
            formatter,
            "| {:12} | {:3.0} | {:8} | {:7} | {:7} | {:7} | {:9} | {:8.1} | {:>13} | {:10} |",
            self.name,
            self.written_megabytes,
            self.lines,
            self.missing,
            self.dropped,
            self.strange,
            self.reordered,
            self.peak_mebibytes,
            catch_up,
            self.left_files
        )
    }
}

/// One outage, from the first line to the last file on disk.
fn outage(settings: &Settings, name: &'static str) -> Row {
    let policy = match name {
        "spill" => format!(
            "    when_full: spill\n    spill: {{ max_bytes: {} }}\n",
            settings.room()
        ),
        policy => format!("    when_full: {policy}\n"),
    };
    let mut run = Run::start(settings, &policy, None);
    run.sink.set_fallback(Mode::status(503));
    run.write_through_the_outage(settings.outage);
    let catch_up = if name.starts_with("drop") {
        run.sink.set_fallback(Mode::commit());
        run.writer.write_for(Duration::from_secs(2));
        None
    } else {
        Some(run.catch_up())
    };
    run.settle();
    let row = run.judge(name, catch_up);
    let status = run.agent.sigterm(Duration::from_secs(15)).unwrap();
    assert!(status.success(), "{status}\n{}", run.agent.log());
    row
}

/// Returns the bytes per second that reached the first of two sinks, until its last line was there.
fn throughput_of_one(settings: &Settings, is_other_up: bool) -> f64 {
    let other = FaultSink::start_keeping(Keep::Counts).unwrap();
    if !is_other_up {
        other.set_fallback(Mode::status(503));
    }
    let policy = format!(
        "    when_full: spill\n    spill: {{ max_bytes: {} }}\n",
        settings.room()
    );
    let mut run = Run::start(settings, &policy, Some(&other.url()));
    let started = now();
    run.writer.write_for(settings.outage);
    let written = [run.writer.writer.written()];
    let has_all = run
        .sink
        .wait_until(|state| state.has_all(&written), DEADLINE);
    let took = started.elapsed();
    assert!(has_all, "{}", run.agent.log());
    let verdict = run.sink.inspect(|state| Verdict::new(&written, state));
    verdict.assert_at_least_once(0);
    other.set_fallback(Mode::commit());
    run.settle();
    let of_other = other.inspect(|state| Verdict::new(&written, state));
    of_other.assert_at_least_once(0);
    float(run.writer.writer.bytes()) / took.as_secs_f64()
}

#[test]
fn outages_cost_what_the_policy_says_and_no_more() {
    let settings = Settings::from_environment();
    let is_wanted = |name: &str| name.starts_with(&settings.only);
    let mut faults = Vec::new();
    println!("\n{}", Row::HEAD);
    for name in ["spill", "block", "drop_newest", "drop_oldest"] {
        if is_wanted(name) {
            let row = outage(&settings, name);
            println!("{row}");
            faults.extend(row.faults(&settings));
        }
    }
    if is_wanted("two_sinks") {
        let [both, one] = [true, false].map(|is_up| throughput_of_one(&settings, is_up));
        let difference = (both - one).abs() / both * 100.0;
        println!(
            "two_sinks: {:.2} MB/s with both up, {:.2} MB/s with one down: {difference:.1} % apart",
            both / 1e6,
            one / 1e6
        );
        if difference >= MAX_DIFFERENCE_PERCENT {
            faults.push("two_sinks: a dead sink slows the other".to_owned());
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns the most memory that the agent has had.
fn peak_mebibytes(agent: &Agent) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
    kibibytes.unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Returns how many segments are on disk.
fn spilled_files(directory: &Path) -> usize {
    let lanes = std::fs::read_dir(directory.join("data/spill"));
    let lanes = lanes.into_iter().flatten().flatten();
    lanes
        .flat_map(|lane| std::fs::read_dir(lane.path()).into_iter().flatten())
        .count()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a test are far below 2^52"
)]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is how long it takes"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a writer with a rate waits for the clock"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
