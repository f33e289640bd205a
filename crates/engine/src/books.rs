//! The books: what became of every record that was read, per source and sink.
//!
//! `read = acked + dropped + rejected + spilled + in flight` holds at every moment: all of a route's
//! figures are changed together under one lock, which is taken once per chunk and once per batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Number of a route within the books.
pub(crate) type RouteIndex = usize;

/// The figures of one source and one sink, in records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteBooks {
    /// The source.
    pub source: Arc<str>,
    /// The sink.
    pub sink: Arc<str>,
    /// Records that were framed and added to a batch.
    pub read_records: u64,
    /// Bytes of those lines, without delimiters.
    pub read_bytes: u64,
    /// Records the sink has taken responsibility for.
    pub acked_records: u64,
    /// Bytes of those lines, without delimiters.
    pub acked_bytes: u64,
    /// Records the sink refused for good, by reason.
    pub rejected_records: BTreeMap<&'static str, u64>,
    /// Records in an open batch, in the queue or on the wire.
    pub in_flight_records: u64,
    /// Bytes that were seen in a file and could not be read any more.
    pub lost_unread_bytes: u64,
    /// Lines over the limit that were cut.
    pub truncated_lines: u64,
    /// Lines over the limit that became several records.
    pub split_lines: u64,
    /// Bytes of lines over the limit that were skipped.
    pub skipped_bytes: u64,
    /// NUL bytes of holes that truncation left.
    pub hole_bytes: u64,
    /// Lines in which something could not be read as text and was replaced.
    pub replaced_lines: u64,
}

impl RouteBooks {
    /// Returns the records refused for good, over all reasons.
    pub fn rejected_total(&self) -> u64 {
        self.rejected_records.values().sum()
    }

    /// Returns whether every record is accounted for.
    pub fn balance(&self) -> bool {
        self.read_records == self.acked_records + self.rejected_total() + self.in_flight_records
    }
}

/// The books of all routes.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Vec<RouteBooks>>);

impl Books {
    /// Returns the number of a route; its figures go on where the route was there before a reload.
    pub(crate) fn route(&self, source: &Arc<str>, sink: &Arc<str>) -> RouteIndex {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = routes
            .iter()
            .position(|route| route.source == *source && route.sink == *sink);
        known.unwrap_or_else(|| {
            routes.push(RouteBooks {
                source: Arc::clone(source),
                sink: Arc::clone(sink),
                ..RouteBooks::default()
            });
            routes.len() - 1
        })
    }

    /// Changes the figures of one route.
    pub(crate) fn change(&self, route: RouteIndex, change: impl FnOnce(&mut RouteBooks)) {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(books) = routes.get_mut(route) {
            change(books);
            debug_assert!(
                books.balance(),
                "the books of a route do not balance: {books:?}"
            );
        }
    }

    /// Returns all figures as of one moment.
    pub(crate) fn snapshot(&self) -> Vec<RouteBooks> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
