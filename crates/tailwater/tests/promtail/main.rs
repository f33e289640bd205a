//! Promtail's command line and configurations, end to end: the real binary under the name `promtail`, real
//! files, the fault sink, the real logrotate.
//!
//! Tests that deliver end with the oracle's verdict and the books.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod clients;
mod dry_run;
mod groups;
mod limits;
mod rig;
mod shipped;
mod stdin;
mod targets;
