//! Where spills and dead letters are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tailwater_engine::offline::{DEAD_LETTER_DIRECTORY, SPILL_DIRECTORY, escaped};

use super::{account, hinted};
use crate::check::printable;

/// What a directory is for, told by where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The spill of a lane of a data directory.
    Spill,
    /// The dead letters of a sink of a data directory.
    DeadLetters,
    /// Somewhere else: a copy, or what was salvaged.
    Directory,
}

/// A directory of segments.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// The lane's or the sink's, as it is written in paths.
    pub(super) name: String,
    pub(super) directory: PathBuf,
    /// The data directory that it belongs to.
    pub(super) data_dir: Option<PathBuf>,
    /// Every frame below it was delivered, by the positions of that data directory.
    pub(super) acked: u64,
}

impl Place {
    /// Returns what a directory is.
    pub(super) fn of(directory: &Path) -> anyhow::Result<Self> {
        let found = directory
            .canonicalize()
            .with_context(|| format!("cannot look at {}", printable(directory)))?;
        anyhow::ensure!(
            found.is_dir(),
            "{} is not a directory",
            printable(directory)
        );
        let mut place = Self::at(found);
        if let (Some(data_dir), Kind::Spill) = (&place.data_dir, place.kind) {
            place.acked = acked_of(&account::acked_frames(data_dir), &place.name);
        }
        Ok(place)
    }

    /// Returns all spills and dead letters of a data directory, by name.
    pub(super) fn all_below(data_dir: &Path) -> anyhow::Result<Vec<Self>> {
        if !data_dir.is_dir() {
            let error = anyhow::anyhow!("there is no data directory {}", printable(data_dir));
            let hint = "name it with `--data-dir`, or the configuration with `--config`";
            return Err(hinted(error, hint));
        }
        let acked = account::acked_frames(data_dir);
        let mut places = Vec::new();
        for parent in [SPILL_DIRECTORY, DEAD_LETTER_DIRECTORY] {
            for directory in subdirectories(&data_dir.join(parent))? {
                let place = Self::at(directory);
                let acked = match place.kind {
                    Kind::Spill => acked_of(&acked, &place.name),
                    Kind::DeadLetters | Kind::Directory => 0,
                };
                places.push(Self { acked, ..place });
            }
        }
        Ok(places)
    }

    /// Returns where the dead letters of a sink are.
    pub(super) fn dead_letters(data_dir: &Path, sink: &str) -> PathBuf {
        data_dir.join(DEAD_LETTER_DIRECTORY).join(escaped(sink))
    }

    fn at(directory: PathBuf) -> Self {
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let parent = directory.parent().map(name);
        let kind = match parent.as_deref() {
            Some(SPILL_DIRECTORY) => Kind::Spill,
            Some(DEAD_LETTER_DIRECTORY) => Kind::DeadLetters,
            Some(_) | None => Kind::Directory,
        };
        let data_dir = directory.ancestors().nth(2).map(Path::to_owned);
        Self {
            kind,
            name: name(&directory),
            data_dir: data_dir.filter(|found| kind != Kind::Directory && has_positions(found)),
            directory,
            acked: 0,
        }
    }

    /// Says what it is, as the subject of a sentence.
    pub(super) fn title(&self) -> String {
        let (name, directory) = (self.name.escape_debug(), printable(&self.directory));
        match self.kind {
            Kind::Spill => format!("spill of {name}, {directory}"),
            Kind::DeadLetters => format!("dead letters of {name}, {directory}"),
            Kind::Directory => directory,
        }
    }
}

/// A copy of spills is not a data directory: nothing is to be begun there.
fn has_positions(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with("positions-"))
}

fn acked_of(acked: &BTreeMap<String, u64>, lane: &str) -> u64 {
    acked.get(lane).copied().unwrap_or(0)
}

/// Returns the directories in a directory, sorted; none where it is not there. Links are not followed.
fn subdirectories(parent: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listing = match std::fs::read_dir(parent) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.with_context(|| format!("cannot list {}", printable(parent)))?,
    };
    let mut directories = Vec::new();
    for entry in listing {
        let entry = entry.with_context(|| format!("cannot list {}", printable(parent)))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            directories.push(entry.path());
        }
    }
    directories.sort_unstable();
    Ok(directories)
}
