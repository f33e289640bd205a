//! How much the stages cost: logs drained through the stages that fit them, and without any.

use crate::bench::Bench;
use crate::corpus::{self, Corpus};
use crate::kind::Kind;
use crate::measure::drain::{Contender, Drain, cpu_ratio, drain};
use crate::number::median;
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};

/// The size of the drains.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StagesOptions {
    /// Bytes of each log
    #[arg(long, default_value_t = 200_000_000)]
    pub bytes: u64,
    /// How often each log is drained with its stages, and how often without
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// What the logs are made from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// The drains of one log.
#[derive(Debug)]
struct Drains {
    kind: Kind,
    corpus: Corpus,
    plain: Vec<Drain>,
    staged: Vec<Drain>,
}

/// Drains a log of each kind in turn, without stages and with them, one after the other.
///
/// # Errors
/// When a program cannot be started, ends early or does not deliver in time.
pub(crate) fn run(bench: &Bench, options: &StagesOptions) -> anyhow::Result<Outcome> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        all.push(Drains {
            kind,
            corpus: corpus::prepare(&bench.work_dir, kind, options.bytes, options.seed)?,
            plain: Vec::new(),
            staged: Vec::new(),
        });
    }
    // All kinds in each round: a machine that slows down for a while moves none of them alone.
    for _ in 0..options.runs {
        for drains in &mut all {
            let plain = drain(bench, &Contender::Tailwater, &drains.corpus)?;
            drains.plain.push(plain);
            let staged = drain(bench, &Contender::Staged(drains.kind), &drains.corpus)?;
            drains.staged.push(staged);
        }
    }
    Ok(outcome(bench, options, &all))
}

fn outcome(bench: &Bench, options: &StagesOptions, all: &[Drains]) -> Outcome {
    let mut table = Table::new(&[
        "log",
        "lines",
        "plain s/GB",
        "stages s/GB",
        "ratio",
        "peak MiB",
    ]);
    for drains in all {
        let cpu = |drains: &[Drain]| {
            let figures: Vec<f64> = drains
                .iter()
                .map(|drain| drain.cpu_seconds_per_gb)
                .collect();
            median(&figures).unwrap_or(f64::NAN)
        };
        let peak = drains.staged.iter().map(|drain| drain.peak_rss_mib);
        table.add(vec![
            Cell::text(drains.kind.name()),
            Cell::text(drains.corpus.tally.lines.to_string()),
            Cell::Figure(cpu(&drains.plain), 2),
            Cell::Figure(cpu(&drains.staged), 2),
            Cell::Figure(cpu_ratio(&drains.staged, &drains.plain), 2),
            Cell::Figure(peak.fold(0.0, f64::max), 1),
        ]);
    }
    let (bytes, runs) = (options.bytes, options.runs);
    Outcome {
        title: format!(
            "stages: {bytes} bytes of each log with its stages and without, one pinned CPU, {runs} runs each"
        ),
        table,
        budgets: all.iter().map(budget).collect(),
        notes: bench.notes(),
        faults: all
            .iter()
            .flat_map(|drains| drains.plain.iter().chain(&drains.staged))
            .filter_map(|drain| drain.fault.clone())
            .collect(),
    }
}

/// The ratio is a median over pairs, as that of the drain.
fn budget(drains: &Drains) -> Budget {
    let (what, most) = match drains.kind {
        Kind::Access => ("regex: CPU / plain's", 4.0),
        Kind::Json => ("json: CPU / plain's", 2.5),
        Kind::Cri => ("cri: CPU / plain's", 1.5),
        Kind::StackTraces => ("multiline: CPU / plain's", 2.0),
    };
    Budget {
        what,
        figure: Some(cpu_ratio(&drains.staged, &drains.plain)),
        bound: Bound::AtMost(most),
    }
}
