//! `tailwater backfill`: files that are there, read once and delivered, and an exit status that tells the truth.
//!
//! `setup` makes the configuration of the run, `find` the list of files, `order` sorts them into logs, the oldest
//! file first, and `choose` leaves out what is not to be read: by what `stored` says of positions and `content` of
//! bytes. `execute` runs the engine, `progress` shows it, and `report` says what came of it, with what `left`
//! counts.

mod arguments;
mod choose;
mod content;
mod execute;
mod find;
mod left;
mod moment;
mod order;
mod preview;
mod progress;
mod report;
mod setup;
mod stored;
mod words;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tailwater_durable::{DirLock, Disk, LockError, Storage};
use tailwater_engine::BackfillPlan;
use tailwater_tailer::AllowedRoots;

pub use arguments::BackfillArguments;
use choose::Chosen;
use execute::Run;
use find::Selection;
use left::Counting;
use progress::Display;
use report::{Figures, Report};
use setup::Setup;
use stored::Stored;

use crate::config::raw::RawLogLevel;
use crate::exit::{Failure, Hint, printed_whole};
use crate::run;
use crate::spill::dead_letters_of;

/// Reads files once, delivers their lines, and prints what came of it to `out`.
///
/// # Errors
/// [`Failure`]; [`Failure::Runtime`] also where not every line was acknowledged.
pub fn run(
    arguments: &BackfillArguments,
    level: Option<RawLogLevel>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut setup = Setup::of(arguments, run::unix_ns())?;
    run::start_log(&setup.config.log, Some(level.unwrap_or(RawLogLevel::Warn)));
    let selection = select(arguments, &mut setup)?;
    let roots = choose::roots(&setup.config);
    let followed = if arguments.include_followed {
        None
    } else {
        Some(Stored::of(&setup.data_dir, setup.sinks())?)
    };
    let chosen = choose::choose(&setup.config, selection, followed.as_ref(), &roots);
    if arguments.dry_run {
        let former = Stored::of(&setup.state_dir, setup.sinks())?;
        return printed_whole(preview::print(&chosen, &former, &roots, out));
    }
    deliver(arguments, setup, &chosen, &roots, out)
}

fn select(arguments: &BackfillArguments, setup: &mut Setup) -> Result<Selection, Failure> {
    if arguments.globs.is_empty() {
        let source = setup.source();
        let patterns = source.map(|source| source.patterns.clone());
        let none = || Failure::Usage("say which files are meant".to_owned());
        return find::of_source(&patterns.ok_or_else(none)?);
    }
    let (selection, patterns) = find::named(&arguments.globs)?;
    setup.set_patterns(&patterns);
    Ok(selection)
}

fn deliver(
    arguments: &BackfillArguments,
    setup: Setup,
    chosen: &Chosen,
    roots: &AllowedRoots,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    run::raise_descriptor_limit();
    let _lock = lock(&setup.lock_dir)?;
    let storage = Disk::open(&setup.state_dir).map_err(|error| Failure::Runtime(error.into()))?;
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let (store, journal) = run::open_positions(&storage, setup.config.engine.tailing.max_files)?;
    let (sinks, state_dir) = (setup.sinks(), setup.state_dir);
    let refused_before = dead_letters_of(&state_dir, |path| chosen.has_log_of(path));
    let refused_before = refused_before.map_err(Failure::Runtime)?;
    let started = execute::now();
    let work = Run {
        config: setup.config,
        plan: BackfillPlan {
            chains: chosen.chains(),
            jobs: arguments.jobs(),
        },
        storage,
        store,
        journal,
        give_up_after: arguments.give_up_after,
        display: Display::new(!arguments.no_progress, started),
    };
    let counting = Counting {
        state_dir,
        sinks,
        roots: roots.clone(),
    };
    let mut done = None;
    run::on_runtime(async {
        done = Some(execute::execute(work, counting).await?);
        Ok(())
    })?;
    let none = || Failure::Runtime(anyhow::anyhow!("the run has come to nothing"));
    let (done, left) = done.ok_or_else(none)?;
    let report = Report::of(&Figures {
        ended: done.ended,
        files: &done.files,
        chosen,
        books_before: &done.books_before,
        books: &done.books,
        stage_reasons: &setup.stage_reasons,
        left: &left?,
        refused_before,
        elapsed: done.ended_at.saturating_duration_since(started),
    });
    let printed = print(&report, arguments.json, out);
    if report.is_complete {
        return printed_whole(printed);
    }
    Err(Failure::Runtime(anyhow::anyhow!("{}", report.result())))
}

fn print(report: &Report, is_json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if is_json {
        serde_json::to_writer_pretty(&mut *out, report)?;
        return writeln!(out);
    }
    report.print(out)
}

/// Takes what one backfill has for itself; the agent on the data directory has a lock of its own.
fn lock(directory: &Path) -> Result<DirLock, Failure> {
    let opened = Disk::open(directory).map_err(|error| {
        let hint = "give it a directory that this user may write in: `--data-dir`";
        hinted(error, hint)
    });
    drop(opened?);
    DirLock::acquire(directory).map_err(|error| {
        let hint = match &error {
            LockError::Held { .. } => {
                "another backfill runs with this data directory: wait for it, or give this one its own with \
                 `--data-dir`"
            }
            LockError::Storage { .. } | _ => "run it as the user that the directory belongs to",
        };
        hinted(error, hint)
    })
}

fn hinted(error: impl Into<anyhow::Error>, hint: &str) -> Failure {
    Failure::Runtime(error.into().context(Hint(hint.to_owned())))
}
