//! The books and positions of an agent that is not running, as far as they speak of one lane's spill.
//!
//! Who empties a spill by hand enters that here: afterwards the books balance, and the next run of the
//! agent reads nothing again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tailwater_position_store::{Journal, JournalError, NoteError, PositionStore};

use crate::books::{Books, Outcome};
use crate::checkpoint::redo_span;
use crate::envelope::Envelope;

pub use crate::lanes::{DEAD_LETTER_DIRECTORY, SPILL_DIRECTORY};
pub use crate::outlet::escaped;

/// Records that a sink has taken, by their source.
pub type Taken = BTreeMap<Arc<str>, TakenRecords>;

/// Records of one source that a sink has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenRecords {
    /// How many.
    pub records: u64,
    /// Bytes of those lines, without delimiters, as far as they are known.
    pub line_bytes: u64,
}

/// Why what was settled could not be made durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A figure has no room among the notes.
    #[error("cannot enter what was sent")]
    Note(#[source] NoteError),
    /// The journal cannot be written.
    #[error("cannot write what was sent into the positions")]
    Journal(#[source] JournalError),
}

/// What a data directory knows of a lane's spill, for the one process that has its lock.
#[derive(Debug)]
pub struct LaneAccount {
    lane: Arc<str>,
    books: Books,
    store: PositionStore,
    journal: Journal,
}

impl LaneAccount {
    /// Takes over the positions of a data directory; `lane` is the name of the spill's directory.
    pub fn new(lane: &str, store: PositionStore, journal: Journal) -> Self {
        let books = Books::default();
        books.restore(store.notes());
        Self {
            lane: lane.into(),
            books,
            store,
            journal,
        }
    }

    /// Returns the number below which every frame is settled.
    pub fn acked(&self) -> u64 {
        self.books.spill_marks(&self.lane).acked
    }

    /// Returns the number below which every frame is in the books and in the positions.
    pub fn appended(&self) -> u64 {
        self.books.spill_marks(&self.lane).appended
    }

    /// Enters a frame that was made durable and not entered; every frame below `appended` is then.
    pub fn enter(&mut self, envelope: &Envelope, appended: u64) {
        for span in &envelope.spans {
            let sink = &*envelope.sink;
            redo_span(&mut self.store, sink, span);
            let route = self.books.route(&span.source, sink);
            let records = [(route, u64::from(span.records))];
            self.books.find_spilled(&self.lane, appended, &records);
        }
    }

    /// Settles frames: every one below `acked` is, and `taken` says what the sink has taken of them. The
    /// rest waits under higher numbers, all of them below `appended`.
    pub fn settle(&mut self, sink: &str, taken: &Taken, acked: u64, appended: u64) {
        let outcomes: Vec<Outcome> = taken
            .iter()
            .map(|(source, taken)| Outcome {
                route: self.books.route(source, sink),
                records: taken.records,
                acked_bytes: taken.line_bytes,
                rejected: BTreeMap::new(),
                dropped: BTreeMap::new(),
            })
            .collect();
        self.books.spill(&self.lane, appended, &[]);
        self.books.settle_spilled(&self.lane, acked, &outcomes);
    }

    /// Makes durable what was entered and settled.
    ///
    /// # Errors
    /// [`CommitError`]; what is durable is then as it was.
    pub fn commit(&mut self) -> Result<(), CommitError> {
        for (name, value) in self.books.notes() {
            self.store
                .set_note(&name, &value)
                .map_err(CommitError::Note)?;
        }
        let Some(group) = self.store.take_group() else {
            return Ok(());
        };
        self.journal.append(&group).map_err(CommitError::Journal)
    }
}

/// Returns for every lane the number below which its frames are settled.
pub fn acked_frames(store: &PositionStore) -> BTreeMap<String, u64> {
    let books = Books::default();
    books.restore(store.notes());
    let marks = books.all_spill_marks();
    marks
        .into_iter()
        .map(|(lane, marks)| (lane.to_string(), marks.acked))
        .collect()
}
