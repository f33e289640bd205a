//! The measurements, one module each; every one returns an [`Outcome`](crate::outcome::Outcome).

pub(crate) mod backfill;
pub(crate) mod drain;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod many_files;
pub(crate) mod new_file;
mod paced_writer;
mod quiet_files;
pub(crate) mod spill;
pub(crate) mod stages;
