//! `tailwater positions list`: where each sink is in each file.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use tailwater_position_store::StoredFile;

use super::look::{live_len, stored_copy};
use crate::check::printable;

/// A file as it is printed; its path is text here, whatever its bytes are.
#[derive(Debug, Serialize)]
struct ListedFile {
    path: String,
    device: u64,
    inode: u64,
    /// Bytes that it holds now; none where its path leads elsewhere or nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// When a position of it was last set, in nanoseconds since the epoch.
    updated_ns: u64,
    /// The offset of each sink.
    positions: BTreeMap<String, u64>,
}

impl ListedFile {
    fn new(file: &StoredFile) -> Self {
        let positions = file.positions.iter();
        Self {
            path: file.path.to_string_lossy().into_owned(),
            device: file.identity.device,
            inode: file.identity.inode,
            bytes: live_len(file),
            updated_ns: file.updated_ns,
            positions: positions
                .map(|stored| (stored.sink.to_string(), stored.position.offset))
                .collect(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let path = printable(Path::new(&self.path));
        match self.bytes {
            Some(bytes) => writeln!(out, "{path}, {bytes} bytes")?,
            None => writeln!(out, "{path}, under another name or gone")?,
        }
        for (sink, offset) in &self.positions {
            writeln!(out, "{offset:>14}  {}", sink.escape_debug())?;
        }
        Ok(())
    }
}

/// Prints every file by its path, and where each sink is in it.
///
/// # Errors
/// The positions cannot be read, or nothing can be printed.
pub(super) fn list(data_dir: &Path, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = stored_copy(data_dir)?;
    let mut files: Vec<ListedFile> = store.files().map(ListedFile::new).collect();
    files.sort_by(|one, other| (&one.path, one.inode).cmp(&(&other.path, other.inode)));
    if json {
        let listed = BTreeMap::from([("files", files)]);
        serde_json::to_writer_pretty(&mut *out, &listed).context("cannot print")?;
        return writeln!(out).context("cannot print");
    }
    let printed = files.iter().try_for_each(|file| file.print(out));
    printed.context("cannot print")?;
    if files.is_empty() {
        writeln!(out, "no file is known").context("cannot print")?;
    }
    Ok(())
}
