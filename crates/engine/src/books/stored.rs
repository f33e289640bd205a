//! The books as they are kept beside the positions, in the notes of the position store.
//!
//! Every route is one note, `books/<sink>/<source>`; every spill is one, `spill/<lane>`, and one for each
//! route with records in it, `spilled/<lane>/<source>`. Values are JSON. All are taken under one lock,
//! so they are of one moment; what is in flight is left out, for it is read again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Books, Figures, Reason, RouteBooks, SpillMarks};

/// A note: its name and its value.
pub(crate) type Note = (String, Vec<u8>);

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct StoredRoute {
    source: String,
    sink: String,
    read_records: u64,
    read_bytes: u64,
    read_lines: u64,
    joined_lines: u64,
    acked_records: u64,
    acked_bytes: u64,
    rejected_records: BTreeMap<String, u64>,
    dropped_records: BTreeMap<String, u64>,
    spilled_records: u64,
    lost_unread_bytes: u64,
    truncated_lines: u64,
    split_lines: u64,
    skipped_bytes: u64,
    hole_bytes: u64,
    replaced_lines: u64,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct StoredMarks {
    lane: String,
    acked: u64,
    appended: u64,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct StoredRecords {
    lane: String,
    source: String,
    sink: String,
    records: u64,
}

impl Books {
    /// Returns all figures, to be stored in one group with the positions.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let mut figures = self.lock();
        figures.note_marks();
        let mut notes = Vec::new();
        for books in &figures.routes {
            let name = format!("books/{}/{}", books.sink, books.source);
            notes.extend(note(name, &StoredRoute::of(books)));
        }
        for (lane, marks) in &figures.spills {
            let stored = StoredMarks {
                lane: lane.to_string(),
                acked: marks.acked,
                appended: marks.appended,
            };
            notes.extend(note(format!("spill/{lane}"), &stored));
            for (route, records) in &marks.records {
                let Some(books) = figures.routes.get(*route) else {
                    continue;
                };
                let stored = StoredRecords {
                    lane: lane.to_string(),
                    source: books.source.to_string(),
                    sink: books.sink.to_string(),
                    records: *records,
                };
                notes.extend(note(format!("spilled/{lane}/{}", books.source), &stored));
            }
        }
        notes
    }

    /// Takes up what an earlier run has stored. A note that makes no sense is left out.
    pub(crate) fn restore<'n>(&self, notes: impl Iterator<Item = (&'n str, &'n [u8])>) {
        let mut figures = self.lock();
        let mut records: Vec<StoredRecords> = Vec::new();
        for (name, value) in notes {
            if name.starts_with("books/") {
                if let Ok(stored) = serde_json::from_slice(value) {
                    figures.restore_route(stored);
                }
            } else if name.starts_with("spill/") {
                if let Ok(stored) = serde_json::from_slice::<StoredMarks>(value) {
                    let marks = SpillMarks {
                        acked: stored.acked,
                        appended: stored.appended,
                        records: BTreeMap::new(),
                    };
                    figures.spills.insert(stored.lane.into(), marks);
                    figures.note_marks();
                }
            } else if name.starts_with("spilled/") {
                records.extend(serde_json::from_slice::<StoredRecords>(value));
            }
        }
        drop(figures);
        self.notes_are_durable();
        let mut figures = self.lock();
        for stored in records {
            let route = figures.route(&stored.source, &stored.sink);
            let lane: Arc<str> = stored.lane.into();
            let marks = figures.spills.entry(lane).or_default();
            marks.records.insert(route, stored.records);
        }
    }
}

impl Figures {
    fn note_marks(&mut self) {
        for (lane, marks) in &self.spills {
            self.noted.entry(Arc::clone(lane)).or_default().taken = marks.acked;
        }
    }

    fn restore_route(&mut self, stored: StoredRoute) {
        let route = self.route(&stored.source, &stored.sink);
        let Some(books) = self.routes.get_mut(route) else {
            return;
        };
        let reasons = |stored: BTreeMap<String, u64>| -> BTreeMap<Reason, u64> {
            let stored = stored.into_iter();
            stored
                .map(|(reason, count)| (reason.into(), count))
                .collect()
        };
        *books = RouteBooks {
            source: Arc::clone(&books.source),
            sink: Arc::clone(&books.sink),
            read_records: stored.read_records,
            read_bytes: stored.read_bytes,
            read_lines: stored.read_lines,
            joined_lines: stored.joined_lines,
            dropped_by_stages: BTreeMap::new(),
            acked_records: stored.acked_records,
            acked_bytes: stored.acked_bytes,
            rejected_records: reasons(stored.rejected_records),
            dropped_records: reasons(stored.dropped_records),
            spilled_records: stored.spilled_records,
            in_flight_records: 0,
            lost_unread_bytes: stored.lost_unread_bytes,
            truncated_lines: stored.truncated_lines,
            split_lines: stored.split_lines,
            skipped_bytes: stored.skipped_bytes,
            hole_bytes: stored.hole_bytes,
            replaced_lines: stored.replaced_lines,
        };
        // Figures of another hand: what does not add up begins anew.
        if !books.balance() {
            let (source, sink) = (Arc::clone(&books.source), Arc::clone(&books.sink));
            *books = RouteBooks {
                source,
                sink,
                ..RouteBooks::default()
            };
        }
    }
}

impl StoredRoute {
    /// What is in flight is left out of what was read.
    fn of(books: &RouteBooks) -> Self {
        let reasons = |counts: &BTreeMap<Reason, u64>| {
            let counts = counts.iter();
            counts
                .map(|(reason, count)| (reason.to_string(), *count))
                .collect()
        };
        Self {
            source: books.source.to_string(),
            sink: books.sink.to_string(),
            read_records: books.read_records.saturating_sub(books.in_flight_records),
            read_bytes: books.read_bytes,
            read_lines: books.read_lines,
            joined_lines: books.joined_lines,
            acked_records: books.acked_records,
            acked_bytes: books.acked_bytes,
            rejected_records: reasons(&books.rejected_records),
            dropped_records: reasons(&books.dropped_records),
            spilled_records: books.spilled_records,
            lost_unread_bytes: books.lost_unread_bytes,
            truncated_lines: books.truncated_lines,
            split_lines: books.split_lines,
            skipped_bytes: books.skipped_bytes,
            hole_bytes: books.hole_bytes,
            replaced_lines: books.replaced_lines,
        }
    }
}

fn note(name: String, value: &impl Serialize) -> Option<Note> {
    Some((name, serde_json::to_vec(value).ok()?))
}
