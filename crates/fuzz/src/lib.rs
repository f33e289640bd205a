//! Fuzz targets: every parser fed with hostile bytes, and what must hold whatever they are.
//!
//! A [`Target`] takes any bytes and panics where the parser broke a promise: not only by a panic of its
//! own, but by losing a line, by an answer that depends on how a file was cut, by disagreeing with another
//! parser of the same format. `tests/fuzz` runs them under libFuzzer; `tests/replay.rs` runs every input
//! that was kept, in the ordinary test run.
//!
//! A new target is a file in `src/targets/` with a function `run`, and its name in `targets.rs`. What it
//! is to start from goes to `seeds/<name>/`, one input a file, and words it hardly guesses to
//! `dictionaries/<name>.dict`; both can be left out.

mod chunks;
mod files;
mod input;
mod pass;
mod targets;

/// A parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its module, of the directories of its inputs and of its dictionary.
    pub name: &'static str,
    /// Feeds it any bytes.
    ///
    /// # Panics
    /// Where the parser did what it must not: a finding.
    pub run: fn(&[u8]),
}

/// Returns all targets, in the order of their names.
pub fn all() -> &'static [Target] {
    targets::ALL
}

/// Returns the target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    all().iter().find(|target| target.name == name)
}
