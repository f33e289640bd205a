//! `tailwater positions reset`: forgetting where files were read to.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tailwater_position_store::{FileKey, PositionStore, StoreLimits};

use super::look::stored_copy;
use super::{Data, hinted, start};
use crate::check::printable;
use crate::exit::Failure;

/// Forgets the positions of all sinks in every generation of the files, or in all files. Without `yes` it
/// says what that would be.
///
/// # Durability
/// On `Ok` what was forgotten stays so after a power cut.
///
/// # Errors
/// [`Failure::Usage`] without `yes`; [`Failure::Runtime`] where a path is not known, or an agent uses the
/// data directory: then nothing is forgotten.
pub(super) fn reset(
    data_dir: &Path,
    paths: &[PathBuf],
    all: bool,
    yes: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if !yes {
        let store = stored_copy(data_dir).map_err(Failure::Runtime)?;
        let files = selected(&store, paths, all)?;
        return Err(Failure::Usage(format!(
            "this forgets the positions of {}, and sends all of it again: add `--yes`",
            counted(&files)
        )));
    }
    let mut data = Data::open(data_dir, StoreLimits::default().max_files / 2)?;
    let keys = selected(&data.store, paths, all)?;
    for key in &keys {
        data.store.forget(*key);
    }
    start::append(&mut data.store, &mut data.journal)
        .context("cannot forget positions")
        .map_err(Failure::Runtime)?;
    writeln!(out, "positions of {} forgotten", counted(&keys))
        .context("cannot print")
        .map_err(Failure::Runtime)
}

fn counted(files: &[FileKey]) -> String {
    match files.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}

fn selected(store: &PositionStore, paths: &[PathBuf], all: bool) -> Result<Vec<FileKey>, Failure> {
    if all {
        return Ok(store.files().map(|file| file.key).collect());
    }
    let mut keys = Vec::new();
    for path in paths {
        let absolute = std::path::absolute(path).unwrap_or_else(|_no_directory| path.clone());
        let before = keys.len();
        keys.extend(store.find_by_path(&absolute).map(|file| file.key));
        if keys.len() == before {
            let error = anyhow::anyhow!("no position of {} is known", printable(path));
            return Err(hinted(
                error,
                "`tailwater positions list` says what is known",
            ));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}
