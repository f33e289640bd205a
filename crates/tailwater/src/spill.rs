//! `tailwater spill`: what waits on disk, looked at and taken elsewhere without the agent.
//!
//! `place` finds the directories, `look` reads one without changing it, `inspect` and `export` say what
//! it holds, `salvage` copies what is whole of it, and `send` empties it into a sink: only that one writes
//! below the data directory, and only with its lock. `account` keeps the agent's books right meanwhile,
//! `waiting` tells
//! `tailwater positions` which bytes of a file are here, and `refused` tells a backfill what its earlier runs could
//! not deliver.

mod account;
mod export;
mod inspect;
mod look;
mod origins;
mod place;
mod read_only;
mod refused;
mod salvage;
mod send;
mod time;
mod waiting;

use std::io::{self, Write};
use std::path::PathBuf;

use crate::config;
use crate::exit::{Failure, Hint};
use place::Place;
pub(crate) use read_only::ReadOnly;
pub(crate) use refused::dead_letters_of;
pub(crate) use waiting::{Waiting, waiting_spans};

/// What to do with what waits on disk.
#[derive(Debug, clap::Subcommand)]
pub enum SpillCommand {
    /// Says what the spills and the dead letters hold, without the lines.
    Inspect {
        /// Where.
        #[command(flatten)]
        selection: Selection,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Prints the records that they hold, one JSON object on each line.
    Export {
        /// Where.
        #[command(flatten)]
        selection: Selection,
    },
    /// Writes what is whole of a damaged directory into a new one, under the same numbers.
    Salvage {
        /// The directory of a spill or of dead letters; it is not changed.
        directory: PathBuf,
        /// The new directory: empty, or not there yet.
        #[arg(long)]
        to: PathBuf,
    },
    /// Sends what a directory holds to a sink, and removes what the sink has taken.
    Send(SendArguments),
}

/// Which directories are looked at.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// The directory of one spill, or of the dead letters of one sink; without it, all that are below
    /// the data directory.
    directory: Option<PathBuf>,
    /// The configuration that names the data directory; without it, the embedded one.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// The data directory, over the configuration's.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// Arguments of `send`.
#[derive(Debug, clap::Args)]
pub struct SendArguments {
    /// The directory of a spill or of dead letters.
    #[arg(required_unless_present = "dead_letters")]
    directory: Option<PathBuf>,
    /// The configuration of the sink.
    #[arg(long, short)]
    config: PathBuf,
    /// The name of the sink.
    #[arg(long)]
    sink: String,
    /// Send the dead letters of the sink, where no directory is named.
    #[arg(long)]
    dead_letters: bool,
    /// Where positions are kept, over the configuration's.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

impl Selection {
    fn places(&self) -> Result<Vec<Place>, Failure> {
        if let Some(directory) = &self.directory {
            return Ok(vec![Place::of(directory).map_err(Failure::Runtime)?]);
        }
        let data_dir = match (&self.data_dir, &self.config) {
            (Some(data_dir), _) => data_dir.clone(),
            (None, Some(config)) => config::load(config, None)?.data_dir,
            (None, None) => config::load_default(None)?.data_dir,
        };
        Place::all_below(&data_dir).map_err(Failure::Runtime)
    }
}

/// Does what a command says; what it finds goes to `out`.
///
/// # Errors
/// [`Failure`], also where something was found that could not be exported or sent. A reader of `out` that
/// has gone is none.
pub fn run(command: &SpillCommand, out: &mut dyn Write) -> Result<(), Failure> {
    let done = match command {
        SpillCommand::Inspect { selection, json } => {
            inspect::inspect(&selection.places()?, *json, out).map_err(Failure::Runtime)
        }
        SpillCommand::Export { selection } => {
            export::export(&selection.places()?, out).map_err(Failure::Runtime)
        }
        SpillCommand::Salvage { directory, to } => {
            salvage::salvage(directory, to, out).map_err(Failure::Runtime)
        }
        SpillCommand::Send(arguments) => send::send(arguments, out),
    };
    match done {
        Err(Failure::Runtime(error)) if is_broken_pipe(&error) => Ok(()),
        done => done,
    }
}

/// The reader of a pipe may stop whenever it has seen enough.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn hinted(error: impl Into<anyhow::Error>, hint: &str) -> anyhow::Error {
    error.into().context(Hint(hint.to_owned()))
}

/// Writes a number with what it counts: `1 frame`, `2 frames`.
fn counted(count: u64, noun: &str) -> String {
    let plural = match (count, noun.strip_suffix("ch")) {
        (1, _) => return format!("1 {noun}"),
        (_, Some(_)) => "es",
        (_, None) => "s",
    };
    format!("{count} {noun}{plural}")
}
