//! Rate limits of sources: tokens are taken in blocks, so that a line costs a comparison.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::config::{RateLimit, WhenExceeded};

/// Blocks that the tokens of a second are taken in.
const BLOCKS_PER_SECOND: u32 = 20;

/// The limits of one source, shared by all threads that read it.
#[derive(Debug)]
pub(crate) struct SourceLimiter {
    bytes: Option<Tokens>,
    lines: Option<Tokens>,
    clock: DefaultClock,
    pub(crate) when_exceeded: WhenExceeded,
}

#[derive(Debug)]
struct Tokens {
    limiter: DefaultDirectRateLimiter,
    block: NonZeroU32,
}

impl Tokens {
    fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let block = NonZeroU32::new(per_second.min(burst).get() / BLOCKS_PER_SECOND);
        Self {
            limiter: RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst)),
            block: block.unwrap_or(NonZeroU32::MIN),
        }
    }

    /// Takes a block; where there is none, returns how long to wait for one.
    fn take(&self, clock: &DefaultClock) -> Result<i64, Duration> {
        match self.limiter.check_n(self.block) {
            Ok(Err(until)) => Err(until.wait_time_from(clock.now())),
            // A block is never more than the tokens of a second, which the second of these says.
            Ok(Ok(())) | Err(_) => Ok(i64::from(self.block.get())),
        }
    }
}

/// Tokens that a thread has taken for a source and not spent. A line may be longer than what is left:
/// then the next ones wait for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowance {
    bytes: i64,
    lines: i64,
}

impl Allowance {
    /// A line was read.
    pub(crate) fn spend(&mut self, line_bytes: usize) {
        self.lines -= 1;
        self.bytes -= i64::try_from(line_bytes).unwrap_or(i64::MAX);
    }
}

impl SourceLimiter {
    pub(crate) fn new(limit: &RateLimit) -> Self {
        Self {
            bytes: limit.bytes_per_second.map(|rate| Tokens::new(rate, rate)),
            lines: limit
                .lines_per_second
                .map(|rate| Tokens::new(rate, limit.burst_lines.unwrap_or(rate))),
            clock: DefaultClock::default(),
            when_exceeded: limit.when_exceeded,
        }
    }

    /// Asks whether another line may be read.
    ///
    /// # Errors
    /// How long to wait before it may.
    pub(crate) fn allow(&self, allowance: &mut Allowance) -> Result<(), Duration> {
        if let Some(lines) = &self.lines {
            while allowance.lines <= 0 {
                allowance.lines += lines.take(&self.clock)?;
            }
        } else {
            allowance.lines = i64::MAX / 2;
        }
        if let Some(bytes) = &self.bytes {
            while allowance.bytes <= 0 {
                allowance.bytes += bytes.take(&self.clock)?;
            }
        } else {
            allowance.bytes = i64::MAX / 2;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_passes_at_once_and_the_next_line_waits() {
        let limiter = SourceLimiter::new(&RateLimit {
            bytes_per_second: None,
            lines_per_second: NonZeroU32::new(100),
            burst_lines: None,
            when_exceeded: WhenExceeded::Block,
        });
        let mut allowance = Allowance::default();
        let mut passed = 0_u32;
        let wait = loop {
            match limiter.allow(&mut allowance) {
                Ok(()) => allowance.spend(10),
                Err(wait) => break wait,
            }
            passed += 1;
            assert!(passed < 1000, "nothing holds it back");
        };
        // What the clock has given meanwhile is more, in whole blocks.
        assert!(passed >= 100, "{passed}");
        assert!(wait <= Duration::from_millis(50), "{wait:?}");
    }

    #[test]
    fn a_line_that_is_longer_than_a_second_s_worth_passes_and_is_made_up_for() {
        let limiter = SourceLimiter::new(&RateLimit {
            bytes_per_second: NonZeroU32::new(1000),
            lines_per_second: None,
            burst_lines: None,
            when_exceeded: WhenExceeded::Block,
        });
        let mut allowance = Allowance::default();
        limiter.allow(&mut allowance).unwrap();
        allowance.spend(100_000);
        limiter.allow(&mut allowance).unwrap_err();
    }
}
