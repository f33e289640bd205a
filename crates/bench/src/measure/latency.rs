//! How long a line is under way from the write to the backend.

use std::time::Duration;

use super::paced_writer::{Pace, PacedWriter};
use crate::agent::{self, Batching};
use crate::bench::Bench;
use crate::number::float;
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};
use crate::scratch::create;

/// The size of a latency measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LatencyOptions {
    /// Seconds to write lines for
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// Milliseconds from one line to the next
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub interval_ms: u32,
}

/// Appends a line every few milliseconds and measures how long each takes to be received.
///
/// # Errors
/// When the agent cannot be started, ends early or does not deliver in time.
pub(crate) fn run(bench: &Bench, options: &LatencyOptions) -> anyhow::Result<Outcome> {
    let stage = bench.stage()?;
    let path = stage.dir.path().join("app.log");
    let mut writer = PacedWriter::new(vec![create(&path)?]);
    let max_wait = Batching::MaxWait(Duration::from_millis(100));
    let mut agent = agent::start(bench, &stage, &path, max_wait)?;
    writer.announce()?;
    stage.await_lines(1, &mut agent)?;

    let pace = Pace {
        interval: Duration::from_millis(options.interval_ms.into()),
        lines_per_burst: 1,
        bursts: options.seconds.saturating_mul(1000) / options.interval_ms,
    };
    let late_seconds = writer.run(pace)?;
    let lines = u64::from(pace.bursts) + 1;
    stage.await_lines(lines, &mut agent)?;
    let unclean = agent.stop()?;
    let delays = stage.receiver.delays()?;
    let arrived = stage.receiver.progress()?.tally.lines;

    let mut outcome = Outcome {
        title: format!(
            "latency: a line every {} ms for {} s, max_wait 100 ms",
            options.interval_ms, options.seconds
        ),
        table: Table::new(&["lines", "p50 ms", "p99 ms", "max ms"]),
        notes: bench.notes(),
        faults: unclean.into_iter().collect(),
        ..Outcome::default()
    };
    PacedWriter::note(&mut outcome, late_seconds, lines, arrived);
    let milliseconds = |ns: u64| float(ns) / 1e6;
    outcome.table.add(vec![
        Cell::Figure(float(delays.lines), 0),
        Cell::Figure(milliseconds(delays.p50_ns), 1),
        Cell::Figure(milliseconds(delays.p99_ns), 1),
        Cell::Figure(milliseconds(delays.max_ns), 1),
    ]);
    outcome.budgets.push(Budget {
        what: "p99, ms",
        figure: Some(milliseconds(delays.p99_ns)),
        bound: Bound::AtMost(150.0),
    });
    Ok(outcome)
}
