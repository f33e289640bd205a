//! What files cost that nobody writes to.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::quiet_files;
use crate::agent::{self, Batching};
use crate::bench::Bench;
use crate::clock::{self, Deadline, wait};
use crate::number::{float, mebibytes};
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};
use crate::program::{Program, on_path};

/// System calls that are named in the notes.
const SHOWN_CALLS: usize = 5;

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
        Ok(calls) => {
            let calls_per_second = float(calls.total) / float(options.strace_seconds);
            outcome.notes.extend(calls.most_frequent);
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

/// The system calls of a program over some time.
#[derive(Debug, PartialEq, Eq)]
struct SystemCalls {
    total: u64,
    /// A sentence on the calls that there were most of; `None` when there were none.
    most_frequent: Option<String>,
}

/// Counts the system calls of all threads of `agent` with `strace` for some seconds.
fn count_system_calls(
    agent: &mut Program,
    seconds: u64,
    dir: &Path,
) -> anyhow::Result<SystemCalls> {
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
    system_calls(&text)
}

/// Reads the summary of `strace -c`; with no call to count it is empty.
fn system_calls(summary: &str) -> anyhow::Result<SystemCalls> {
    let mut calls: Vec<(u64, &str)> = summary.lines().filter_map(calls_of_row).collect();
    let total_row = calls.iter().position(|(_, name)| *name == "total");
    let total = match total_row {
        Some(index) => calls.swap_remove(index).0,
        None if summary.trim().is_empty() => 0,
        None => bail!("strace printed no total"),
    };
    calls.sort_unstable_by(|one, other| other.cmp(one));
    let shown: Vec<String> = calls
        .iter()
        .take(SHOWN_CALLS)
        .map(|(count, name)| format!("{name} {count} times"))
        .collect();
    let most_frequent = (!shown.is_empty()).then(|| format!("strace saw {}", shown.join(", ")));
    Ok(SystemCalls {
        total,
        most_frequent,
    })
}

/// The calls and the name in a row of `% time  seconds  usecs/call  calls  [errors]  name`.
fn calls_of_row(row: &str) -> Option<(u64, &str)> {
    let fields: Vec<&str> = row.split_whitespace().collect();
    Some((fields.get(3)?.parse().ok()?, *fields.last()?))
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
        let calls = system_calls(summary).unwrap();
        assert_eq!(calls.total, 386);
        let expected = "strace saw epoll_wait 380 times, write 6 times";
        assert_eq!(calls.most_frequent.as_deref(), Some(expected));
        let no_errors = summary.replace("        3 total", "          total");
        assert_eq!(system_calls(&no_errors).unwrap().total, 386);
        assert_eq!(
            system_calls("\n").unwrap(),
            SystemCalls {
                total: 0,
                most_frequent: None
            }
        );
        assert!(system_calls("strace: something else\n").is_err());
    }
}
