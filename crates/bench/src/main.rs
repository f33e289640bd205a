//! End-to-end measurements against the limit program and the peers.
//!
//! Each measurement drives the built `tailwater` program as a process, as an operator would, and
//! reads from `/proc` what it used. The lines go to a [`receiver`] in a process of its own, which
//! checks that all of them arrived and how long each took. Ratios to the [`limit`] program are what
//! counts: absolute figures do not carry from one machine to another.
#![expect(
    clippy::print_stdout,
    reason = "printing tables is what this program is for"
)]
#![expect(
    clippy::print_stderr,
    reason = "a program that is run by hand says there what went wrong"
)]

mod access_log;
mod agent;
mod bench;
mod cli;
mod clock;
mod corpus;
mod cpu;
mod kind;
mod limit;
mod measure;
mod number;
mod outcome;
mod peers;
mod proc_files;
mod program;
mod random;
mod receiver;
mod scratch;
mod stamp;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use serde_json::json;

use crate::bench::Bench;
use crate::cli::{Cli, Command, CommonOptions};
use crate::cpu::Placement;
use crate::measure::{backfill, drain, idle, latency, many_files, new_file, spill, stages};
use crate::outcome::Outcome;

const FAILED: u8 = 1;
const BUDGET_BROKEN: u8 = 3;
const WRONG_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { WRONG_USAGE } else { 0 };
            return error
                .print()
                .map_or(ExitCode::from(FAILED), |()| ExitCode::from(status));
        }
    };
    match run(&cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("tailwater-bench: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// A measurement, not yet made.
type Measurement<'a> = Box<dyn Fn(&Bench) -> anyhow::Result<Outcome> + 'a>;

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let measurements: Vec<Measurement<'_>> = match &cli.command {
        Command::Drain(options) => vec![Box::new(|bench| drain::run(bench, options))],
        Command::Idle(options) => vec![Box::new(|bench| idle::run(bench, options))],
        Command::Latency(options) => vec![Box::new(|bench| latency::run(bench, options))],
        Command::ManyFiles(options) => vec![Box::new(|bench| many_files::run(bench, options))],
        Command::NewFile(options) => vec![Box::new(|bench| new_file::run(bench, options))],
        Command::Spill(options) => vec![Box::new(|bench| spill::run(bench, options))],
        Command::Stages(options) => vec![Box::new(|bench| stages::run(bench, options))],
        Command::Backfill(options) => vec![Box::new(|bench| backfill::run(bench, options))],
        Command::All => all()?,
        Command::Limit {
            hold,
            path,
            address,
        } => return run_limit(*hold, path, *address),
        Command::Generate { bytes, seed } => return generate(&cli.common, *bytes, *seed),
        Command::Receive => return receiver::run(&mut std::io::stdout()).map(|()| 0),
        Command::Pin {
            cpu,
            parent,
            open_files,
            command,
        } => {
            return program::become_pinned(*cpu, *parent, *open_files, command).map(|()| 0);
        }
    };
    measure(&cli.common, &measurements)
}

/// Every measurement with the options it has on an empty command line.
fn all() -> anyhow::Result<Vec<Measurement<'static>>> {
    let mut measurements = Vec::new();
    for name in [
        "drain",
        "idle",
        "latency",
        "many-files",
        "new-file",
        "spill",
        "stages",
        "backfill",
    ] {
        let cli = Cli::try_parse_from(["tailwater-bench", name])
            .with_context(|| format!("cannot take the defaults of {name}"))?;
        let measurement: Measurement<'static> = match cli.command {
            Command::Drain(options) => Box::new(move |bench| drain::run(bench, &options)),
            Command::Idle(options) => Box::new(move |bench| idle::run(bench, &options)),
            Command::Latency(options) => Box::new(move |bench| latency::run(bench, &options)),
            Command::ManyFiles(options) => Box::new(move |bench| many_files::run(bench, &options)),
            Command::NewFile(options) => Box::new(move |bench| new_file::run(bench, &options)),
            Command::Spill(options) => Box::new(move |bench| spill::run(bench, &options)),
            Command::Stages(options) => Box::new(move |bench| stages::run(bench, &options)),
            Command::Backfill(options) => Box::new(move |bench| backfill::run(bench, &options)),
            Command::All
            | Command::Limit { .. }
            | Command::Generate { .. }
            | Command::Receive
            | Command::Pin { .. } => continue,
        };
        measurements.push(measurement);
    }
    Ok(measurements)
}

