//! Files that a measurement writes for the programs it runs; none outlives it by intent.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// Creates `path`, which must not exist, and writes `contents`.
///
/// # Errors
/// When the file is there already or cannot be written.
pub(crate) fn write_new(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let mut file = create(path)?;
    file.write_all(contents)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Creates `path`, which must not exist, for appending.
///
/// # Errors
/// When the file is there already or cannot be created.
pub(crate) fn create(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))
}

/// The last `max_lines` lines of a text file; empty when it cannot be read.
pub(crate) fn last_lines(path: &Path, max_lines: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(max_lines);
    lines.get(skipped..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        write_new(&path, b"one\ntwo\nthree\n").unwrap();
        assert_eq!(last_lines(&path, 2), "two\nthree");
        assert_eq!(last_lines(&path, 9), "one\ntwo\nthree");
        assert_eq!(last_lines(&dir.path().join("none"), 9), "");
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        write_new(&path, b"first").unwrap();
        assert!(write_new(&path, b"second").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }
}
