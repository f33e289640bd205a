//! The books: what became of every record that was read, per source and sink.
//!
//! `read = acked + dropped + rejected + spilled + in flight` holds at every moment: all of a route's
//! figures are changed together under one lock, which is taken once per chunk and once per batch.

mod stored;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use stored::Note;

/// Number of a route within the books.
pub(crate) type RouteIndex = usize;

/// Why a record did not go its way, as a metric label.
pub type Reason = Cow<'static, str>;

/// The figures of one source and one sink, in records; they go on where an earlier run left them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteBooks {
    /// The source.
    pub source: Arc<str>,
    /// The sink.
    pub sink: Arc<str>,
    /// Records that were read: lines, or what stages have made of them. Lines that wait for others to
    /// become a record are not counted yet.
    pub read_records: u64,
    /// Bytes of the lines that were read, without delimiters.
    pub read_bytes: u64,
    /// Lines that were read.
    pub read_lines: u64,
    /// Lines that were joined to a record which another one began.
    pub joined_lines: u64,
    /// Of the records that were dropped, those that Promtail counts too, by reason.
    pub dropped_by_stages: BTreeMap<Reason, u64>,
    /// Records the sink has taken responsibility for.
    pub acked_records: u64,
    /// Bytes of those lines, without delimiters.
    pub acked_bytes: u64,
    /// Records the sink refused for good, by reason.
    pub rejected_records: BTreeMap<Reason, u64>,
    /// Records that a policy has dropped, by reason.
    pub dropped_records: BTreeMap<Reason, u64>,
    /// Records that are durable in a spill and not delivered yet.
    pub spilled_records: u64,
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

    /// Returns the records that were dropped, over all reasons.
    pub fn dropped_total(&self) -> u64 {
        self.dropped_records.values().sum()
    }

    /// Returns whether every record is accounted for.
    pub fn balance(&self) -> bool {
        let accounted = self.acked_records
            + self.rejected_total()
            + self.dropped_total()
            + self.spilled_records
            + self.in_flight_records;
        self.read_records == accounted
    }
}

/// What became of one route's records in a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) route: RouteIndex,
    /// All of them, the rejected and the dropped ones included.
    pub(crate) records: u64,
    /// Bytes of the lines that were acked.
    pub(crate) acked_bytes: u64,
    pub(crate) rejected: BTreeMap<Reason, u64>,
    /// Those that were given up.
    pub(crate) dropped: BTreeMap<Reason, u64>,
}

impl Outcome {
    fn enter(&self, books: &mut RouteBooks) {
        let lost: u64 = self.rejected.values().chain(self.dropped.values()).sum();
        books.acked_records += self.records.saturating_sub(lost);
        books.acked_bytes += self.acked_bytes;
        for (reason, records) in &self.rejected {
            *books.rejected_records.entry(reason.clone()).or_default() += records;
        }
        for (reason, records) in &self.dropped {
            *books.dropped_records.entry(reason.clone()).or_default() += records;
        }
    }
}

/// What the books hold of one lane's spill: frames `acked..appended` wait there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpillMarks {
    /// Every frame below it is settled.
    pub(crate) acked: u64,
    /// Every frame below it is in the books and in the positions.
    pub(crate) appended: u64,
    /// The records of those frames, by route.
    pub(crate) records: BTreeMap<RouteIndex, u64>,
}

/// The books of all routes and spills.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Figures>);

#[derive(Debug, Default)]
struct Figures {
    routes: Vec<RouteBooks>,
    spills: BTreeMap<Arc<str>, SpillMarks>,
    noted: BTreeMap<Arc<str>, Noted>,
}

/// Up to where the frames of a spill are settled by its note: the next start sends those from there on.
#[derive(Clone, Copy, Debug, Default)]
struct Noted {
    /// The note that was taken last.
    taken: u64,
    /// The one that is durable.
    durable: u64,
}

impl Figures {
    fn route(&mut self, source: &str, sink: &str) -> RouteIndex {
        let known = self
            .routes
            .iter()
            .position(|route| *route.source == *source && *route.sink == *sink);
        known.unwrap_or_else(|| {
            self.routes.push(RouteBooks {
                source: source.into(),
                sink: sink.into(),
                ..RouteBooks::default()
            });
            self.routes.len() - 1
        })
    }

    fn change(&mut self, route: RouteIndex, change: impl FnOnce(&mut RouteBooks)) {
        if let Some(books) = self.routes.get_mut(route) {
            change(books);
            debug_assert!(
                books.balance(),
                "the books of a route do not balance: {books:?}"
            );
        }
    }
}

impl Books {
    /// Returns the number of a route; its figures go on where the route was there before a reload.
    pub(crate) fn route(&self, source: &str, sink: &str) -> RouteIndex {
        self.lock().route(source, sink)
    }

