//! Wires files, batches, queues and sinks; the acked prefix; reload and drain.
//!
//! It knows neither the syntax of the configuration nor any backend.

mod config;

pub use config::{EngineConfig, ReadFrom, SinkConfig, SourceConfig, TailingConfig, WatchBackend};
