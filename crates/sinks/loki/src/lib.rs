//! The Loki sink: push API, protobuf with snappy or JSON with gzip.
//!
//! A record is copied once, into the request's body, and the body is compressed once, when it is
//! sealed. Consecutive records of one stream share a stream entry of the request; when the stream
//! changes, the next begins, so a stream may stand in a request several times, which Loki takes, and
//! no line is copied again to sort it.
//!
//! What a backend answers is never repeated in a log or an error: a body may quote labels and lines.
//!
//! Source of the formats: `pkg/push/push.proto` and `pkg/loghttp/push` of Loki 3.

pub mod answer;
mod credentials;
pub mod decode;
mod deliver;
mod expired;
mod json;
mod labels;
mod protobuf;
mod push_url;
mod settings;
mod tls;
mod transport;
mod wire;

pub use push_url::PushUrl;
pub use settings::{BasicAuth, Encoding, LokiSettings, TlsSettings};

/// Largest body that is taken apart again, in bytes before compression: far above any batch that is
/// made here.
pub const MAX_BODY_BYTES: usize = 256 << 20;

/// Capacity an encoder keeps from one batch to the next, in bytes: one enormous batch must not be
/// paid for until the agent stops.
pub(crate) const MAX_KEPT_BYTES: usize = 4 << 20;

/// Why a body that another wrote is refused.
const FOREIGN: &str = "not a push request as this sink writes it";

/// Why a body is not cut where there is nothing to cut.
const TOO_FEW: &str = "fewer records than the split asks for";

/// Returns what makes the error of a body that cannot be taken apart.
fn refusal(body: &[u8]) -> impl Fn(&'static str) -> tailwater_sink::SplitError + Copy {
    let body_bytes = body.len();
    move |reason| tailwater_sink::SplitError { body_bytes, reason }
}
