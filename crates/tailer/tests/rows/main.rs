//! The faults that a tailer meets, each as a test of its own: real files and real events, and a clock
//! that the test moves.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]
#![expect(clippy::format_collect, reason = "a few thousand short strings")]

mod archives;
mod discovery;
mod host;
mod identity;
mod limits;
mod lines;
mod memory;
mod names;
mod repacked;
mod restart;
mod rotation;
mod several;
mod truncation;
