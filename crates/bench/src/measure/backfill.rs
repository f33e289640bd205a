//! How fast an archive is shipped once, against `zcat` and the limit program in a pipe.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::DeliveryOptions;
use crate::agent::{self, Batching};
use crate::bench::{Bench, Stage};
use crate::clock;
use crate::corpus::{self, Corpus};
use crate::kind::Kind;
use crate::number::{float, median};
use crate::outcome::{Bound, Budget, Cell, Outcome, Table};
use crate::program::{Launch, Program, Stop};

#[derive(Clone, Copy, Debug)]
enum Contender {
    Tailwater,
    /// `zcat FILE | tailwater-bench limit`.
    Pipe,
}

/// One shipment of the archive.
#[derive(Clone, Debug, PartialEq)]
struct Shipment {
    /// Decoded bytes, in millions, from the start of the program to the last answer.
    mb_per_second: f64,
    fault: Option<String>,
}

/// Ships one archive with tailwater and with the pipe in turn.
///
/// # Errors
/// When a program cannot be started or does not end in time, or `gzip` fails.
pub(crate) fn run(bench: &Bench, options: &DeliveryOptions) -> anyhow::Result<Outcome> {
    let corpus = corpus::prepare(&bench.work_dir, Kind::Access, options.bytes, options.seed)?;
    let archive = archive_of(&corpus.path)?;
    let (mut tailwater, mut pipe) = (Vec::new(), Vec::new());
    for _ in 0..options.runs {
        tailwater.push(ship(bench, Contender::Tailwater, &corpus, &archive)?);
        pipe.push(ship(bench, Contender::Pipe, &corpus, &archive)?);
    }
    Ok(outcome(bench, &corpus, options, &tailwater, &pipe))
}

/// Compresses a corpus as logrotate does, where no earlier run has.
fn archive_of(path: &Path) -> anyhow::Result<PathBuf> {
    let archive = path.with_extension("log.gz");
    if !archive.exists() {
        let dir = path.parent().unwrap_or(Path::new("."));
        let unfinished = tempfile::NamedTempFile::new_in(dir)
            .with_context(|| format!("cannot create a file in {}", dir.display()))?;
        let output = unfinished.reopen().context("cannot share a file")?;
        let status = Command::new("gzip")
            .arg("-c")
            .arg(path)
            .stdout(Stdio::from(output))
            .status()
            .context("cannot run gzip")?;
        ensure!(status.success(), "gzip did not end cleanly: {status}");
        unfinished
            .persist(&archive)
            .with_context(|| format!("cannot create {}", archive.display()))?;
    }
    // So that it is in the page cache when the measurement starts.
    std::fs::read(&archive).with_context(|| format!("cannot read {}", archive.display()))?;
    Ok(archive)
}

fn ship(
    bench: &Bench,
    contender: Contender,
    corpus: &Corpus,
    archive: &Path,
) -> anyhow::Result<Shipment> {
    let stage = bench.stage()?;
    let launch = launch(bench, contender, &stage, archive)?;
    let start_ns = clock::monotonic_ns();
    let program = Program::start(&launch, bench.placement.measured, stage.dir.path())?;
    let unclean = program.wait(bench.timeout)?;
    let progress = stage.receiver.progress()?;
    let seconds = clock::seconds_between(start_ns, progress.last_answer_ns);
    Ok(Shipment {
        mb_per_second: float(corpus.bytes) / 1e6 / seconds,
        fault: progress.tally.difference(&corpus.tally).or(unclean),
    })
}

fn launch(
    bench: &Bench,
    contender: Contender,
    stage: &Stage,
    archive: &Path,
) -> anyhow::Result<Launch> {
    match contender {
        Contender::Tailwater => {
            let mut launch = agent::launch(bench, stage, archive, Batching::Default)?;
            if let Some(command) = launch.arguments.first_mut() {
                *command = "backfill".into();
            }
            launch.arguments.push(archive.into());
            launch.stop = Stop::OfItself;
            Ok(launch)
        }
        Contender::Pipe => {
            let own = std::env::current_exe().context("cannot tell the path of this program")?;
            let script = "zcat \"$1\" | \"$2\" limit /dev/stdin \"$3\"";
            Ok(Launch {
                name: "zcat and limit",
                program: "sh".into(),
                arguments: vec![
                    "-c".into(),
                    script.into(),
                    "sh".into(),
                    archive.into(),
                    own.into(),
                    stage.receiver.address.to_string().into(),
                ],
                stop: Stop::OfItself,
            })
        }
    }
}

fn outcome(
    bench: &Bench,
    corpus: &Corpus,
    options: &DeliveryOptions,
    tailwater: &[Shipment],
    pipe: &[Shipment],
) -> Outcome {
    let (bytes, lines, runs) = (corpus.bytes, corpus.tally.lines, options.runs);
    let mut table = Table::new(&["program", "MB/s", "complete"]);
    for (name, shipments) in [("tailwater", tailwater), ("zcat | limit", pipe)] {
        for (index, shipment) in shipments.iter().enumerate() {
            table.add(vec![
                Cell::text(format!("{name} #{}", index + 1)),
                Cell::Figure(shipment.mb_per_second, 1),
                Cell::text(shipment.fault.clone().unwrap_or_else(|| "yes".to_owned())),
            ]);
        }
    }
    Outcome {
        title: format!(
            "backfill: one .gz of {bytes} bytes, {lines} lines, one pinned CPU, {runs} runs each"
        ),
        table,
        budgets: vec![Budget {
            what: "MB/s / that of zcat and limit",
            figure: rate_ratio(tailwater, pipe),
            bound: Bound::AtLeast(0.7),
        }],
        notes: bench.notes(),
        faults: tailwater
            .iter()
            .chain(pipe)
            .filter_map(|shipment| shipment.fault.clone())
            .collect(),
    }
}

/// The median over the pairs that ran one after the other.
fn rate_ratio(tailwater: &[Shipment], pipe: &[Shipment]) -> Option<f64> {
    let pairs = tailwater.iter().zip(pipe);
    let ratios = pairs.map(|(tailwater, pipe)| tailwater.mb_per_second / pipe.mb_per_second);
    median(&ratios.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::write_new;

    fn shipment(mb_per_second: f64) -> Shipment {
        Shipment {
            mb_per_second,
            fault: None,
        }
    }

    #[test]
    fn the_ratio_is_the_median_of_pairs() {
        let tailwater = [100.0, 50.0, 90.0].map(shipment);
        let pipe = [200.0, 40.0, 100.0].map(shipment);
        let ratio = rate_ratio(&tailwater, &pipe).unwrap();
        assert!((ratio - 0.9).abs() < 1e-9, "{ratio}");
        assert_eq!(rate_ratio(&[], &pipe), None);
    }

    #[test]
    fn an_archive_is_made_once_and_is_that_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        write_new(&path, b"one\ntwo\n").unwrap();
        let archive = archive_of(&path).unwrap();
        assert_eq!(archive, dir.path().join("access.log.gz"));
        let text = Command::new("zcat").arg(&archive).output().unwrap();
        assert_eq!(text.stdout, b"one\ntwo\n");
        std::fs::remove_file(&path).unwrap();
        write_new(&path, b"three\n").unwrap();
        assert_eq!(archive_of(&path).unwrap(), archive);
        let again = Command::new("zcat").arg(&archive).output().unwrap();
        assert_eq!(again.stdout, b"one\ntwo\n");
    }
}