    /// Changes the figures of one route.
    pub(crate) fn change(&self, route: RouteIndex, change: impl FnOnce(&mut RouteBooks)) {
        self.lock().change(route, change);
    }

    /// Settles records that were in flight.
    pub(crate) fn settle(&self, outcomes: &[Outcome]) {
        let mut figures = self.lock();
        for outcome in outcomes {
            figures.change(outcome.route, |books| {
                books.in_flight_records -= outcome.records;
                outcome.enter(books);
            });
        }
    }

    /// Counts records that were in flight as dropped.
    pub(crate) fn drop_records(&self, route: RouteIndex, records: u64, reason: &'static str) {
        self.change(route, |books| {
            books.in_flight_records -= records;
            *books.dropped_records.entry(reason.into()).or_default() += records;
        });
    }

    /// Takes records that were in flight for spilled: the frames below `appended` are durable.
    pub(crate) fn spill(&self, lane: &Arc<str>, appended: u64, records: &[(RouteIndex, u64)]) {
        let mut figures = self.lock();
        for (route, records) in records {
            figures.change(*route, |books| {
                books.in_flight_records -= records;
                books.spilled_records += records;
            });
        }
        let marks = figures.spills.entry(Arc::clone(lane)).or_default();
        marks.appended = marks.appended.max(appended);
        for (route, records) in records {
            *marks.records.entry(*route).or_default() += records;
        }
    }

    /// Enters records of frames that an earlier run made durable and did not enter.
    pub(crate) fn find_spilled(
        &self,
        lane: &Arc<str>,
        appended: u64,
        records: &[(RouteIndex, u64)],
    ) {
        for (route, records) in records {
            self.change(*route, |books| {
                books.read_records += records;
                books.in_flight_records += records;
            });
        }
        self.spill(lane, appended, records);
    }

    /// Settles spilled records: every frame below `acked` is settled.
    pub(crate) fn settle_spilled(&self, lane: &Arc<str>, acked: u64, outcomes: &[Outcome]) {
        let mut figures = self.lock();
        for outcome in outcomes {
            let found = figures.take_spilled(lane, outcome.route, outcome.records);
            figures.change(outcome.route, |books| {
                // More than an earlier run has entered: it was killed in between.
                books.read_records += outcome.records - found;
                books.spilled_records -= found;
                outcome.enter(books);
            });
        }
        let marks = figures.spills.entry(Arc::clone(lane)).or_default();
        marks.acked = marks.acked.max(acked);
    }

    /// Counts spilled records as dropped: those of a frame, or all that a spill which holds nothing
    /// any more should have held.
    pub(crate) fn drop_spilled(
        &self,
        lane: &Arc<str>,
        records: &[(RouteIndex, u64)],
        reason: &'static str,
    ) {
        let mut figures = self.lock();
        for (route, records) in records {
            let found = figures.take_spilled(lane, *route, *records);
            figures.change(*route, |books| {
                books.spilled_records -= found;
                *books.dropped_records.entry(reason.into()).or_default() += found;
            });
        }
    }

    /// Returns what the books hold of a spill.
    pub(crate) fn spill_marks(&self, lane: &Arc<str>) -> SpillMarks {
        self.lock().spills.get(lane).cloned().unwrap_or_default()
    }

    /// The notes that were taken last are durable.
    pub(crate) fn notes_are_durable(&self) {
        for noted in self.lock().noted.values_mut() {
            noted.durable = noted.taken;
        }
    }

    /// Returns up to where the frames of a spill stay settled whatever happens: those are not needed.
    pub(crate) fn durably_acked(&self, lane: &Arc<str>) -> u64 {
        self.lock().noted.get(lane).map_or(0, |noted| noted.durable)
    }

    /// Returns what the books hold of every spill.
    pub(crate) fn all_spill_marks(&self) -> BTreeMap<Arc<str>, SpillMarks> {
        self.lock().spills.clone()
    }

    /// Returns the source of a route.
    pub(crate) fn source_of(&self, route: RouteIndex) -> Arc<str> {
        let figures = self.lock();
        let books = figures.routes.get(route);
        books.map_or_else(|| "".into(), |books| Arc::clone(&books.source))
    }

    /// Returns all figures as of one moment.
    pub(crate) fn snapshot(&self) -> Vec<RouteBooks> {
        self.lock().routes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Figures {
    /// Takes records of a route out of a spill's marks; returns how many it held, at most so many.
    fn take_spilled(&mut self, lane: &Arc<str>, route: RouteIndex, records: u64) -> u64 {
        let Some(marks) = self.spills.get_mut(lane) else {
            return 0;
        };
        let held = marks.records.entry(route).or_default();
        let found = records.min(*held);
        *held -= found;
        found
    }
}
