//! Exponential back-off with jitter.

use std::time::Duration;

/// The bounds of a [`Backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffLimits {
    /// The ceiling of the first wait.
    pub min: Duration,
    /// The ceiling of every later wait, and the cap on a backend's `Retry-After`.
    pub max: Duration,
}

impl Default for BackoffLimits {
    /// 500 ms doubling up to 30 s: an outage is over for the agent within half a minute of its end.
    fn default() -> Self {
        Self {
            min: Duration::from_millis(500),
            max: Duration::from_secs(30),
        }
    }
}

/// The waits between the attempts of one batch: doubling, with jitter, up to a cap.
///
/// Each wait is drawn from the upper half of its ceiling, so that many agents that failed together do
/// not come back together and none comes back at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    limits: BackoffLimits,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// Starts at the first attempt. `seed` makes the jitter differ between batches and hosts.
    pub fn new(limits: BackoffLimits, seed: u64) -> Self {
        Self {
            limits,
            attempts: 0,
            random: seed | 1,
        }
    }

    /// Returns how many waits were taken.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the next wait. A backend's `retry_after` is honoured as a lower bound, up to the cap.
    pub fn next_wait(&mut self, retry_after: Option<Duration>) -> Duration {
        let doublings = self.attempts.min(31);
        self.attempts = self.attempts.saturating_add(1);
        let ceiling = self
            .limits
            .min
            .saturating_mul(1 << doublings)
            .min(self.limits.max);
        let half = ceiling / 2;
        let jittered = half + half.mul_f64(self.next_fraction());
        retry_after
            .map_or(jittered, |asked| asked.max(jittered))
            .min(self.limits.max)
    }

    /// Returns a number in `[0, 1)` (xorshift64*: spread, not secrecy, is needed here).
    fn next_fraction(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(1_u32 << 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> BackoffLimits {
        BackoffLimits {
            min: Duration::from_millis(100),
            max: Duration::from_secs(5),
        }
    }

    #[test]
    fn waits_double_with_jitter_up_to_the_cap() {
        let mut backoff = Backoff::new(limits(), 7);
        for attempt in 0..64_u32 {
            let ceiling = Duration::from_millis(100 << attempt.min(6)).min(limits().max);
            let wait = backoff.next_wait(None);
            assert!(
                wait >= ceiling / 2 && wait <= ceiling,
                "attempt {attempt}: {wait:?}"
            );
        }
    }

    #[test]
    fn retry_after_is_a_lower_bound_and_is_capped() {
        let mut backoff = Backoff::new(limits(), 7);
        assert_eq!(
            backoff.next_wait(Some(Duration::from_secs(3))),
            Duration::from_secs(3)
        );
        assert_eq!(
            backoff.next_wait(Some(Duration::from_secs(1_000_000_000))),
            limits().max
        );
        assert!(backoff.next_wait(Some(Duration::ZERO)) >= Duration::from_millis(200));
    }

    #[test]
    fn two_hosts_do_not_wait_alike() {
        let waits = |seed| {
            let mut backoff = Backoff::new(limits(), seed);
            (0..8).map(|_| backoff.next_wait(None)).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(99));
    }
}
