//! What files cost that nobody writes to.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::quiet_files;
use crate::agent::{self, Batching};
use crate::bench::Bench;
use crate::clock::{self, Deadline, wait};
use crate::number::{float, mebibytes};
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};
use crate::program::{Program, on_path};

/// The size of an idle measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct IdleOptions {
    /// Files that nobody writes to
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub files: u32,
    /// Seconds to measure CPU time over
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Seconds to let the agent settle in after its last line was received
    #[arg(long, default_value_t = 5)]
    pub settle_seconds: u64,
    /// Seconds to count system calls over
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub strace_seconds: u64,
}

/// Measures CPU, memory and system calls of an agent that has nothing to do.
///
/// # Errors
/// When the agent cannot be started, ends early or does not deliver in time.
pub(crate) fn run(bench: &Bench, options: &IdleOptions) -> anyhow::Result<Outcome> {
    let stage = bench.stage()?;
    let pattern = quiet_files::create(&stage.dir.path().join("logs"), options.files)?;
    let start_ns = clock::monotonic_ns();
    let mut agent = agent::start(bench, &stage, &pattern, Batching::Default)?;
    let progress = stage.await_lines(options.files.into(), &mut agent)?;
    let caught_up_seconds = clock::seconds_between(start_ns, progress.last_answer_ns);
    wait(Duration::from_secs(options.settle_seconds));

    let (before, before_ns) = (agent.usage()?, clock::monotonic_ns());
    wait(Duration::from_secs(options.seconds));
    let (after, after_ns) = (agent.usage()?, clock::monotonic_ns());
    let seconds = clock::seconds_between(before_ns, after_ns);
    let cpu_percent = (after.cpu_seconds - before.cpu_seconds) / seconds * 100.0;
    let calls = count_system_calls(&mut agent, options.strace_seconds, stage.dir.path());
    let lines = stage.receiver.progress()?.tally.lines;
    let unclean = agent.stop()?;

    let mut outcome = Outcome {
        title: format!("idle: {} files, {} seconds", options.files, options.seconds),
        table: Table::new(&["what", "figure", "unit"]),
        notes: bench.notes(),
        faults: unclean.into_iter().collect(),
        ..Outcome::default()
    };
    if lines != u64::from(options.files) {
        outcome.faults.push(format!(
            "{lines} lines arrived instead of {}",
            options.files
        ));
    }
    let mut add = |what: &str, figure, decimals, unit: &str| {
        outcome.table.add(vec![
            Cell::text(what),
            Cell::Figure(figure, decimals),
            Cell::text(unit),
        ]);
    };
    let (rss, peak) = (mebibytes(after.rss_bytes), mebibytes(after.peak_rss_bytes));
    add("start to last line received", caught_up_seconds, 2, "s");
    add("CPU", cpu_percent, 3, "% of a core");
    add("resident memory", rss, 1, "MiB");
    add("peak resident memory", peak, 1, "MiB");
    let calls_per_file = match calls {
        Ok(calls_per_second) => {
            add("system calls", calls_per_second, 1, "per second");
            Some(calls_per_second / f64::from(options.files))
        }
        Err(error) => {
            outcome
                .notes
                .push(format!("system calls not counted: {error:#}"));
            None
        }
    };
    outcome.budgets = budgets(cpu_percent, peak, calls_per_file);
    Ok(outcome)
}

fn budgets(cpu_percent: f64, peak_mib: f64, calls_per_file: Option<f64>) -> Vec<Budget> {
    vec![
        Budget {
            what: "CPU, % of a core",
            figure: Some(cpu_percent),
            bound: Bound::AtMost(0.2),
        },
        Budget {
            what: "peak memory, MiB",
            figure: Some(peak_mib),
            bound: Bound::AtMost(40.0),
        },
        Budget {
            what: "system calls per file and second",
            figure: calls_per_file,
            bound: Bound::AtMost(0.01),
        },
    ]
}

/// System calls per second of all threads of `agent`, counted by `strace` for some seconds.
fn count_system_calls(agent: &mut Program, seconds: u64, dir: &Path) -> anyhow::Result<f64> {
    let strace = on_path("strace").context("strace is not on PATH")?;
    let summary = dir.join("strace.txt");
    let mut tracer = Command::new(strace)
        .args(["-f", "-c", "-p", &agent.pid().to_string(), "-o"])
        .arg(&summary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start strace")?;
    let deadline = Deadline::after(Duration::from_secs(seconds));
    let mut ended = None;
    while ended.is_none() && !deadline.is_over() {
        wait(Duration::from_millis(50));
        ended = tracer.try_wait().context("cannot wait for strace")?;
    }
    if ended.is_none() {
        kill_process(Pid::from_child(&tracer), Signal::INT).context("cannot stop strace")?;
        tracer.wait().context("cannot wait for strace")?;
    }
    agent.ensure_running()?;
    ensure!(ended.is_none(), "strace could not attach");
    let text = std::fs::read_to_string(&summary).context("cannot read what strace counted")?;
    Ok(float(total_calls(&text)?) / float(seconds))
}

/// The number of calls in the summary of `strace -c`.
fn total_calls(summary: &str) -> anyhow::Result<u64> {
    let mut lines = summary
        .lines()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    if lines.peek().is_none() {
        // With no call to count, strace prints no table.
        return Ok(0);
    }
    let total = lines.find(|line| line.trim_end().ends_with(" total"));
    // `% time  seconds  usecs/call  calls  [errors]  total`
    let calls = total.and_then(|line| line.split_whitespace().nth(3));
    calls
        .context("strace printed no total")?
        .parse()
        .context("strace printed no total")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_strace_summary_is_read() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.70    0.006017          15       380         3 epoll_wait
  0.30    0.000018           3         6           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.006035          15       386         3 total
";
        assert_eq!(total_calls(summary).unwrap(), 386);
        assert_eq!(
            total_calls(&summary.replace("        3 total", "          total")).unwrap(),
            386
        );
        assert_eq!(total_calls("\n").unwrap(), 0);
        assert!(total_calls("strace: something else\n").is_err());
    }
}
