//! End to end: the real binary, real files, the fault sink, the real logrotate and nginx.
//!
//! Every test ends with the oracle's verdict and the books.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod archives;
mod bad_input;
mod client;
mod cut_groups;
mod faults;
mod files;
mod import;
mod nginx;
mod old_lines;
mod reload;
mod rig;
mod rotation;
mod server;
mod several;
mod severity;
mod stages;
