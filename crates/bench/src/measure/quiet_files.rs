//! A tree of files that nobody writes to.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::scratch::write_new;

const FILES_PER_DIRECTORY: u32 = 1000;

/// Makes `count` files of one line each below `root`; returns the pattern that matches them.
///
/// # Errors
/// When they cannot be made.
pub(crate) fn create(root: &Path, count: u32) -> anyhow::Result<PathBuf> {
    for index in 0..count {
        let dir = directory(root, index / FILES_PER_DIRECTORY);
        if index % FILES_PER_DIRECTORY == 0 {
            std::fs::create_dir_all(&dir)
                .with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let line = format!("the only line of file {index}\n");
        write_new(&dir.join(format!("quiet-{index}.log")), line.as_bytes())?;
    }
    Ok(root.join("*").join("*.log"))
}

/// The directory of the given number.
pub(crate) fn directory(root: &Path, number: u32) -> PathBuf {
    root.join(format!("d{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_spread_over_directories_of_a_thousand() {
        let root = tempfile::tempdir().unwrap();
        let pattern = create(root.path(), 1001).unwrap();
        assert_eq!(pattern, root.path().join("*/*.log"));
        let count = |dir| {
            std::fs::read_dir(directory(root.path(), dir))
                .unwrap()
                .count()
        };
        assert_eq!((count(0), count(1)), (1000, 1));
        let last = directory(root.path(), 1).join("quiet-1000.log");
        assert_eq!(
            std::fs::read(last).unwrap(),
            b"the only line of file 1000\n"
        );
    }
}
