//! How long requests took, by the status of their answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets, inclusive, in seconds. Source: the default buckets of Prometheus'
/// clients, `prometheus.DefBuckets`.
pub const DURATION_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Statuses that are told apart; a further one counts as its class, 418 as 400.
const MAX_STATUSES: usize = 64;

/// What the requests of one sink took; shared by all that make them.
///
/// Bounded: at most 64 statuses and their classes have a series.
#[derive(Debug, Default)]
pub struct RequestTally(Mutex<BTreeMap<Option<u16>, Durations>>);

/// The requests that had one status.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestDurations {
    /// The status of the answer; `None` where there was none.
    pub status: Option<u16>,
    /// How many took at most as long as the bucket of this index in [`DURATION_BUCKETS`].
    pub buckets: [u64; DURATION_BUCKETS.len()],
    /// What they took together, in seconds.
    pub sum_seconds: f64,
    /// How many there were.
    pub count: u64,
}

#[derive(Debug, Default)]
struct Durations {
    /// Not cumulated.
    buckets: [u64; DURATION_BUCKETS.len()],
    sum: Duration,
    count: u64,
}

impl RequestTally {
    /// Enters a request that has ended; `status` is `None` where it had no answer.
    pub fn observe(&self, status: Option<u16>, took: Duration) {
        let mut statuses = self.lock();
        let is_one_more = statuses.len() >= MAX_STATUSES && !statuses.contains_key(&status);
        let status = if is_one_more {
            status.map(|status| status / 100 * 100)
        } else {
            status
        };
        let durations = statuses.entry(status).or_default();
        let seconds = took.as_secs_f64();
        let bucket = DURATION_BUCKETS.iter().position(|bound| seconds <= *bound);
        if let Some(bucket) = bucket.and_then(|index| durations.buckets.get_mut(index)) {
            *bucket += 1;
        }
        durations.sum = durations.sum.saturating_add(took);
        durations.count += 1;
    }

    /// Returns what was entered up to now, in the order of the statuses.
    pub fn snapshot(&self) -> Vec<RequestDurations> {
        let statuses = self.lock();
        let cumulated = |durations: &Durations| {
            let mut below = 0;
            durations.buckets.map(|count| {
                below += count;
                below
            })
        };
        statuses
            .iter()
            .map(|(status, durations)| RequestDurations {
                status: *status,
                buckets: cumulated(durations),
                sum_seconds: durations.sum.as_secs_f64(),
                count: durations.count,
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<u16>, Durations>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestDurations {
    /// Adds the requests of another tally that had the same status.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own += other;
        }
        self.sum_seconds += other.sum_seconds;
        self.count += other.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_status_in_cumulated_buckets() {
        let tally = RequestTally::default();
        tally.observe(Some(204), Duration::from_millis(5));
        tally.observe(Some(204), Duration::from_millis(300));
        tally.observe(Some(204), Duration::from_secs(11));
        tally.observe(None, Duration::from_secs(1));
        let found = tally.snapshot();
        assert_eq!(
            found.iter().map(|found| found.status).collect::<Vec<_>>(),
            [None, Some(204)]
        );
        assert_eq!(found[1].buckets, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
        assert_eq!(found[1].count, 3);
        assert!((found[1].sum_seconds - 11.305).abs() < 1e-9);
    }

    #[test]
    fn a_backend_that_makes_up_statuses_makes_no_more_series() {
        let tally = RequestTally::default();
        for status in 100..1000 {
            tally.observe(Some(status), Duration::ZERO);
        }
        let found = tally.snapshot();
        assert!(found.len() <= MAX_STATUSES + 9, "{}", found.len());
        assert_eq!(found.iter().map(|found| found.count).sum::<u64>(), 900);
    }
}
