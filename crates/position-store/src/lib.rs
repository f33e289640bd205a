//! Positions on disk: a checksummed journal with compaction.
//!
//! [`PositionStore`] is the state and touches no disk; [`Journal`] is the disk and knows no state.
//! What changes is taken out of the store as a [`Group`] and made durable by the journal, so that no
//! lock is held while the disk works. The format is docs/formats/positions.md. [`Intents`] are a file of
//! their own, docs/formats/intents.md. [`promtail`] is the form of another agent, to come from and to go
//! back to.

mod fields;
mod generation;
mod intents;
mod journal;
mod names;
mod open;
pub mod promtail;
mod record;
mod state;

pub use generation::GenerationError;
pub use intents::{Intent, IntentError, IntentLimits, IntentRecovery, IntentSpan, Intents};
pub use journal::{Journal, JournalError};
pub use open::{OpenError, Recovery, open};
pub use state::{
    FileKey, Group, NoteError, Position, PositionStore, Snapshot, StoreFull, StoreLimits,
    StoredFile, StoredPosition,
};
