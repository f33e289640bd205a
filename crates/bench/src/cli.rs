//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::measure::DeliveryOptions;
use crate::measure::idle::IdleOptions;
use crate::measure::latency::LatencyOptions;
use crate::measure::many_files::ManyFilesOptions;
use crate::measure::new_file::NewFileOptions;
use crate::measure::spill::SpillOptions;
use crate::measure::stages::StagesOptions;

/// Measures tailwater from end to end against its budgets.
///
/// Ends with 0 when every measurement was made, 1 when one failed or lines were not complete, and
/// with --check 3 when a budget was broken or could not be measured; 64 for a wrong command line.
#[derive(Debug, Parser)]
#[command(name = "tailwater-bench")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The options of all measurements.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// The options of all measurements.
#[derive(Debug, Args)]
pub(crate) struct CommonOptions {
    /// The tailwater program; by default the one next to this program
    #[arg(long, global = true, value_name = "PATH")]
    pub tailwater: Option<PathBuf>,
    /// Where files are made; by default `tailwater-bench` in the system's temporary directory
    #[arg(long, global = true, value_name = "PATH")]
    pub work_dir: Option<PathBuf>,
    /// Seconds that lines may take to arrive before a measurement is given up
    #[arg(long, global = true, default_value_t = 300)]
    pub timeout_seconds: u64,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
    /// End with 3 when a budget is broken or not measured
    #[arg(long, global = true)]
    pub check: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// CPU, rate and memory of draining a backlog, against the limit program and the peers
    Drain(DeliveryOptions),
    /// CPU, memory and system calls with files that nobody writes to
    Idle(IdleOptions),
    /// Time from the write of a line to its arrival
    Latency(LatencyOptions),
    /// Fairness between files that are written at once
    ManyFiles(ManyFilesOptions),
    /// Time to the first line of a new file
    NewFile(NewFileOptions),
    /// Time to open a spill, and the rate at which it is delivered, against a drain
    Spill(SpillOptions),
    /// CPU of draining logs through Promtail's stages, against draining them without
    Stages(StagesOptions),
    /// Rate of shipping an archive once, against zcat and the limit program in a pipe
    Backfill(DeliveryOptions),
    /// All of the above with their defaults
    All,
    /// The limit program: send a file with the least work
    Limit {
        /// Wait for the end of standard input when all is sent, to be looked at
        #[arg(long)]
        hold: bool,
        /// The file to send
        path: PathBuf,
        /// Where to: a receiver or Loki
        address: SocketAddr,
    },
    /// Make an access log
    Generate {
        /// Its least size
        #[arg(long, default_value_t = 500_000_000)]
        bytes: u64,
        /// What it is made from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Receive, count, and answer questions, until standard input ends
    #[command(hide = true)]
    Receive,
    /// Become another program, on one CPU
    #[command(hide = true)]
    Pin {
        /// The only CPU
        #[arg(long)]
        cpu: usize,
        /// The process to end with
        #[arg(long)]
        parent: u32,
        /// The soft limit of open files
        #[arg(long)]
        open_files: Option<u64>,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_may_stand_behind_the_command() {
        let line = [
            "tailwater-bench",
            "drain",
            "--runs",
            "5",
            "--check",
            "--work-dir",
            "/w",
        ];
        let cli = Cli::try_parse_from(line).unwrap();
        assert!(cli.common.check && !cli.common.json);
        assert_eq!(cli.common.work_dir, Some(PathBuf::from("/w")));
        assert!(matches!(
            cli.command,
            Command::Drain(DeliveryOptions { runs: 5, .. })
        ));
    }
}
