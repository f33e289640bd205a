//! Wires files, batches, queues and sinks; the acked prefix; reload and drain.
//!
//! It knows neither the syntax of the configuration nor any backend. The way through this crate:
//! `pipeline` reads and encodes on threads of its own, `queue` holds sealed batches, `sender` has them
//! delivered on the async runtime, `ledger` turns resolved batches into positions, `checkpoint` makes
//! those durable, `books` counts every record on its way.

mod books;
mod checkpoint;
mod config;
mod engine;
mod ledger;
mod pipeline;
mod queue;
mod route;
mod sender;
mod status;

pub use books::RouteBooks;
pub use config::{EngineConfig, ReadFrom, SinkConfig, SourceConfig, TailingConfig};
pub use engine::{Engine, EngineHandle, StartError, Stopped};
pub use status::{CheckpointStatus, FileStatus, SinkState, SinkStatus, Status, TailingStatus};
pub use tailwater_tailer::WatchBackend;
