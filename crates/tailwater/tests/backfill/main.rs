//! `tailwater backfill` as a process, against files that the real programs have rotated and compressed.
//!
//! Every test that sends ends with the oracle's verdict, the exit status and the report, whose books balance.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod arguments;
mod beside;
mod bombs;
mod damage;
mod formats;
mod outage;
mod ranges;
mod refusals;
mod repeats;
mod rig;
