//! A lane: one sink for one tenant under one policy, with its own queue, budget and retries.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tailwater_record::EncodedBatch;
use tailwater_sink::{BackoffLimits, Deliver};
use tokio::time::Instant;

use crate::books::Outcome;
use crate::config::{GiveUp, Policy, SinkConfig, Then, WhenFull};
use crate::dead_letters::DeadLetters;
use crate::queue::{Budget, Queue};
use crate::tally::Tally;

/// A failing sink is logged at the first attempt and then every so many.
const LOG_EVERY_ATTEMPTS: u32 = 10;

/// Batches that are given up are logged at most this often.
const LOG_GIVEN_UP_INTERVAL: Duration = Duration::from_secs(10);

/// What tells lanes apart: who they deliver to, for whom, and what gives when that is slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaneKey {
    pub(crate) sink: Arc<str>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) policy: Policy,
    /// The name of a spill that no source feeds any more.
    pub(crate) spilled_as: Option<Arc<str>>,
}

impl LaneKey {
    /// Returns a name that is the same after every restart with the same configuration, and that a
    /// directory can have: letters, digits, `_` and `-` stand for themselves, and what the sink
    /// itself says of policies is left out.
    pub(crate) fn name(&self, of_sink: &Policy) -> Arc<str> {
        if let Some(name) = &self.spilled_as {
            return Arc::clone(name);
        }
        let mut name = escaped(&self.sink);
        if let Some(tenant) = &self.tenant {
            name.push('@');
            name.push_str(&escaped(tenant));
        }
        if self.policy != *of_sink {
            let word = match self.policy.when_full {
                WhenFull::Block => "block",
                WhenFull::DropNewest => "drop_newest",
                WhenFull::DropOldest => "drop_oldest",
                WhenFull::Spill { then, .. } => match then {
                    Then::Block => "spill",
                    Then::DropNewest => "spill.drop_newest",
                    Then::DropOldest => "spill.drop_oldest",
                },
            };
            name.push('+');
            name.push_str(word);
            for level in self.policy.keep.levels() {
                name.push('.');
                name.push_str(level.as_str());
            }
        }
        name.into()
    }
}

/// Writes a name so that it can be part of a path and of another name: letters, digits, `_` and `-` stand
/// for themselves.
pub fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(escaped, "%{byte:02x}").ok();
        }
    }
    escaped
}

/// One running lane.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) id: u32,
    /// The sink's name: positions and books are kept under it.
    pub(crate) name: Arc<str>,
    /// The lane's own name: its spill is kept under it.
    pub(crate) lane: Arc<str>,
    pub(crate) key: LaneKey,
    pub(crate) revision: u64,
    pub(crate) deliver: Arc<dyn Deliver>,
    pub(crate) queue: Queue,
    pub(crate) max_in_flight: usize,
    pub(crate) backoff: BackoffLimits,
    pub(crate) give_up: GiveUp,
    pub(crate) tally: Tally,
    pub(crate) counts: OutletCounts,
    pub(crate) dead_letters: Arc<DeadLetters>,
    /// What became of batches that were read from the spill, for its thread to enter in order.
    acks: Mutex<Vec<Ack>>,
    failure: Mutex<Option<Failure>>,
    given_up: Mutex<GivenUp>,
    /// Told whenever a batch is resolved or an attempt fails.
    pub(crate) changed: tokio::sync::Notify,
}

/// A frame of the spill that is settled: its number, and what became of its records.
pub(crate) type Ack = (u64, Vec<Outcome>);

/// The last failed attempt of a sink that has not recovered.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    pub(crate) attempts: u32,
}

/// What was given up since it was last logged.
#[derive(Debug, Default)]
struct GivenUp {
    logged_at: Option<Instant>,
    batches: u64,
    records: u64,
}

/// What a lane has done since the agent started.
#[derive(Debug, Default)]
pub(crate) struct OutletCounts {
    pub(crate) requests: AtomicU64,
    pub(crate) failures: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) delivered_batches: AtomicU64,
    pub(crate) delivered_bytes: AtomicU64,
    pub(crate) splits: AtomicU64,
    pub(crate) in_flight_batches: AtomicU64,
    pub(crate) spill: SpillCounts,
}

/// What a lane's spill holds and has lost.
#[derive(Debug, Default)]
pub(crate) struct SpillCounts {
    pub(crate) bytes: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) spilled_batches: AtomicU64,
    pub(crate) lost_frames: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) is_full: AtomicU64,
    /// When the oldest batch that is not settled was written, in nanoseconds since the epoch; 0 for none.
    pub(crate) oldest_ns: AtomicU64,
}