/// Makes every measurement, also after one failed, and prints each as soon as it is there.
fn measure(options: &CommonOptions, measurements: &[Measurement<'_>]) -> anyhow::Result<u8> {
    let bench = Bench {
        tailwater: tailwater(options)?,
        work_dir: work_dir(options),
        timeout: Duration::from_secs(options.timeout_seconds),
        placement: Placement::of_this_process()?,
    };
    // Before this thread is pinned, or it would see one CPU alone.
    let machine = proc_files::machine();
    cpu::pin_thread(bench.placement.rest)?;
    if !options.json {
        println!("tailwater-bench on {machine}\n");
    }
    let mut status = 0;
    let mut outcomes = Vec::new();
    for measurement in measurements {
        let outcome = match measurement(&bench) {
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("tailwater-bench: {error:#}");
                status = FAILED;
                continue;
            }
        };
        status = worse(status, status_of(&outcome, options.check));
        if options.json {
            outcomes.push(outcome.to_json());
        } else {
            println!("{}", outcome.render());
        }
    }
    if options.json {
        println!("{:#}", json!({"machine": machine, "outcomes": outcomes}));
    }
    Ok(status)
}

fn status_of(outcome: &Outcome, check: bool) -> u8 {
    if !outcome.faults.is_empty() {
        FAILED
    } else if check && !outcome.keeps_budgets() {
        BUDGET_BROKEN
    } else {
        0
    }
}

/// A failed measurement says more than a broken budget, and both more than success.
fn worse(one: u8, other: u8) -> u8 {
    if one == FAILED || other == FAILED {
        FAILED
    } else {
        one.max(other)
    }
}

fn run_limit(
    hold: bool,
    path: &std::path::Path,
    address: std::net::SocketAddr,
) -> anyhow::Result<u8> {
    limit::run(path, address)?;
    if hold {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())
            .context("cannot read standard input")?;
    }
    Ok(0)
}

fn generate(options: &CommonOptions, bytes: u64, seed: u64) -> anyhow::Result<u8> {
    let corpus = corpus::prepare(&work_dir(options), kind::Kind::Access, bytes, seed)?;
    let path = corpus.path.display();
    if options.json {
        println!(
            "{}",
            json!({"path": path.to_string(), "bytes": corpus.bytes, "lines": corpus.tally})
        );
    } else {
        println!(
            "{path}: {} bytes, {} lines",
            corpus.bytes, corpus.tally.lines
        );
    }
    Ok(0)
}

fn work_dir(options: &CommonOptions) -> PathBuf {
    let default = || std::env::temp_dir().join("tailwater-bench");
    options.work_dir.clone().unwrap_or_else(default)
}

/// The program that was asked for, or the one that was built together with this one.
fn tailwater(options: &CommonOptions) -> anyhow::Result<PathBuf> {
    if let Some(path) = &options.tailwater {
        return Ok(path.clone());
    }
    let own = std::env::current_exe().context("cannot tell the path of this program")?;
    Ok(own.with_file_name("tailwater"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Bound, Budget};

    #[test]
    fn every_measurement_has_defaults() {
        assert_eq!(all().unwrap().len(), 8);
    }

    #[test]
    fn exit_status_tells_failure_from_a_broken_budget() {
        let budget = Budget {
            what: "x",
            figure: Some(2.0),
            bound: Bound::AtMost(1.0),
        };
        let mut outcome = Outcome {
            budgets: vec![budget],
            ..Outcome::default()
        };
        assert_eq!(status_of(&outcome, false), 0);
        assert_eq!(status_of(&outcome, true), BUDGET_BROKEN);
        outcome.faults.push("lines missing".to_owned());
        assert_eq!(status_of(&outcome, false), FAILED);
        assert_eq!(worse(BUDGET_BROKEN, FAILED), FAILED);
        assert_eq!(worse(0, BUDGET_BROKEN), BUDGET_BROKEN);
    }
}
