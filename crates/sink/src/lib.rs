//! What every sink implements, and the retry policy they share.
//!
//! A sink is two halves. [`Encode`] runs on a pipeline thread and copies each line once into the
//! bytes that go on the wire. [`Deliver`] runs on the async runtime and sends those bytes. Neither
//! knows files, positions or other sinks.

mod backoff;
#[cfg(feature = "conformance")]
pub mod conformance;
mod deliver;
mod encode;
mod pairs;
mod quantity;
mod requests;
mod retry_after;
mod settings;

pub use backoff::{Backoff, BackoffLimits};
pub use deliver::{
    DecodedRecord, Deliver, DeliverError, DeliverFuture, Delivered, Ignored, SplitError,
};
pub use encode::{Encode, EncodeStats, Encoded};
pub use pairs::{JsonPairs, MAX_PAIRS, put_selector};
pub use quantity::{parse_duration, parse_size};
pub use requests::{DURATION_BUCKETS, RequestDurations, RequestTally};
pub use retry_after::parse_retry_after;
pub use settings::{Secret, SettingsError, SinkSettings};

use std::sync::Arc;

/// A configured sink, as the engine takes it.
#[derive(Clone, Debug)]
pub struct SinkParts {
    /// Makes the encoder of one pipeline thread's open batch.
    pub encoder: Arc<dyn EncoderFactory>,
    /// Sends what those encoders sealed.
    pub deliver: Arc<dyn Deliver>,
}

/// Makes encoders; each open batch has one of its own and keeps it for the batches after it.
pub trait EncoderFactory: Send + Sync + std::fmt::Debug {
    /// Returns a new encoder with an empty body.
    fn make(&self) -> Box<dyn Encode>;
}
