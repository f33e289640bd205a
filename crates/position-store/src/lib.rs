//! Positions on disk: a checksummed journal with compaction.
//!
//! [`PositionStore`] is the state and touches no disk; [`Journal`] is the disk and knows no state.
//! What changes is taken out of the store as a [`Group`] and made durable by the journal, so that no
//! lock is held while the disk works. The format is docs/formats/positions.md.

mod generation;
mod journal;
mod open;
mod record;
mod state;

pub use generation::GenerationError;
pub use journal::{Journal, JournalError};
pub use open::{OpenError, Recovery, open};
pub use state::{
    FileKey, Group, Position, PositionStore, Snapshot, StoreFull, StoreLimits, StoredFile,
    StoredPosition,
};
