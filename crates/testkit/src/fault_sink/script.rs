//! What the sink does with a request.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::times::Times;

/// What the sink does with requests, in the order in which it asks: rules, queue, fallback.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The modes of the next requests, one each.
    pub queue: VecDeque<Mode>,
    /// The mode of every request after those.
    pub fallback: Mode,
    /// What is decided by the request itself.
    pub rules: Rules,
}

impl Script {
    /// Takes the mode of the next request.
    pub(super) fn next_mode(&mut self) -> Mode {
        self.queue
            .pop_front()
            .unwrap_or_else(|| self.fallback.clone())
    }
}

/// Answers that depend on the request. A request that a rule refuses uses up no mode of the queue.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Requests without this bearer token are answered 401.
    pub bearer: Option<String>,
    /// Requests whose body, as it is on the wire, is larger are answered 413.
    pub max_body_bytes: Option<usize>,
    /// Requests that hold a line with these bytes are answered 400.
    pub poison: Option<Poison>,
    /// Entries are taken by their times, as Loki does it; the others are refused with 400.
    pub times: Option<Times>,
    /// Requests for these tenants are answered in a mode of their own.
    pub tenants: BTreeMap<String, Mode>,
}

/// A line that the backend never takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// What the line contains.
    pub substring: Vec<u8>,
    /// What becomes of the other lines of the request.
    pub others: Stored,
}

impl Poison {
    /// Returns whether a line is one of those.
    pub(super) fn is_in(&self, line: &[u8]) -> bool {
        memchr::memmem::find(line, &self.substring).is_some()
    }
}

/// What becomes of the good lines of a request that holds a bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// None is stored: the answer names no count.
    Nothing,
    /// They are stored; the answer says how many were ignored, out of how many.
    GoodLines,
}

/// What the sink does with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Whether the lines are stored.
    pub commit: Commit,
    /// What the client hears of it.
    pub answer: Answer,
}

/// Whether the lines of a request are stored; always before anything is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// They are stored, whatever is answered.
    Everything,
    /// They are not, whatever is answered.
    Nothing,
}

/// What the client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status, and the value of a `Retry-After` header as it is.
    Status {
        /// The code.
        code: u16,
        /// A number of seconds, a date, or whatever a broken backend sends.
        retry_after: Option<String>,
    },
    /// A status whose bytes come one by one.
    Drip {
        /// The code.
        code: u16,
        /// The wait before each byte.
        interval: Duration,
    },
    /// The first half of a 204, and the end of the connection.
    Half,
    /// Nothing; the connection is closed.
    Close,
    /// Nothing; the connection is reset.
    Reset,
    /// Nothing; the connection stays open until the client closes it.
    Hang,
}

impl Default for Mode {
    fn default() -> Self {
        Self::commit()
    }
}

impl Mode {
    fn new(commit: Commit, answer: Answer) -> Self {
        Self { commit, answer }
    }

    /// Stores the lines and says so: 204.
    pub fn commit() -> Self {
        Self::status_after_commit(204)
    }

    /// Stores nothing and answers with this code.
    pub fn status(code: u16) -> Self {
        Self::new(Commit::Nothing, status(code))
    }

    /// Stores the lines and answers with this code: with a failure, a lie.
    pub fn status_after_commit(code: u16) -> Self {
        Self::new(Commit::Everything, status(code))
    }

    /// Stores nothing and answers 429 with this `Retry-After`.
    pub fn too_many_requests(retry_after: impl Into<String>) -> Self {
        Self::new(
            Commit::Nothing,
            Answer::Status {
                code: 429,
                retry_after: Some(retry_after.into()),
            },
        )
    }

    /// Stores nothing and resets the connection.
    pub fn reset_before_commit() -> Self {
        Self::new(Commit::Nothing, Answer::Reset)
    }

    /// Stores the lines and resets the connection.
    pub fn reset_after_commit() -> Self {
        Self::new(Commit::Everything, Answer::Reset)
    }

    /// Stores nothing and never answers.
    pub fn hang() -> Self {
        Self::new(Commit::Nothing, Answer::Hang)
    }

    /// Stores the lines and never answers.
    pub fn commit_then_hang() -> Self {
        Self::new(Commit::Everything, Answer::Hang)
    }

    /// Stores nothing and closes the connection.
    pub fn close() -> Self {
        Self::new(Commit::Nothing, Answer::Close)
    }

    /// Stores the lines and closes the connection.
    pub fn commit_then_close() -> Self {
        Self::new(Commit::Everything, Answer::Close)
    }

    /// Stores the lines and answers 204, a byte per interval.
    pub fn drip(interval: Duration) -> Self {
        let code = 204;
        Self::new(Commit::Everything, Answer::Drip { code, interval })
    }

    /// Stores the lines, answers the first half of a 204 and closes the connection.
    pub fn half_response() -> Self {
        Self::new(Commit::Everything, Answer::Half)
    }
}

fn status(code: u16) -> Answer {
    Answer::Status {
        code,
        retry_after: None,
    }
}
