//! What Loki says when it refuses, word for word: agents read it.
//!
//! Source: `pkg/validation/validate.go` and `pkg/ingester/stream.go` of Loki.

use std::collections::BTreeMap;

use super::loki::Push;
use super::script::Poison;

/// The body is too large: nothing is stored.
pub(super) fn too_large(body_bytes: usize, max_bytes: usize) -> String {
    format!("request body too large: {body_bytes} bytes, limit: {max_bytes} bytes\n")
}

/// The tenant sends too much: nothing is stored.
pub(super) fn rate_limit(pushes: &[Push]) -> String {
    let lines = pushes.len();
    let bytes: usize = pushes.iter().map(|push| push.line.len()).sum();
    format!(
        "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to \
         ingest '{lines}' lines totaling '{bytes}' bytes, reduce log volume or contact your Loki \
         administrator to see if the limit can be increased\n"
    )
}

/// A line that the distributor refuses, with the words for one that is too old.
pub(super) fn refusal(pushes: &[Push], poison: &Poison) -> String {
    let bad = pushes.iter().find(|push| poison.is_in(&push.line));
    let (labels, time) = bad.map_or(("{}", 0), |push| (&*push.labels, push.timestamp_ns));
    let oldest = time.saturating_add(1);
    format!(
        "entry for stream '{labels}' has timestamp too old: {time}, oldest acceptable timestamp \
         is: {oldest}\n"
    )
}

/// Lines that the ingester refuses, stream by stream, while it stores the others.
pub(super) fn partial_refusal(pushes: &[Push], poison: &Poison, tenant: &str) -> String {
    let mut streams: BTreeMap<&str, Vec<&Push>> = BTreeMap::new();
    for push in pushes {
        streams.entry(&push.labels).or_default().push(push);
    }
    streams
        .into_iter()
        .filter_map(|(stream, pushes)| refusal_of_stream(stream, &pushes, poison, tenant))
        .collect()
}

fn refusal_of_stream(
    stream: &str,
    pushes: &[&Push],
    poison: &Poison,
    tenant: &str,
) -> Option<String> {
    /// `ingester.max-ignored-stream-errors`.
    const MAX_LISTED: usize = 10;
    let bad: Vec<_> = pushes
        .iter()
        .filter(|push| poison.is_in(&push.line))
        .collect();
    let listed: String = bad
        .iter()
        .take(MAX_LISTED)
        .map(|push| refusal_of_entry(push.timestamp_ns))
        .collect();
    let (ignored, out_of) = (bad.len(), pushes.len());
    (ignored > 0).then(|| {
        format!(
            "{listed}user '{tenant}', total ignored: {ignored} out of {out_of} for stream: {stream}\n"
        )
    })
}

fn refusal_of_entry(time: i64) -> String {
    let oldest = time.saturating_add(1);
    format!(
        "entry with timestamp {time} ignored, reason: 'entry too far behind, entry timestamp is: \
         {time}, oldest acceptable timestamp is: {oldest}',\n"
    )
}
