//! Discovers, identifies, follows and frames files.
//!
//! A [`Tailer`] belongs to one pipeline thread. It finds the files of its sources, keeps one
//! [`TailedFile`] per generation across renames, truncation and deletion, and says which of them may
//! have something to read. The engine gives each file its cursors, reads chunks through them and
//! frames the chunks. It knows neither sinks nor how positions are stored.
//!
//! The way through this crate: [`watch`] hears of changes, `directory` lists what is there,
//! `discover` makes generations of it, [`mod@file`] reads them, [`frame`] makes lines.

pub mod archive;
mod directory;
mod discover;
pub mod file;
pub mod frame;
pub mod listed;
pub mod open;
pub mod pattern;
mod tailer;
pub mod watch;

pub use archive::{ArchiveRules, Compression, Damage};
pub use directory::{TailId, is_remote, mount_table};
pub use discover::{Age, is_rotated_name};
pub use file::{CHUNK_BYTES, Chunk, Cursor, ReadBuffer, Step, TailedFile};
pub use frame::{
    ChunkEnd, Cut, Encoding, FrameConfig, FrameState, FrameStats, Framer, OverLimit,
    ResolvedEncoding,
};
pub use listed::{Filled, ListedEnd, ListedFile, ListedReader};
pub use open::AllowedRoots;
pub use pattern::{PatternError, Patterns};
pub use tailer::{
    Change, Known, KnownFile, LossReason, Now, SourceFiles, Tailer, TailerLimits, TailerStats,
};
pub use watch::{Waker, WatchBackend};
