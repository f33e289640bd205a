//! Every input that was kept, through its target.
//!
//! Goal: what a fuzzing run once found stays fixed, and the targets run wherever the tests do. What is
//! kept is small: files of `seeds` were written by hand or for a finding, those of `corpus` were found by
//! tests/fuzz and reach more together than any fewer of them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tailwater_fuzz::{Target, all};

/// Inputs of one target that are kept at most.
const MAX_FILES: usize = 200;

/// Their bytes.
const MAX_BYTES: usize = 300 << 10;

/// Bytes of stretched inputs.
const LONG_BYTES: usize = 8 << 10;

/// What one input may take: as much as under tests/fuzz, where the code is instrumented.
const MAX_TIME: Duration = Duration::from_secs(5);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a directory, in the order of their names; none where it is not there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Feeds a target one file; what is wrong with it, if anything.
fn replay(target: &Target, file: &Path) -> Option<String> {
    feed(target, file, &std::fs::read(file).unwrap())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time that a parser takes is what is looked at"
)]
fn feed(target: &Target, file: &Path, input: &[u8]) -> Option<String> {
    let begin = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let taken = begin.elapsed();
    let name = file.strip_prefix(root()).unwrap().display();
    if outcome.is_err() {
        return Some(format!("{name} breaks a promise of {}", target.name));
    }
    (taken > MAX_TIME).then(|| format!("{name} takes {taken:?}"))
}

#[test]
fn no_kept_input_breaks_a_promise_or_takes_long() {
    let mut replayed = 0;
    let mut wrong = Vec::new();
    for target in all() {
        let mut kept = files(&root().join("seeds").join(target.name));
        kept.extend(files(&root().join("corpus").join(target.name)));
        assert!(!kept.is_empty(), "{} has no input at all", target.name);
        replayed += kept.len();
        wrong.extend(kept.iter().filter_map(|file| replay(target, file)));
    }
    assert!(wrong.is_empty(), "of {replayed} inputs: {wrong:#?}");
}

/// Repeats a part of an input until it is long.
fn stretched(input: &[u8], part: Range<usize>) -> Vec<u8> {
    let room = LONG_BYTES.saturating_sub(input.len());
    let (before, after) = input.split_at(part.end);
    let part = input.get(part).unwrap();
    let repeated = part.iter().copied().cycle().take(room);
    let before = before.iter().copied();
    before
        .chain(repeated)
        .chain(after.iter().copied())
        .collect()
}

/// Searches begin with short inputs and seldom come to long ones: what takes a time that grows with the
/// square of the input, or a stack that grows with it, shows here.
#[test]
fn no_seed_takes_long_or_overflows_the_stack_when_it_is_stretched() {
    let mut wrong = Vec::new();
    for target in all() {
        for file in files(&root().join("seeds").join(target.name)) {
            let input = std::fs::read(&file).unwrap();
            let len = input.len();
            for part in [
                0..len,
                len / 3..2 * len / 3,
                len / 2..len / 2 + 1,
                len - 1..len,
            ] {
                if !part.is_empty() {
                    wrong.extend(feed(target, &file, &stretched(&input, part)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_kept_belongs_to_a_target_and_is_small() {
    let names: BTreeSet<&str> = all().iter().map(|target| target.name).collect();
    assert_eq!(names.len(), all().len(), "a name stands twice");
    for directory in ["seeds", "corpus", "dictionaries"] {
        for path in files(&root().join(directory)) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(names.contains(name), "{} has no target", path.display());
            let kept = files(&path);
            let bytes: u64 = kept.iter().map(|file| file.metadata().unwrap().len()).sum();
            assert!(
                kept.len() <= MAX_FILES,
                "{}: {}",
                path.display(),
                kept.len()
            );
            assert!(bytes <= MAX_BYTES as u64, "{}: {bytes}", path.display());
        }
    }
}
