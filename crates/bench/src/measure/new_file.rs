//! How soon the first line of a new file is received, among many that are quiet.

use std::time::Duration;

use super::quiet_files;
use crate::agent::{self, Batching};
use crate::bench::Bench;
use crate::clock::{self, wait};
use crate::number::{float, quantile};
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};
use crate::random::Random;
use crate::scratch::write_new;
use crate::stamp::Stamp;

/// The size of a discovery measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NewFileOptions {
    /// Files that nobody writes to
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub quiet_files: u32,
    /// New files, one after the other
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub new_files: u32,
}

/// Creates files with one line each, and measures how long each line takes to be received.
///
/// # Errors
/// When the agent cannot be started, ends early or does not deliver in time.
pub(crate) fn run(bench: &Bench, options: &NewFileOptions) -> anyhow::Result<Outcome> {
    let stage = bench.stage()?;
    let root = stage.dir.path().join("logs");
    let pattern = quiet_files::create(&root, options.quiet_files)?;
    let max_wait = Batching::MaxWait(Duration::from_millis(100));
    let mut agent = agent::start(bench, &stage, &pattern, max_wait)?;
    let quiet = u64::from(options.quiet_files);
    stage.await_lines(quiet, &mut agent)?;

    let mut random = Random::new(3);
    for file_index in 0..options.new_files {
        // At no fixed beat, so that no rescan of the agent's is met at the same point every time.
        wait(Duration::from_millis(100 + u64::from(random.below(500))));
        let path = quiet_files::directory(&root, 0).join(format!("new-{file_index}.log"));
        let mut line = Vec::new();
        Stamp {
            file_index,
            written_ns: clock::monotonic_ns(),
        }
        .put(&mut line);
        line.extend_from_slice(b"the only line of a new file\n");
        write_new(&path, &line)?;
        stage.await_lines(quiet + u64::from(file_index) + 1, &mut agent)?;
    }
    let unclean = agent.stop()?;
    let delays = stage.receiver.delays()?;
    let mut sorted: Vec<u64> = delays.files.iter().map(|file| file.max_ns).collect();
    sorted.sort_unstable();
    let milliseconds = |per_mille| float(quantile(&sorted, per_mille)) / 1e6;

    let (new, quiet) = (options.new_files, options.quiet_files);
    let mut outcome = Outcome {
        title: format!("new-file: {new} new files among {quiet} quiet ones, max_wait 100 ms"),
        table: Table::new(&["new files", "p50 ms", "max ms"]),
        budgets: vec![Budget {
            what: "slowest first line, ms",
            figure: Some(milliseconds(1000)),
            bound: Bound::AtMost(1000.0),
        }],
        notes: bench.notes(),
        faults: unclean.into_iter().collect(),
    };
    outcome.table.add(vec![
        Cell::Figure(float(delays.lines), 0),
        Cell::Figure(milliseconds(500), 1),
        Cell::Figure(milliseconds(1000), 1),
    ]);
    if delays.lines != u64::from(new) {
        outcome.faults.push(format!(
            "{} lines of new files arrived instead of {new}",
            delays.lines
        ));
    }
    Ok(outcome)
}
