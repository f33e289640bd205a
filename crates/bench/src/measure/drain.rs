//! How much a backlog costs: a file in the page cache, drained by one program on one CPU.

use std::path::PathBuf;

use anyhow::Context;

use super::DeliveryOptions;
use crate::agent::{self, Batching, Keys};
use crate::bench::{Bench, Stage};
use crate::clock;
use crate::corpus::{self, Corpus};
use crate::kind::Kind;
use crate::number::{float, mebibytes, median};
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};
use crate::peers::Peer;
use crate::program::{Launch, Program, Stop};

/// One program that drains.
#[derive(Clone, Debug)]
pub(super) enum Contender {
    Tailwater,
    /// tailwater, with the stages of a kind of log.
    Staged(Kind),
    Limit,
    Peer(Peer, PathBuf),
}

/// What one drain took.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drain {
    pub(super) cpu_seconds_per_gb: f64,
    pub(super) mb_per_second: f64,
    pub(super) peak_rss_mib: f64,
    pub(super) fault: Option<String>,
}

/// Drains the same file with tailwater and the limit program in turn, then with each peer.
///
/// # Errors
/// When a program cannot be started, ends early or does not deliver in time.
pub(crate) fn run(bench: &Bench, options: &DeliveryOptions) -> anyhow::Result<Outcome> {
    let corpus = corpus::prepare(&bench.work_dir, Kind::Access, options.bytes, options.seed)?;
    let (mut tailwater, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..options.runs {
        tailwater.push(drain(bench, &Contender::Tailwater, &corpus)?);
        limit.push(drain(bench, &Contender::Limit, &corpus)?);
    }
    let mut peers = Vec::new();
    for peer in Peer::ALL {
        peers.push((peer, drains_of_peer(bench, peer, &corpus, options.runs)));
    }
    Ok(outcome(bench, &corpus, options, &tailwater, &limit, &peers))
}

/// The drains of a peer, or why there are none: a peer that fails is no fault of the measurement.
fn drains_of_peer(
    bench: &Bench,
    peer: Peer,
    corpus: &Corpus,
    runs: u32,
) -> Result<Vec<Drain>, String> {
    let program = peer.program().ok_or("not on PATH")?;
    let contender = Contender::Peer(peer, program);
    let drains = (0..runs).map(|_| drain(bench, &contender, corpus));
    drains
        .collect::<anyhow::Result<_>>()
        .map_err(|error| format!("failed: {error:#}"))
}

pub(super) fn drain(
    bench: &Bench,
    contender: &Contender,
    corpus: &Corpus,
) -> anyhow::Result<Drain> {
    let stage = bench.stage()?;
    let launch = launch(bench, contender, &stage, corpus)?;
    let expected = match contender {
        Contender::Staged(_) => &corpus.made,
        Contender::Tailwater | Contender::Limit | Contender::Peer(..) => &corpus.tally,
    };
    let start_ns = clock::monotonic_ns();
    let mut program = Program::start(&launch, bench.placement.measured, stage.dir.path())?;
    let progress = stage.await_lines(expected.lines, &mut program)?;
    let usage = program.usage()?;
    let unclean = program.stop()?;
    // Asked again: what is sent twice on the way out counts as well.
    let incomplete = stage.receiver.progress()?.tally.difference(expected);
    let seconds = clock::seconds_between(start_ns, progress.last_answer_ns);
    Ok(Drain {
        cpu_seconds_per_gb: usage.cpu_seconds / (float(corpus.bytes) / 1e9),
        mb_per_second: float(corpus.bytes) / 1e6 / seconds,
        peak_rss_mib: mebibytes(usage.peak_rss_bytes),
        fault: incomplete.or(unclean),
    })
}

fn launch(
    bench: &Bench,
    contender: &Contender,
    stage: &Stage,
    corpus: &Corpus,
) -> anyhow::Result<Launch> {
    match contender {
        Contender::Tailwater => agent::launch(bench, stage, &corpus.path, Batching::Default),
        Contender::Staged(kind) => {
            let keys = Keys {
                source: &format!("    stages: {}\n", kind.stages()),
                sink: "",
            };
            agent::launch_to(bench, stage, &corpus.path, &stage.push_url(), keys)
        }
        Contender::Peer(peer, program) => peer.launch(program.clone(), stage, &corpus.path),
        Contender::Limit => Ok(Launch {
            name: "limit",
            program: std::env::current_exe().context("cannot tell the path of this program")?,
            arguments: vec![
                "limit".into(),
                "--hold".into(),
                corpus.path.clone().into(),
                stage.receiver.address.to_string().into(),
            ],
            stop: Stop::CloseInput,
        }),
    }
}

fn outcome(
    bench: &Bench,
    corpus: &Corpus,
    options: &DeliveryOptions,
    tailwater: &[Drain],
    limit: &[Drain],
    peers: &[(Peer, Result<Vec<Drain>, String>)],
) -> Outcome {
    let (bytes, lines, runs) = (corpus.bytes, corpus.tally.lines, options.runs);
    let mut table = Table::new(&["program", "CPU s/GB", "MB/s", "peak MiB", "complete"]);
    let mut notes = bench.notes();
    add_rows(&mut table, "tailwater", tailwater);
    add_rows(&mut table, "limit", limit);
    for (peer, drains) in peers {
        match drains {
            Ok(drains) => {
                add_rows(&mut table, peer.name(), drains);
                let ratio = cpu_ratio(tailwater, drains);
                notes.push(format!(
                    "tailwater's CPU is {ratio:.3} of {}'s",
                    peer.name()
                ));
            }
            Err(reason) => notes.push(format!("{}: {reason}", peer.name())),
        }
    }
    Outcome {
        title: format!("drain: {bytes} bytes, {lines} lines, one pinned CPU, {runs} runs each"),
        table,
        budgets: budgets(tailwater, limit),
        notes,
        faults: tailwater
            .iter()
            .chain(limit)
            .filter_map(|drain| drain.fault.clone())
            .collect(),
    }
}

/// One row per run, and the median of the runs where there are several.
fn add_rows(table: &mut Table, name: &str, drains: &[Drain]) {
    let mut add = |name: String, cpu, rate, peak, complete: String| {
        let figures = [
            Cell::Figure(cpu, 2),
            Cell::Figure(rate, 1),
            Cell::Figure(peak, 1),
        ];
        let mut row = vec![Cell::text(name)];
        row.extend(figures);
        row.push(Cell::text(complete));
        table.add(row);
    };
    for (index, drain) in drains.iter().enumerate() {
        let complete = drain.fault.clone().unwrap_or_else(|| "yes".to_owned());
        let (cpu, rate) = (drain.cpu_seconds_per_gb, drain.mb_per_second);
        add(
            format!("{name} #{}", index + 1),
            cpu,
            rate,
            drain.peak_rss_mib,
            complete,
        );
    }
    if drains.len() > 1 {
        let middle = |figure: fn(&Drain) -> f64| {
            median(&drains.iter().map(figure).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        };
        let (cpu, rate) = (
            middle(|d| d.cpu_seconds_per_gb),
            middle(|d| d.mb_per_second),
        );
        add(
            format!("{name} median"),
            cpu,
            rate,
            middle(|d| d.peak_rss_mib),
            String::new(),
        );
    }
}

pub(super) fn cpu_ratio(ours: &[Drain], theirs: &[Drain]) -> f64 {
    let pairs = ours.iter().zip(theirs);
    let ratios = pairs.map(|(ours, theirs)| ours.cpu_seconds_per_gb / theirs.cpu_seconds_per_gb);
    median(&ratios.collect::<Vec<_>>()).unwrap_or(f64::NAN)
}

/// Ratios are medians over the pairs that ran one after the other, so that a machine that slows
/// down half way through moves both halves of a pair.
fn budgets(tailwater: &[Drain], limit: &[Drain]) -> Vec<Budget> {
    let pairs = tailwater.iter().zip(limit);
    let rates = pairs.map(|(tailwater, limit)| tailwater.mb_per_second / limit.mb_per_second);
    let peak = tailwater
        .iter()
        .map(|drain| drain.peak_rss_mib)
        .reduce(f64::max);
    vec![
        Budget {
            what: "CPU per GB / limit's",
            figure: Some(cpu_ratio(tailwater, limit)),
            bound: Bound::AtMost(1.7),
        },
        Budget {
            what: "MB/s / limit's",
            figure: median(&rates.collect::<Vec<_>>()),
            bound: Bound::AtLeast(0.6),
        },
        Budget {
            what: "peak memory, MiB",
            figure: peak,
            bound: Bound::AtMost(32.0),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(cpu_seconds_per_gb: f64, mb_per_second: f64, peak_rss_mib: f64) -> Drain {
        Drain {
            cpu_seconds_per_gb,
            mb_per_second,
            peak_rss_mib,
            fault: None,
        }
    }

    #[test]
    fn ratios_are_medians_of_pairs_and_memory_is_the_worst_run() {
        let tailwater = [
            drain(2.0, 300.0, 20.0),
            drain(9.0, 90.0, 31.0),
            drain(2.2, 280.0, 21.0),
        ];
        let limit = [
            drain(1.0, 400.0, 4.0),
            drain(6.0, 100.0, 4.0),
            drain(2.0, 400.0, 4.0),
        ];
        let budgets = budgets(&tailwater, &limit);
        let figures: Vec<f64> = budgets.iter().filter_map(|budget| budget.figure).collect();
        assert!((figures[0] - 1.5).abs() < 1e-9, "{figures:?}");
        assert!((figures[1] - 0.75).abs() < 1e-9, "{figures:?}");
        assert!((figures[2] - 31.0).abs() < 1e-9, "{figures:?}");
    }

    #[test]
    fn several_runs_are_followed_by_their_median() {
        let mut table = Table::new(&["program", "CPU", "MB/s", "MiB", "complete"]);
        let lost = Some("3 lines missing".to_owned());
        add_rows(
            &mut table,
            "a",
            &[drain(1.0, 10.0, 5.0), drain(3.0, 20.0, 6.0)],
        );
        add_rows(
            &mut table,
            "b",
            &[Drain {
                fault: lost,
                ..drain(1.0, 1.0, 1.0)
            }],
        );
        let expected = "
  program   CPU   MB/s  MiB  complete
  a #1      1.00  10.0  5.0  yes
  a #2      3.00  20.0  6.0  yes
  a median  2.00  15.0  5.5
  b #1      1.00   1.0  1.0  3 lines missing
";
        assert_eq!(format!("\n{}", table.render()), expected);
    }
}
