//! `tailwater positions`: the real command over data directories that it or a real agent has made.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking, and stands in for Promtail"
)]

mod back;
mod rig;
mod there;