impl Outlet {
    pub(crate) fn new(
        id: u32,
        key: LaneKey,
        config: &SinkConfig,
        queue_max_bytes: u64,
        dead_letters: Arc<DeadLetters>,
        budget: Arc<Budget>,
    ) -> Self {
        let deliver = Arc::clone(&config.parts.deliver);
        Self {
            id,
            name: Arc::clone(&config.name),
            lane: key.name(&config.policy),
            revision: config.revision,
            queue: Queue::new(
                queue_max_bytes,
                key.policy.clone(),
                Arc::clone(&deliver),
                budget,
            ),
            key,
            deliver,
            max_in_flight: config.max_in_flight.max(1),
            backoff: config.backoff,
            give_up: config.give_up,
            tally: Tally::default(),
            counts: OutletCounts::default(),
            dead_letters,
            acks: Mutex::default(),
            failure: Mutex::new(None),
            given_up: Mutex::default(),
            changed: tokio::sync::Notify::new(),
        }
    }

    /// Returns whether nothing is on the wire, and nothing in memory that the disk does not have.
    pub(crate) fn is_drained(&self) -> bool {
        let on_the_wire = self.counts.in_flight_batches.load(Ordering::Acquire);
        self.queue.is_empty_in_memory() && on_the_wire == 0
    }

    /// A frame of the spill is settled.
    pub(crate) fn ack_spilled(&self, seq: u64, outcomes: Vec<Outcome>) {
        self.ack_spilled_quietly(seq, outcomes);
        self.queue.ring();
    }

    /// Leaves it to the caller to ring: the queue is locked.
    pub(crate) fn ack_spilled_quietly(&self, seq: u64, outcomes: Vec<Outcome>) {
        self.acks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((seq, outcomes));
    }

    pub(crate) fn take_acks(&self) -> Vec<Ack> {
        std::mem::take(&mut *self.acks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the failure that the sink has not recovered from.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn fail(
        &self,
        reason: &'static str,
        detail: &str,
        attempts: u32,
        retry_in: Option<Duration>,
    ) {
        let mut failures = self
            .counts
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *failures.entry(reason).or_default() += 1;
        drop(failures);
        let failure = Failure {
            reason,
            detail: detail.to_owned(),
            attempts,
        };
        let before = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(failure);
        // Where batches are given up, one after the other has its first attempt.
        let is_first = attempts == 1 && before.is_none();
        if is_first || attempts.is_multiple_of(LOG_EVERY_ATTEMPTS) {
            self.log_failure(reason, detail, attempts, retry_in);
        }
        self.changed.notify_waiters();
    }

    fn log_failure(
        &self,
        reason: &'static str,
        detail: &str,
        attempts: u32,
        retry_in: Option<Duration>,
    ) {
        let (sink, target) = (&*self.name, self.deliver.target());
        let Some(retry_in) = retry_in else {
            tracing::warn!(sink, target, reason, detail, attempts, "delivery failed");
            return;
        };
        let retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            sink,
            target,
            reason,
            detail,
            attempts,
            retry_in_ms,
            "delivery failed, will retry"
        );
    }

    /// Counts a batch that is given up, and says so: at the first one, and then at most every ten
    /// seconds.
    pub(crate) fn give_up(&self, batch: &EncodedBatch, reason: &'static str) {
        self.tally
            .change(batch, |counts| counts.lose(batch, reason));
        let now = Instant::now();
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.batches += 1;
        given_up.records += u64::from(batch.records());
        let is_due = given_up
            .logged_at
            .is_none_or(|at| now.saturating_duration_since(at) >= LOG_GIVEN_UP_INTERVAL);
        if is_due {
            self.log_given_up(&mut given_up);
            given_up.logged_at = Some(now);
        }
    }

    fn log_given_up(&self, given_up: &mut GivenUp) {
        tracing::error!(
            sink = &*self.name,
            batches = std::mem::take(&mut given_up.batches),
            records = std::mem::take(&mut given_up.records),
            "records dropped: the sink did not take them by the last attempt"
        );
    }

    pub(crate) fn recover(&self) {
        let failure = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(failure) = failure {
            tracing::info!(
                sink = &*self.name,
                attempts = failure.attempts,
                "delivering again"
            );
            let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
            if given_up.batches > 0 {
                self.log_given_up(&mut given_up);
            }
        }
    }

    pub(crate) fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sink: &str, tenant: Option<&str>, when_full: WhenFull) -> LaneKey {
        LaneKey {
            sink: sink.into(),
            tenant: tenant.map(Into::into),
            policy: Policy {
                when_full,
                ..Policy::default()
            },
            spilled_as: None,
        }
    }

    #[test]
    fn the_names_of_lanes_are_distinct_and_fit_for_a_directory() {
        let spill = WhenFull::Spill {
            max_bytes: 1,
            then: Then::DropOldest,
        };
        let names: Vec<_> = [
            key("loki", None, WhenFull::Block),
            key("loki", Some("a/b@c+d"), WhenFull::Block),
            key("loki", None, spill),
            key("../x", None, WhenFull::Block),
        ]
        .iter()
        .map(|key| key.name(&Policy::default()))
        .collect();
        let expected = [
            "loki",
            "loki@a%2fb%40c%2bd",
            "loki+spill.drop_oldest",
            "%2e%2e%2fx",
        ];
        assert_eq!(
            names.iter().map(|name| &**name).collect::<Vec<_>>(),
            expected
        );
    }
}
