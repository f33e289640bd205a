//! Wires files, batches, queues and sinks; the acked prefix; reload and drain.
//!
//! It knows neither the syntax of the configuration nor any backend. The way through this crate:
//! `pipeline` reads and encodes on threads of its own, `queue` holds the sealed batches of a lane and
//! gives what its policy says, `spill` takes them to disk and back, `sender` has them delivered on the
//! async runtime, `desk` enters what became of them: `ledger` turns resolved batches into positions,
//! `checkpoint` makes those durable, `books` counts every record on its way.

mod backfill;
mod books;
mod checkpoint;
mod config;
mod dead_letters;
mod desk;
mod engine;
pub mod envelope;
mod lanes;
mod ledger;
pub mod offline;
mod outlet;
mod pipeline;
mod queue;
mod rate;
mod route;
mod sender;
mod spill;
mod stage_metrics;
mod status;
mod tally;

pub use backfill::{Backfill, BackfillPlan, Chain, FileReport, FileState, Progress};
pub use books::{Reason, RouteBooks};
pub use config::{
    EngineConfig, GiveUp, Keep, Policy, RateLimit, ReadFrom, SEVERITY_LABEL, SEVERITY_METADATA,
    SeverityForm, SinkConfig, SourceConfig, TailingConfig, Then, WhenExceeded, WhenFull,
};
pub use engine::{Engine, EngineHandle, StartError, Stopped, StreamEnd, stored_books};
pub use status::{
    CheckpointStatus, DeadLetterStatus, FileStatus, SinkState, SinkStatus, SpillStatus, Status,
    TailingStatus,
};
pub use tailwater_tailer::WatchBackend;
pub use tally::{Lost, TenantCounts};
