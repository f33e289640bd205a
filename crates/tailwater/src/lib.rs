//! The tailwater binary: command line, configuration, admin server, telemetry, signals.
//!
//! It is a library so that its tests reach the configuration; nothing else uses it.

pub mod admin;
pub mod backfill;
pub mod check;
pub mod cli;
pub mod config;
pub mod exit;
mod log_count;
pub mod positions;
pub mod presets;
pub mod promtail;
pub mod registry;
pub mod run;
pub mod spill;
pub mod telemetry;
