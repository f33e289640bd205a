//! What Loki takes by its time, and what it says of the rest.
//!
//! The distributor refuses what is older than a maximum age, whatever its stream; the ingester what is too
//! far behind the newest entry of its stream. Both store the other entries of the request. An answer of the
//! ingester hides the distributor's, and speaks of the last stream of the request that was taken alone.
//!
//! Source: `pkg/distributor/validator.go`, `pkg/util/errors.go`, `pkg/ingester/instance.go` and `stream.go` of
//! Loki.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use super::loki::Push;

/// The entries that Loki takes by their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How old an entry may be; Loki has 7 days.
    pub max_age: Duration,
    /// How far an entry may be behind the newest of its stream; Loki has 1 hour.
    pub behind: Duration,
}

/// The newest entry of each stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest(BTreeMap<Arc<str>, i64>);

/// `ingester.max-ignored-stream-errors`.
const MAX_LISTED: usize = 10;

impl Times {
    /// Splits a request: returns what is stored of it, and what is said of the rest, if there is any.
    pub(super) fn sift(
        self,
        pushes: Vec<Push>,
        tenant: &str,
        newest: &mut Newest,
    ) -> (Vec<Push>, Option<String>) {
        let (young, distributor) = self.distribute(pushes);
        let mut stored = Vec::new();
        let mut ingester = None;
        for stream in young.chunk_by(|one, next| one.labels == next.labels) {
            ingester = self.ingest(stream, tenant, newest, &mut stored);
        }
        (stored, ingester.or(distributor))
    }

    /// Refuses what is too old.
    fn distribute(self, pushes: Vec<Push>) -> (Vec<Push>, Option<String>) {
        let oldest = now_ns().saturating_sub(nanos(self.max_age));
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        let mut young = Vec::new();
        for push in pushes {
            if push.timestamp_ns >= oldest {
                young.push(push);
                continue;
            }
            let text = format!(
                "entry for stream '{}' has timestamp too old: {}, oldest acceptable timestamp is: {}",
                push.labels,
                rfc3339(push.timestamp_ns),
                rfc3339(oldest)
            );
            *groups.entry(text).or_default() += 1;
        }
        (young, grouped(&groups))
    }

    /// Stores what is not too far behind in its stream.
    fn ingest(
        self,
        stream: &[Push],
        tenant: &str,
        Newest(newest): &mut Newest,
        stored: &mut Vec<Push>,
    ) -> Option<String> {
        let first = stream.first()?;
        let newest = newest.entry(Arc::clone(&first.labels)).or_insert(i64::MIN);
        let (mut ignored, mut said) = (0, String::new());
        for push in stream {
            let oldest = newest.saturating_sub(nanos(self.behind));
            if push.timestamp_ns >= oldest {
                *newest = push.timestamp_ns.max(*newest);
                stored.push(push.clone());
                continue;
            }
            ignored += 1;
            if ignored <= MAX_LISTED {
                let time = rfc3339(push.timestamp_ns);
                let go_time = time.replace('T', " ").replace('Z', " +0000 UTC");
                writeln!(
                    said,
                    "entry with timestamp {go_time} ignored, reason: 'entry too far behind, entry \
                     timestamp is: {time}, oldest acceptable timestamp is: {}',",
                    rfc3339(oldest)
                )
                .expect("a string takes every write");
            }
        }
        let (out_of, labels) = (stream.len(), &first.labels);
        (ignored > 0).then(|| {
            format!(
                "{said}user '{tenant}', total ignored: {ignored} out of {out_of} for stream: {labels}\n"
            )
        })
    }
}

/// Writes equal complaints once, each with its number where there is more than one.
fn grouped(groups: &BTreeMap<String, usize>) -> Option<String> {
    let (first, entries) = groups.first_key_value()?;
    if groups.len() == 1 && *entries == 1 {
        return Some(format!("{first}\n"));
    }
    let texts = groups.iter();
    let texts = texts.map(|(text, entries)| format!("{entries} errors like: {text}"));
    Some(texts.collect::<Vec<_>>().join("; ") + "\n")
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn now_ns() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "Loki goes by its own clock")]
    let now = SystemTime::now();
    nanos(now.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Writes a time as Loki does: in whole seconds, rounded down.
fn rfc3339(timestamp_ns: i64) -> String {
    let seconds = Timestamp::from_second(timestamp_ns.div_euclid(1_000_000_000));
    seconds.map_or_else(|_| timestamp_ns.to_string(), |time| time.to_string())
}
