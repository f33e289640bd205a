//! The asynchronous half of a sink.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tailwater_record::{EncodedBatch, TimestampNs};

use crate::RequestDurations;

/// The backend has taken responsibility for every record of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered;

/// A backend's own words on a partial refusal: "X out of Y ignored", the rest is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Records that were refused.
    pub ignored: u64,
    /// Records that the figure speaks of.
    pub out_of: u64,
}

/// What to do about a failed delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// The same bytes may be taken later: wait and send them again.
    ///
    /// Network errors, time-outs, 429, 5xx, and also 401, 403, 404 and redirects: those are an
    /// outage to wait out, not data to drop.
    #[error("delivery failed ({reason}): {detail}")]
    Retryable {
        /// Why, as a metric label: `connect`, `timeout`, `http_503`, `unauthorized`, ….
        reason: &'static str,
        /// For the operator. Holds no line content and no secret.
        detail: String,
        /// The status of the answer; `None` where there was none, or where answers have none. 429 says
        /// that the backend limits the rate.
        status: Option<u16>,
        /// When the backend asked to be called again.
        retry_after: Option<Duration>,
    },
    /// The same bytes will be refused again: take out the records that are named, or split them, or count
    /// the record where it is alone.
    #[error("delivery refused ({reason}): {detail}")]
    Refused {
        /// Why, as a metric label: `invalid`, `too_large`, `too_old`, ….
        reason: &'static str,
        /// For the operator. Holds no line content and no secret.
        detail: String,
        /// How many records were refused, where the backend says so and has stored the others.
        ignored: Option<Ignored>,
        /// Which records were refused for this reason, where the backend says so: indexes of the batch,
        /// rising; empty where it does not. There may be others.
        records: Vec<u32>,
    },
}

/// Why a body could not be taken apart: it is not what this sink's encoder sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot take apart a body of {body_bytes} bytes: {reason}")]
pub struct SplitError {
    /// Size of the body.
    pub body_bytes: usize,
    /// What did not fit.
    pub reason: &'static str,
}

/// One record of a sealed body, as far as the body keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodedRecord<'a> {
    /// Its place among the records of the body: the index in [`EncodedBatch::record_ends`].
    pub index: u32,
    /// Its time; 0 where the body keeps none.
    pub timestamp: TimestampNs,
    /// Its stream as Loki writes it, `{a="x", b="y"}`; empty where it has no labels or the body keeps
    /// none.
    pub labels: &'a str,
    /// Its structured metadata, in the order it was appended.
    pub metadata: &'a [(&'a str, &'a str)],
    /// Its line as the body keeps it: invalid UTF-8 may be replaced, control characters escaped.
    pub line: &'a [u8],
}

/// The future of [`Deliver::deliver`].
pub type DeliverFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Delivered, DeliverError>> + Send + 'a>>;

/// Sends sealed batches.
pub trait Deliver: Send + Sync + fmt::Debug {
    /// Sends one batch once; retries are the engine's.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the batch stored or not: the engine treats it as not delivered
    /// and sends it again.
    ///
    /// # Errors
    /// [`DeliverError`] says what to do next.
    fn deliver<'a>(&'a self, batch: &'a EncodedBatch) -> DeliverFuture<'a>;

    /// Splits a body: the first `first_records` records, and the rest.
    ///
    /// `first_records` is at least 1 and less than the number of records.
    ///
    /// # Errors
    /// [`SplitError`] where `body` was not sealed by this sink's encoder.
    fn split(&self, body: &Bytes, first_records: u32) -> Result<(Bytes, Bytes), SplitError>;

    /// Makes a body of those records for which `keep` returns true; `None` where that is none.
    ///
    /// `keep` is asked once for each record, by its index in [`EncodedBatch::record_ends`], from 0
    /// upwards; before an error it may have been asked for some. Order, streams, timestamps and lines
    /// stay as they are. Where all are kept it is the same body.
    ///
    /// # Errors
    /// [`SplitError`] where `body` was not sealed by this sink's encoder.
    fn retain(
        &self,
        body: &Bytes,
        keep: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Option<Bytes>, SplitError>;

    /// Reads the records of a body, one after the other, in the order of their indexes.
    ///
    /// Needs memory for the decompressed body, which is bounded, and for one record.
    ///
    /// # Errors
    /// [`SplitError`] where `body` was not sealed by this sink's encoder; `each` may have been given
    /// the records before the damage.
    fn decode(
        &self,
        body: &Bytes,
        each: &mut dyn FnMut(DecodedRecord<'_>),
    ) -> Result<(), SplitError>;

    /// Returns the name of the format of the bodies, such as `loki-protobuf-snappy` or `ndjson`.
    ///
    /// It is written beside bodies that wait on disk, and a body is only given to a sink of the same
    /// name: a format that changes so that an older version could not read it takes a new name. At
    /// most 64 of `a` to `z`, `0` to `9` and `-`.
    fn wire(&self) -> &'static str;

    /// Says where the batches go, for logs and the status: a URL without user, password or query,
    /// or a path.
    fn target(&self) -> String;

    /// Names the backend in metrics: the host of its URL, with its port where that is not the usual
    /// one.
    fn host(&self) -> String {
        self.target()
    }

    /// Returns the tenant that a batch is sent for which names none.
    fn tenant(&self) -> Option<&str> {
        None
    }

    /// Returns how long requests took since the start, by the status of the answer; nothing where no
    /// requests are made.
    fn requests(&self) -> Vec<RequestDurations> {
        Vec::new()
    }
}
