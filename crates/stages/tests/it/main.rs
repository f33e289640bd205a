//! The stages, as a configuration writes them, against what Promtail does.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod kit;

mod configuration;
mod conformance;
mod containers;
mod dropping;
mod extracting;
mod geoip;
mod holding;
mod hostile;
mod inspecting;
mod labeling;
mod leveling;
mod matching;
mod metrics;
mod mmdb;
mod multiline;
mod properties;
mod range;
mod rewriting;
mod timestamps;
mod traps;
mod truncating;
