//! What a backlog on disk costs: opening it, and delivering it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tailwater_durable::{Disk, Storage};
use tailwater_spill_buffer::{Limits, Seq};

use crate::agent::{self, Keys};
use crate::bench::{Bench, Stage};
use crate::clock::{self, Deadline, wait};
use crate::corpus::{self, Corpus};
use crate::kind::Kind;
use crate::measure::drain::{self, Contender};
use crate::number::{float, mebibytes};
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};
use crate::program::Program;
use crate::receiver::query;

const POLL: std::time::Duration = std::time::Duration::from_millis(50);

/// The size of a backlog.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SpillOptions {
    /// Bytes of access log to spill; 3,700,000,000 make a spill of 1 GiB
    #[arg(long, default_value_t = 500_000_000)]
    pub bytes: u64,
    /// What the access log is made from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// As much of the agent's status as is needed.
#[derive(Debug, Deserialize)]
struct AgentStatus {
    books: Vec<AgentBooks>,
}

#[derive(Debug, Deserialize)]
struct AgentBooks {
    spilled_records: u64,
}

/// What delivering a spill took.
#[derive(Clone, Copy, Debug)]
struct Replay {
    spill_bytes: u64,
    open_ms: f64,
    mb_per_second: f64,
    peak_rss_bytes: u64,
}

/// Spills a file while nobody listens, opens the spill, and has it delivered.
///
/// # Errors
/// When a program cannot be started, ends early or does not deliver in time.
pub(crate) fn run(bench: &Bench, options: &SpillOptions) -> anyhow::Result<Outcome> {
    let corpus = corpus::prepare(&bench.work_dir, Kind::Access, options.bytes, options.seed)?;
    let drain = drain::drain(bench, &Contender::Tailwater, &corpus)?;
    let stage = bench.stage()?;
    spill(bench, &stage, &corpus)?;
    let (replay, fault) = replay(bench, &stage, &corpus)?;
    let mut table = Table::new(&["figure", "value", "unit"]);
    let mut add = |name: &str, value: f64, unit: &str| {
        table.add(vec![
            Cell::text(name),
            Cell::Figure(value, 1),
            Cell::text(unit),
        ]);
    };
    add("spill", mebibytes(replay.spill_bytes), "MiB");
    add("opening it", replay.open_ms, "ms");
    add("delivering it", replay.mb_per_second, "MB/s of log");
    add("draining the log", drain.mb_per_second, "MB/s of log");
    add("peak memory", mebibytes(replay.peak_rss_bytes), "MiB");
    Ok(Outcome {
        title: format!(
            "spill: {} bytes of log spilled and delivered, one pinned CPU",
            corpus.bytes
        ),
        table,
        budgets: vec![
            Budget {
                what: "opening, ms",
                figure: Some(replay.open_ms),
                bound: Bound::AtMost(50.0),
            },
            Budget {
                what: "MB/s / drain's",
                figure: Some(replay.mb_per_second / drain.mb_per_second),
                bound: Bound::AtLeast(0.8),
            },
            Budget {
                what: "peak memory, MiB",
                figure: Some(mebibytes(replay.peak_rss_bytes)),
                bound: Bound::AtMost(48.0),
            },
        ],
        notes: bench.notes(),
        faults: fault.into_iter().collect(),
    })
}

const SPILL_KEYS: Keys<'_> = Keys {
    source: "",
    sink: "    when_full: spill\n    spill: {max_bytes: 64GiB}\n    retry: {max_wait: 1s}\n",
};

/// Has an agent spill all of a file: there is nobody where it delivers to.
fn spill(bench: &Bench, stage: &Stage, corpus: &Corpus) -> anyhow::Result<()> {
    // The discard port: nobody listens there.
    let launch = agent::launch_to(bench, stage, &corpus.path, "http://127.0.0.1:9", SPILL_KEYS)?;
    let mut program = Program::start(&launch, bench.placement.measured, stage.dir.path())?;
    let deadline = Deadline::after(bench.timeout);
    let address = stage.dir.path().join(agent::DATA_DIR).join("admin.addr");
    loop {
        program.ensure_running()?;
        let spilled = spilled_records(&address).unwrap_or(0);
        if spilled >= corpus.tally.lines {
            break;
        }
        let lines = corpus.tally.lines;
        ensure!(
            !deadline.is_over(),
            "{spilled} of {lines} lines were spilled in time"
        );
        wait(POLL);
    }
    let unclean = program.stop()?;
    ensure!(unclean.is_none(), "{}", unclean.unwrap_or_default());
    Ok(())
}

fn spilled_records(address: &Path) -> anyhow::Result<u64> {
    let address = std::fs::read_to_string(address)?.parse()?;
    let status: AgentStatus = query(address, "/api/v1/status")?;
    Ok(status.books.iter().map(|route| route.spilled_records).sum())
}

/// Opens the spill, then has an agent deliver it; also says what was wrong.
fn replay(
    bench: &Bench,
    stage: &Stage,
    corpus: &Corpus,
) -> anyhow::Result<(Replay, Option<String>)> {
    let directory: PathBuf = [
        stage.dir.path(),
        Path::new(agent::DATA_DIR),
        Path::new("spill/out"),
    ]
    .iter()
    .collect();
    let storage: Arc<dyn Storage> = Arc::new(Disk::open(&directory)?);
    let before_ns = clock::monotonic_ns();
    let (spill, recovery) =
        tailwater_spill_buffer::open(storage, Limits::new(u64::MAX), Seq::FIRST)
            .context("cannot open the spill")?;
    let open_ms = clock::seconds_between(before_ns, clock::monotonic_ns()) * 1e3;
    drop(spill);
    let url = stage.push_url();
    let launch = agent::launch_to(bench, stage, &corpus.path, &url, SPILL_KEYS)?;
    let start_ns = clock::monotonic_ns();
    let mut program = Program::start(&launch, bench.placement.measured, stage.dir.path())?;
    let progress = stage.await_lines(corpus.tally.lines, &mut program)?;
    let usage = program.usage()?;
    let unclean = program.stop()?;
    let incomplete = stage.receiver.progress()?.tally.difference(&corpus.tally);
    let seconds = clock::seconds_between(start_ns, progress.last_answer_ns);
    let replay = Replay {
        spill_bytes: recovery.bytes,
        open_ms,
        mb_per_second: float(corpus.bytes) / 1e6 / seconds,
        peak_rss_bytes: usage.peak_rss_bytes,
    };
    Ok((replay, incomplete.or(unclean)))
}
