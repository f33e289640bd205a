//! The words every other crate of tailwater shares.
//!
//! A line is a [`RecordView`] while it is on a pipeline thread, part of an [`EncodedBatch`] once a
//! sink's encoder has copied it, and a [`Span`] in the books until the batch is resolved. Nothing
//! here opens a file, a socket or a configuration.

mod batch;
mod identity;
mod labels;
mod level;
mod span;

pub use batch::{BatchId, BatchSpan, EncodedBatch, Share};
pub use identity::{FileIdentity, Fingerprint, Marker, WINDOW_BYTES};
pub use labels::{LabelError, LabelSet, is_label_name};
pub use level::{Level, Severity, UnknownLevel, UnknownSeverity};
pub use span::{CursorId, FileId, RecordView, Span, TimestampNs};
