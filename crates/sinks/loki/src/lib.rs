//! The Loki sink: push API, protobuf with snappy or JSON with gzip.
//!
//! Source of the formats: `pkg/push/push.proto` and `pkg/loghttp/push` of Loki 3.

mod answer;
mod deliver;
mod json;
mod protobuf;
mod settings;
mod tls;

pub use settings::{Encoding, LokiSettings};

/// Largest body that is taken apart again, uncompressed: far above any batch that is made here.
pub(crate) const MAX_BODY_BYTES: usize = 256 << 20;
