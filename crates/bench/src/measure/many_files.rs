//! Whether all of many files that are written at once get their turn.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::paced_writer::{Pace, PacedWriter};
use crate::agent::{self, Batching};
use crate::bench::Bench;
use crate::number::{float, mean};
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};
use crate::receiver::Delays;
use crate::scratch::create;

const BURSTS_PER_SECOND: u32 = 100;
/// Descriptors that this process needs beside the files it writes.
const OTHER_DESCRIPTORS: u64 = 64;

/// The size of a fairness measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ManyFilesOptions {
    /// Files written at once
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub files: u32,
    /// Lines per second over all files
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=400_000))]
    pub lines_per_second: u32,
    /// Seconds to write for
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub seconds: u32,
}

/// Writes to many files in turn and compares how far behind each of them is.
///
/// # Errors
/// When the agent cannot be started, ends early or does not deliver in time.
pub(crate) fn run(bench: &Bench, options: &ManyFilesOptions) -> anyhow::Result<Outcome> {
    let stage = bench.stage()?;
    let logs = stage.dir.path().join("logs");
    let mut agent = agent::start(bench, &stage, &logs.join("*.log"), Batching::Default)?;
    // After the agent was started: it is measured under the limit that this program was given.
    allow_open_files(u64::from(options.files) + OTHER_DESCRIPTORS)?;
    let mut writer = PacedWriter::new(create_files(&logs, options.files)?);
    writer.announce()?;
    stage.await_lines(options.files.into(), &mut agent)?;

    let pace = Pace {
        interval: Duration::from_secs(1) / BURSTS_PER_SECOND,
        lines_per_burst: options.lines_per_second / BURSTS_PER_SECOND,
        bursts: options.seconds * BURSTS_PER_SECOND,
    };
    let late_seconds = writer.run(pace)?;
    let lines = u64::from(options.files) + u64::from(pace.lines_per_burst) * u64::from(pace.bursts);
    stage.await_lines(lines, &mut agent)?;
    let delays = stage.receiver.delays()?;
    let unclean = agent.stop()?;
    let arrived = stage.receiver.progress()?.tally.lines;

    let mut outcome = outcome(options, &delays);
    outcome.notes.extend(bench.notes());
    outcome.faults.extend(unclean);
    PacedWriter::note(&mut outcome, late_seconds, lines, arrived);
    Ok(outcome)
}

fn create_files(dir: &Path, count: u32) -> anyhow::Result<Vec<File>> {
    std::fs::create_dir(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    (0..count)
        .map(|index| create(&dir.join(format!("app-{index}.log"))))
        .collect()
}

/// Raises this process's own limit of open files to `count`, if it is lower.
fn allow_open_files(count: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|maximum| maximum >= count),
        "{count} open files are not allowed here (ulimit -Hn)"
    );
    let raised = Rlimit {
        current: Some(count),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

fn outcome(options: &ManyFilesOptions, delays: &Delays) -> Outcome {
    let means: Vec<f64> = delays
        .files
        .iter()
        .filter(|file| file.lines > 0)
        .map(|file| float(file.sum_ns) / float(file.lines) / 1e6)
        .collect();
    let (mean, slowest) = (mean(&means), means.iter().copied().fold(0.0, f64::max));
    let mut table = Table::new(&[
        "files",
        "lines",
        "mean ms",
        "slowest file's mean ms",
        "p99 ms",
        "max ms",
    ]);
    table.add(vec![
        Cell::Figure(float(u64::try_from(means.len()).unwrap_or(u64::MAX)), 0),
        Cell::Figure(float(delays.lines), 0),
        Cell::Figure(mean, 1),
        Cell::Figure(slowest, 1),
        Cell::Figure(float(delays.p99_ns) / 1e6, 1),
        Cell::Figure(float(delays.max_ns) / 1e6, 1),
    ]);
    let (files, rate, seconds) = (options.files, options.lines_per_second, options.seconds);
    Outcome {
        title: format!("many-files: {files} files, {rate} lines/s together, {seconds} s"),
        table,
        budgets: vec![Budget {
            what: "slowest file's lag / mean",
            figure: Some(slowest / mean),
            bound: Bound::AtMost(2.0),
        }],
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Verdict;
    use crate::receiver::record::FileDelay;

    #[test]
    fn a_file_that_waits_three_times_as_long_breaks_the_budget() {
        let options = ManyFilesOptions {
            files: 3,
            lines_per_second: 100,
            seconds: 1,
        };
        let file = |mean_ms: u64| FileDelay {
            lines: 10,
            sum_ns: mean_ms * 10_000_000,
            max_ns: mean_ms * 1_000_000,
        };
        let files = |slowest| vec![file(10), FileDelay::default(), file(10), file(slowest)];
        let verdict = |slowest| {
            let delays = Delays {
                files: files(slowest),
                ..Delays::default()
            };
            outcome(&options, &delays).budgets[0].verdict()
        };
        assert_eq!(verdict(20), Verdict::Kept);
        assert_eq!(verdict(60), Verdict::Broken);
    }
}
