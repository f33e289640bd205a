//! The agent is killed, over and over, and nothing is lost.
//!
//! `failpoints` kills it at every named place between a line in a file and its position on disk.
//! `lives` kills it at random, while logs are written and rotated and the sink misbehaves. What a
//! backend shows in the end that keeps one of equal (stream, timestamp, line) is every line, once and
//! in order; the books balance and hold no loss.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod failpoints;
mod life;
mod lives;
mod replay;
mod rig;
mod weather;
