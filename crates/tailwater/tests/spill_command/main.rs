//! `tailwater spill`: the real command over directories that a real agent has made.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod damage;
mod export;
mod format;
mod inspect;
mod rig;
mod salvage;
mod send;
mod send_books;
