//! Names of files that carry the number of a generation.

use tailwater_durable::{Storage, StorageError};

/// How the name of every journal ends.
pub(crate) const SUFFIX: &str = ".journal";

/// Returns the name of a generation: the prefix, 20 decimal digits, the suffix.
pub(crate) fn name(prefix: &str, generation: u64) -> String {
    format!("{prefix}{generation:020}{SUFFIX}")
}

/// Returns the generations of a directory, the newest first.
pub(crate) fn list(storage: &dyn Storage, prefix: &str) -> Result<Vec<u64>, StorageError> {
    let number = |found: &String| {
        let number = found.strip_prefix(prefix)?.strip_suffix(SUFFIX)?;
        let number = number.parse().ok()?;
        (*found == name(prefix, number)).then_some(number)
    };
    let mut generations: Vec<u64> = storage.list()?.iter().filter_map(number).collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    Ok(generations)
}
