//! The import before the first start with a data directory, and how it is known to be done.

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tailwater_position_store::promtail::{self, OnInvalid, PromtailFile};
use tailwater_position_store::{Journal, PositionStore};

use super::import::{Known, import};
use super::summary::{Outcome, Summary};
use crate::config::{Config, ImportConfig};
use crate::exit::{Failure, Hint};

/// The note in the position store that says that an import was done.
const NOTE: &str = "import/promtail";

/// Bytes of a path that are kept in the note.
const MAX_PATH_BYTES: usize = 2_048;

/// Files that the log names one by one; the rest is counted.
const MAX_LOGGED_FILES: u64 = 1_000;

const UNREADABLE: &str = "repair the file, or start it anew with \
     `import_positions_ignore_invalid: true`: every file is then read from its first byte";

/// What is known of an import that was done.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    path: String,
    /// XXH3-64 of the file, in hexadecimal.
    hash: String,
    /// Files that go on at an offset of Promtail's.
    imported: u64,
}

/// Takes over the positions that the configuration names, once for each data directory: a note says that
/// it was done, and a file that has changed since is not taken over again.
///
/// # Durability
/// On `Ok` the positions and the note survive a power cut.
///
/// # Errors
/// [`Failure::Runtime`] where the file or the journal cannot be used. Nothing may be read then: it would be
/// sent again from its first byte.
pub(crate) fn import_at_start(
    config: &Config,
    store: &mut PositionStore,
    journal: &mut Journal,
) -> Result<(), Failure> {
    let Some(from) = &config.import_positions else {
        return Ok(());
    };
    if let Some(note) = store.note(NOTE) {
        tell_done(from, note);
        return Ok(());
    }
    let file = read(from)?;
    if file.saved_ns.is_none() {
        tracing::warn!(path = %from.path.display(), "there is no positions file to import: files are read from where they are known, else from the start");
    }
    let mut logged = 0_u64;
    let summary = import(
        &config.engine,
        &file,
        store,
        Known::Keep,
        |path, outcome| {
            if outcome.is_remarkable() && logged < MAX_LOGGED_FILES {
                logged += 1;
                log(path, outcome);
            }
        },
    );
    commit(from, &file, &summary, store, journal)?;
    tracing::info!(
        path = %from.path.display(),
        imported = summary.imported(),
        in_rotated = summary.count(Outcome::ResumedInRotated),
        restarted = summary.count(Outcome::Restarted) + summary.count(Outcome::ReadAgain),
        missing = summary.count(Outcome::Missing),
        refused = summary.refused(),
        known = summary.count(Outcome::Known),
        not_read = summary.count(Outcome::NotRead),
        cursors = summary.cursors,
        "positions of promtail imported"
    );
    Ok(())
}

/// Reads the positions file that a configuration or a command names.
pub(super) fn read(from: &ImportConfig) -> Result<PromtailFile, Failure> {
    promtail::read(&from.path, from.on_invalid).map_err(|error| {
        let error = anyhow::Error::new(error).context("cannot import positions");
        Failure::Runtime(error.context(Hint(UNREADABLE.to_owned())))
    })
}

/// Makes an import durable: first the positions, then the note, so that the note is never there without
/// all of them.
pub(super) fn commit(
    from: &ImportConfig,
    file: &PromtailFile,
    summary: &Summary,
    store: &mut PositionStore,
    journal: &mut Journal,
) -> Result<(), Failure> {
    let done = Done {
        path: shortened(&from.path),
        hash: hex(file.hash),
        imported: summary.imported(),
    };
    append(store, journal)
        .and_then(|()| {
            let note = serde_json::to_vec(&done)?;
            store.set_note(NOTE, &note)?;
            append(store, journal)
        })
        .context("cannot store the imported positions")
        .map_err(Failure::Runtime)
}

/// Makes what has changed in the store durable.
pub(super) fn append(store: &mut PositionStore, journal: &mut Journal) -> anyhow::Result<()> {
    let Some(group) = store.take_group() else {
        return Ok(());
    };
    if journal.append(&group).is_err() {
        // A damaged journal takes nothing before it is written anew; so does a full one.
        journal.reopen_with(&store.snapshot())?;
    }
    Ok(())
}

fn tell_done(from: &ImportConfig, note: &[u8]) {
    let done: Option<Done> = serde_json::from_slice(note).ok();
    let file = promtail::read(&from.path, OnInvalid::TakeAsEmpty);
    let is_same = file.is_ok_and(|file| {
        // Whoever is done with Promtail removes its file.
        file.saved_ns.is_none()
            || done.as_ref().is_some_and(|done| {
                done.hash == hex(file.hash) && done.path == shortened(&from.path)
            })
    });
    if is_same {
        tracing::debug!(path = %from.path.display(), "positions of promtail were imported before");
    } else {
        tracing::warn!(
            path = %from.path.display(),
            imported_path = done.map(|done| done.path),
            "positions of promtail have changed since they were imported, and are not imported again: `tailwater positions import` does that"
        );
    }
}

fn log(path: &Path, outcome: Outcome) {
    let path = path.display();
    let reason = outcome.words();
    match outcome {
        Outcome::ResumedInRotated | Outcome::Missing => {
            tracing::info!(%path, reason, "position of promtail imported");
        }
        Outcome::NoNumber | Outcome::NoRoom | Outcome::Unreadable | Outcome::Archive => {
            tracing::error!(%path, reason, "position of promtail refused");
        }
        Outcome::Restarted
        | Outcome::ReadAgain
        | Outcome::Resumed
        | Outcome::ResumedAtLineStart
        | Outcome::Known
        | Outcome::NotRead => {
            tracing::warn!(%path, reason, "position of promtail not usable");
        }
    }
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

fn shortened(path: &Path) -> String {
    let text = path.display().to_string();
    let end = text.floor_char_boundary(MAX_PATH_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}
