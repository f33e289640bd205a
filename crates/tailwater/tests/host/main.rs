//! Faults of the machine: full, read-only, failing and vanishing file systems, missing rights.
//!
//! They need root with the right to mount, and loop devices; the command `tests/run` runs them where it
//! has both, and says so where it has not.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod data_directory;
mod file_systems;
mod mount;
mod permissions;
mod power_cut;
#[path = "../e2e/rig.rs"]
mod rig;
mod spill_disk;
