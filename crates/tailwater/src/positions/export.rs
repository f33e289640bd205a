//! `tailwater positions export`: the way back to another agent.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tailwater_durable::{Disk, Storage as _};
use tailwater_position_store::promtail;
use tailwater_position_store::{PositionStore, StoredFile};

use super::look::{Inodes, live_len, stored_copy};
use crate::check::printable;
use crate::spill::{Waiting, waiting_spans};

/// Writes Promtail's positions file: for each path the least offset that every sink has taken.
///
/// What waits in a spill was taken by no sink: the offset is before it, so that Promtail sends it again.
/// Promtail cannot go on in files that have another name by now; what is unread of them is told on
/// `errors`.
///
/// # Durability
/// A file survives a power cut on `Ok`, and is either the old or the new one on `Err`.
///
/// # Errors
/// The positions cannot be read, or the file cannot be written.
pub(super) fn export(
    data_dir: &Path,
    output: Option<&Path>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<()> {
    let store = stored_copy(data_dir)?;
    let waiting = waiting_spans(data_dir)?;
    let exported = Exported::new(&store, &waiting);
    let text = promtail::render(&exported.offsets);
    match output {
        Some(path) => write(path, text.as_bytes())?,
        None => out.write_all(text.as_bytes()).context("cannot print")?,
    }
    exported
        .remarks
        .iter()
        .try_for_each(|remark| writeln!(errors, "tailwater: {remark}").context("cannot print"))
}

/// Replaces a file as a whole.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    ensure!(
        directory.is_dir(),
        "there is no directory {}",
        printable(directory)
    );
    let name = path.file_name().and_then(OsStr::to_str);
    let name = name.with_context(|| format!("{} cannot be written", printable(path)))?;
    Disk::open(directory)?.replace(name, bytes)?;
    Ok(())
}

#[derive(Debug, Default)]
struct Exported {
    offsets: BTreeMap<PathBuf, u64>,
    remarks: Vec<String>,
    inodes: Inodes,
}

impl Exported {
    fn new(store: &PositionStore, waiting: &Waiting) -> Self {
        let mut exported = Self::default();
        for file in store.files().filter(|file| !file.positions.is_empty()) {
            let offsets = file.positions.iter().map(|stored| stored.position.offset);
            let (least, most) = offsets.fold((u64::MAX, 0), |(least, most), offset| {
                (least.min(offset), most.max(offset))
            });
            let spilled = waiting.first_offset(file.key, store.epoch(file.key).unwrap_or(0));
            match live_len(file) {
                Some(len) => exported.add(file, least..most, spilled, len),
                None => exported.leave_out(file, least, spilled),
            }
        }
        exported.remarks.sort_unstable();
        exported
    }

    fn add(&mut self, file: &StoredFile, taken: Range<u64>, spilled: Option<u64>, len: u64) {
        let path = printable(&file.path);
        let Range { start, end } = taken;
        let offset = spilled.map_or(start, |spilled| spilled.min(start));
        if offset < start {
            self.remarks.push(format!(
                "{path}: bytes {offset} to {start} wait in a spill: Promtail sends them again from the \
                 file, so do not send the spill too"
            ));
        }
        if start < end {
            self.remarks.push(format!(
                "{path}: bytes {start} to {end} were taken by some sinks, and come to them twice"
            ));
        }
        if end < len {
            self.remarks
                .push(format!("{path}: bytes {end} to {len} were not sent yet"));
        }
        self.offsets.insert(file.path.to_path_buf(), offset);
    }

    /// Promtail knows files by their paths: it cannot go on in one that has another by now.
    fn leave_out(&mut self, file: &StoredFile, taken: u64, spilled: Option<u64>) {
        let path = printable(&file.path);
        if let Some(spilled) = spilled {
            self.remarks.push(format!(
                "{path}: rotated or gone, and from byte {spilled} on it waits in a spill: `tailwater \
                 spill send` delivers that"
            ));
        }
        let len = self.inodes.renamed_len(file).unwrap_or(0);
        if taken < len {
            self.remarks.push(format!(
                "{path}: rotated, and bytes {taken} to {len} were not sent: Promtail does not read them"
            ));
        }
    }
}
