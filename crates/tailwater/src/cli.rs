//! The command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use tailwater_record::TimestampNs;

use crate::backfill::BackfillArguments;
use crate::check::sample::{self, By, Sample};
use crate::config::raw::RawLogLevel;
use crate::exit::{self, Failure};
use crate::positions::PositionsCommand;
use crate::spill::SpillCommand;

/// The log shipping agent: tails files and delivers them, nothing lost silently.
#[derive(Debug, Parser)]
#[command(name = "tailwater", version, disable_help_subcommand = true)]
struct Arguments {
    /// Least level of the agent's own log, over the configuration's.
    #[arg(long, global = true, value_enum)]
    log_level: Option<RawLogLevel>,
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Follows files and delivers their lines until it is told to stop.
    Run {
        /// The configuration; without it, this machine's logs go to `./tailwater-data/lines.ndjson`.
        #[arg(long, short)]
        config: Option<PathBuf>,
        /// Where positions are kept, over the configuration's.
        #[arg(long)]
        data_dir: Option<PathBuf>,
    },
    /// Checks a configuration and says what would be tailed now, and where it would go. With `--sample`, shows what
    /// becomes of the lines of a file, and which preset fits them.
    Check(CheckArguments),
    /// Lists the presets: what lines of well-known programs look like. With a name, prints its stages.
    Presets {
        /// The preset whose stages are printed, to be copied.
        name: Option<String>,
    },
    /// Prints Promtail's configuration in the native form, with a comment on what means something else.
    Convert {
        /// Promtail's file.
        #[arg(long, short)]
        config: Option<PathBuf>,
        /// Promtail's flags after `--`, as `-- -config.expand-env -client.url=http://loki:3100`.
        #[arg(last = true)]
        flags: Vec<String>,
    },
    /// Follows files without a configuration, to the terminal or to Loki. Keeps no positions.
    Tail(TailArguments),
    /// Reads files that are there once, also rotated and compressed ones, and delivers every line of them.
    Backfill(Box<BackfillArguments>),
    /// Looks at what waits on disk, spilled or refused for good, and takes it elsewhere.
    Spill {
        #[command(subcommand)]
        command: SpillCommand,
    },
    /// Looks at how far files were read, and takes positions from and to other agents.
    Positions {
        #[command(subcommand)]
        command: PositionsCommand,
    },
}

/// Arguments of `tail`.
#[derive(Debug, clap::Args)]
pub struct TailArguments {
    /// Globs of the files; quote them, so that files are found that appear later.
    #[arg(required = true)]
    pub globs: Vec<String>,
    /// The push URL of a Loki; without it, lines go to the terminal.
    #[arg(long)]
    pub to: Option<String>,
    /// A label of every line, `name=value`.
    #[arg(long = "label", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Read files from their first byte instead of their end.
    #[arg(long)]
    pub from_beginning: bool,
}

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    /// The configuration; without it, the embedded one.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// A file, packed or not, of whose first lines is shown what they become; they are not sent.
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// Read the sample by this preset; without it, by the one that fits best.
    #[arg(long, value_name = "NAME", requires = "sample", conflicts_with_all = ["config", "source"])]
    preset: Option<String>,
    /// Read the sample as this source of the configuration does.
    #[arg(long, value_name = "NAME", requires = "sample", requires = "config")]
    source: Option<String>,
    /// How many entries of the sample are shown.
    #[arg(long, default_value_t = 20, requires = "sample")]
    lines: usize,
}

fn run_check(arguments: &CheckArguments) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let Some(file) = &arguments.sample else {
        return crate::check::check(arguments.config.as_deref(), &mut out);
    };
    let by = match (&arguments.preset, &arguments.config) {
        (Some(name), _) => By::Preset(name),
        (None, Some(config)) => By::Source(config, arguments.source.as_deref()),
        (None, None) => By::BestPreset,
    };
    let sample = Sample {
        file,
        by,
        shown_entries: arguments.lines,
        width: sample::terminal_width(),
    };
    sample::show(&sample, TimestampNs(crate::run::unix_ns()), &mut out)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like `job=nginx`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads the command line, does what it says, and tells the exit code.
pub fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if crate::promtail::is_asked(&arguments) {
        let flags = arguments.get(1..).unwrap_or_default();
        return end(&crate::promtail::main(flags));
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to tell where the terminal is gone.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() {
                exit::USAGE
            } else {
                exit::CLEAN
            });
        }
    };
    let result = match &arguments.command {
        Command::Run { config, data_dir } => {
            crate::run::run(config.as_deref(), data_dir.as_deref(), arguments.log_level)
        }
        Command::Check(check) => run_check(check),
        Command::Presets { name } => {
            crate::presets::run(name.as_deref(), &mut std::io::stdout().lock())
        }
        Command::Convert { config, flags } => crate::promtail::convert(config.as_deref(), flags),
        Command::Tail(tail) => crate::run::tail(tail, arguments.log_level),
        Command::Backfill(backfill) => {
            let mut out = std::io::stdout();
            crate::backfill::run(backfill, arguments.log_level, &mut out)
        }
        Command::Spill { command } => crate::spill::run(command, &mut std::io::stdout().lock()),
        Command::Positions { command } => {
            let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
            crate::positions::run(command, &mut out, &mut errors)
        }
    };
    end(&result)
}

fn end(result: &Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(failure);
            ExitCode::from(failure.code())
        }
    }
}

fn report(failure: &Failure) {
    let mut errors = std::io::stderr().lock();
    writeln!(errors, "tailwater: {failure}").ok();
    if let Some(hint) = failure.hint() {
        writeln!(errors, "\nhint: {hint}").ok();
    }
}
