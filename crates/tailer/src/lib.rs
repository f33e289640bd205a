//! Discovers, identifies, follows and frames files.
//!
//! It knows neither sinks nor how positions are stored: the engine tells it where each cursor starts.

pub mod frame;
pub mod open;
pub mod pattern;

pub use frame::{Encoding, FrameConfig, OverLimit};
pub use pattern::{PatternError, Patterns};
