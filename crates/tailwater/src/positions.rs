//! `tailwater positions`: where each sink is in each file, looked at and changed without the agent.
//!
//! `look` reads a data directory beside a running agent; `list` and `export` print what it holds. `import`
//! takes over Promtail's positions, by what `decide` says of each file and what `generations` and
//! `line_start` find on disk; `start` does so before the first start of an agent. `import` and `reset`
//! write, and need the lock of the data directory.

mod decide;
mod export;
mod generations;
mod import;
mod line_start;
mod list;
mod look;
mod reset;
mod start;
mod summary;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tailwater_durable::{DirLock, Disk, LockError, Storage};
use tailwater_position_store::promtail::OnInvalid;
use tailwater_position_store::{Journal, PositionStore};

use crate::check::printable;
use crate::config::{self, Config, ImportConfig};
use crate::exit::{Failure, Hint};
use crate::run;
use import::Known;
pub(crate) use look::{copy, stored_copy};
pub(crate) use start::import_at_start;

/// What to do with positions.
#[derive(Debug, clap::Subcommand)]
pub enum PositionsCommand {
    /// Says where each sink is in each file.
    List {
        /// Where.
        #[command(flatten)]
        selection: Selection,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Writes the positions for another agent to go on from.
    Export {
        /// Where.
        #[command(flatten)]
        selection: Selection,
        /// The form.
        #[arg(long, value_enum)]
        format: Format,
        /// The file, replaced as a whole; without it, the terminal.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Takes over the positions of another agent. Stop it before.
    Import(ImportArguments),
    /// Forgets positions: the files are then read from their first byte.
    Reset {
        /// The paths that the files were found under.
        #[arg(required_unless_present = "all")]
        paths: Vec<PathBuf>,
        /// Every file.
        #[arg(long, conflicts_with = "paths")]
        all: bool,
        /// Do it, and not only say what would be forgotten.
        #[arg(long)]
        yes: bool,
        /// Where.
        #[command(flatten)]
        selection: Selection,
    },
}

/// Forms of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Promtail's positions file.
    Promtail,
}

/// Which data directory is meant.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// The configuration that names the data directory; without it, the embedded one.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// The data directory, over the configuration's.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub struct ImportArguments {
    /// The positions file; it is not changed.
    file: PathBuf,
    /// The form.
    #[arg(long, value_enum)]
    format: Format,
    /// The configuration of the sources and sinks that are to go on from there.
    #[arg(long, short)]
    config: PathBuf,
    /// Where positions are kept, over the configuration's.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Say what would be taken over, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Replace positions that the agent has of its own.
    #[arg(long)]
    replace: bool,
}

impl Selection {
    /// Returns the data directory, which must be there.
    fn data_dir(&self) -> Result<PathBuf, Failure> {
        let data_dir = match (&self.data_dir, &self.config) {
            (Some(data_dir), _) => data_dir.clone(),
            (None, Some(config)) => config::load(config, None)?.data_dir,
            (None, None) => config::load_default(None)?.data_dir,
        };
        if data_dir.is_dir() {
            return Ok(data_dir);
        }
        let error = anyhow::anyhow!("there is no data directory {}", printable(&data_dir));
        let hint = "name it with `--data-dir`, or the configuration with `--config`";
        Err(hinted(error, hint))
    }
}

/// Does what a command says; what it finds goes to `out`, remarks on it to `errors`.
///
/// # Errors
/// [`Failure`]. A reader of `out` that has gone is none.
pub fn run(
    command: &PositionsCommand,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<(), Failure> {
    let done = match command {
        PositionsCommand::List { selection, json } => selection
            .data_dir()
            .and_then(|data_dir| list::list(&data_dir, *json, out).map_err(Failure::Runtime)),
        PositionsCommand::Export {
            selection,
            format: Format::Promtail,
            output,
        } => selection.data_dir().and_then(|data_dir| {
            export::export(&data_dir, output.as_deref(), out, errors).map_err(Failure::Runtime)
        }),
        PositionsCommand::Import(arguments) => import_now(arguments, out),
        PositionsCommand::Reset {
            paths,
            all,
            yes,
            selection,
        } => selection
            .data_dir()
            .and_then(|data_dir| reset::reset(&data_dir, paths, *all, *yes, out)),
    };
    match done {
        Err(Failure::Runtime(error)) if crate::spill::is_broken_pipe(&error) => Ok(()),
        done => done,
    }
}

fn import_now(arguments: &ImportArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let config = config::load(&arguments.config, arguments.data_dir.as_deref())?;
    let from = ImportConfig {
        path: arguments.file.clone(),
        on_invalid: OnInvalid::Refuse,
    };
    if !from.path.exists() {
        let error = anyhow::anyhow!("there is no file {}", printable(&from.path));
        return Err(Failure::Runtime(error));
    }
    let file = start::read(&from)?;
    let known = if arguments.replace {
        Known::Replace
    } else {
        Known::Keep
    };
    let mut printed = Ok(());
    let mut tell = |path: &Path, outcome: summary::Outcome| {
        if outcome.is_remarkable() && printed.is_ok() {
            printed = writeln!(out, "{}: {}", printable(path), outcome.words());
        }
    };
    let summary = if arguments.dry_run {
        let mut store = stored_or_new(&config)?;
        import::import(&config.engine, &file, &mut store, known, &mut tell)
    } else {
        let mut data = Data::open(&config.data_dir, config.engine.tailing.max_files)?;
        let summary = import::import(&config.engine, &file, &mut data.store, known, &mut tell);
        start::commit(&from, &file, &summary, &mut data.store, &mut data.journal)?;
        summary
    };
    printed
        .and_then(|()| summary.print(out))
        .context("cannot print")
        .map_err(Failure::Runtime)
}

/// Returns the positions that an import would go into, without a trace on disk.
fn stored_or_new(config: &Config) -> Result<PositionStore, Failure> {
    if config.data_dir.is_dir() {
        return stored_copy(&config.data_dir).map_err(Failure::Runtime);
    }
    let storage: Arc<dyn Storage> = Arc::new(tailwater_durable::MemoryStorage::new());
    let (store, _) = run::open_positions(&storage, config.engine.tailing.max_files)?;
    Ok(store)
}

/// The positions of a data directory, for the one process that has its lock.
struct Data {
    store: PositionStore,
    journal: Journal,
    _lock: DirLock,
}

impl Data {
    fn open(data_dir: &Path, max_files: usize) -> Result<Self, Failure> {
        let lock = DirLock::acquire(data_dir).map_err(|error| {
            let hint = match &error {
                LockError::Held { .. } => "stop the agent first: it has the positions in memory",
                LockError::Storage { .. } | _ => "run it as the agent's user",
            };
            hinted(error, hint)
        })?;
        let storage = Disk::open(data_dir).map_err(|error| Failure::Runtime(error.into()))?;
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let (store, journal) = run::open_positions(&storage, max_files)?;
        Ok(Self {
            store,
            journal,
            _lock: lock,
        })
    }
}

fn hinted(error: impl Into<anyhow::Error>, hint: &str) -> Failure {
    Failure::Runtime(error.into().context(Hint(hint.to_owned())))
}
