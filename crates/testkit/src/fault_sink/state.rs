//! What the sink has stored and answered.

use std::sync::Arc;

use super::labels;
use super::loki::Push;
use super::tally::Tally;
use crate::line::parse_line;
use crate::writer::Written;

/// What is kept of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Every entry, as it was stored.
    Everything,
    /// How often each numbered line was stored, in three bytes per line: for millions of lines.
    Counts,
}

/// What the sink has stored and answered.
#[derive(Debug)]
pub struct SinkState {
    keep: Keep,
    requests: Vec<Request>,
    entries: Vec<Entry>,
    tally: Tally,
    committed_entries: u64,
}

/// One stored line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How many were stored before it.
    pub arrival: u64,
    /// The stream, as the client wrote it: `{job="nginx", host="a"}`.
    pub labels: Arc<str>,
    /// Nanoseconds since the Unix epoch.
    pub timestamp_ns: i64,
    /// The line.
    pub line: Vec<u8>,
    /// Structured metadata, in the order it came in.
    pub metadata: Vec<(String, String)>,
    /// The [`number`](Request::number) of the request that brought it.
    pub request: u64,
    /// The tenant it was sent for.
    pub tenant: Option<Arc<str>>,
}

impl Entry {
    /// Returns the value of a label of its stream.
    pub fn label(&self, name: &str) -> Option<String> {
        let pairs = labels::parse(&self.labels).unwrap_or_default();
        let found = pairs.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }
}

/// One request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How many came before it.
    pub number: u64,
    /// The connection it came on, counted from 0.
    pub connection: u64,
    /// `POST`.
    pub method: String,
    /// The path, with the query.
    pub path: String,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body on the wire.
    pub body_bytes: usize,
    /// Lines in the body; 0 where it was not decoded.
    pub entries: u64,
    /// Lines that were stored.
    pub committed_entries: u64,
    /// What the client was told.
    pub given: Given,
}

impl Request {
    /// Returns the value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// Returns whether the client was told that its lines are stored.
    pub fn is_acknowledged(&self) -> bool {
        self.given.is_acknowledgment()
    }
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// A whole answer with this code.
    Status(u16),
    /// An answer with this code so slow that the client may not have waited for it.
    Dripped(u16),
    /// Half an answer.
    Half,
    /// Nothing, on a connection that was closed.
    Closed,
    /// Nothing, on a connection that was reset.
    Reset,
    /// Nothing, on a connection that was left open.
    Hung,
}

impl Given {
    pub(super) fn is_acknowledgment(self) -> bool {
        matches!(self, Self::Status(200..300))
    }
}

impl SinkState {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            requests: Vec::new(),
            entries: Vec::new(),
            tally: Tally::default(),
            committed_entries: 0,
        }
    }

    /// Returns what is kept of the lines.
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// Returns every request in the order of arrival.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Returns every stored entry in the order of arrival; empty with [`Keep::Counts`].
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns how many lines were stored, copies included.
    pub fn committed_entries(&self) -> u64 {
        self.committed_entries
    }

    /// Returns how often each numbered line was stored.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Returns how many requests were given this answer.
    pub fn count_given(&self, given: Given) -> usize {
        let same = self
            .requests
            .iter()
            .filter(|request| request.given == given);
        same.count()
    }

    /// Returns whether every line that the kernel has taken is stored at least once.
    pub fn has_all<'a>(&self, written: impl IntoIterator<Item = &'a Written>) -> bool {
        written
            .into_iter()
            .all(|written| self.tally.frontier(written.file) >= written.acked)
    }

    /// Returns the numbers of the lines that the kernel has taken and that are not stored.
    pub fn missing(&self, written: Written) -> Vec<u64> {
        let tally = self.tally.file(written.file);
        let is_missing = |seq: &u64| tally.is_none_or(|tally| tally.copies(*seq).committed == 0);
        (0..written.acked).filter(is_missing).collect()
    }

    /// Remembers a request, and stores those lines of it that are given.
    pub(super) fn record(&mut self, mut request: Request, commit: Vec<Push>) {
        request.number = u64::try_from(self.requests.len()).unwrap_or(u64::MAX);
        let tenant: Option<Arc<str>> = request.header("x-scope-orgid").map(Arc::from);
        for push in commit {
            request.committed_entries += 1;
            let arrival = self.committed_entries;
            self.committed_entries += 1;
            self.tally
                .record(parse_line(&push.line).ok(), request.is_acknowledged());
            if self.keep == Keep::Everything {
                self.entries.push(Entry {
                    arrival,
                    labels: push.labels,
                    timestamp_ns: push.timestamp_ns,
                    line: push.line,
                    metadata: push.metadata,
                    request: request.number,
                    tenant: tenant.clone(),
                });
            }
        }
        self.requests.push(request);
    }
}
