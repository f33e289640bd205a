//! The clock of a measurement.
//!
//! Every process of a measurement runs on one machine, so they share `CLOCK_MONOTONIC`: a line is
//! stamped by the writer and read by the receiver on the same clock, which no time correction moves.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the machine's monotonic clock, comparable between processes.
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds since 1970, for the timestamps of entries.
pub(crate) fn unix_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let below_a_second = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(below_a_second)
}

/// Seconds from `start_ns` to `end_ns`; 0 when the end is not after the start.
pub(crate) fn seconds_between(start_ns: u64, end_ns: u64) -> f64 {
    Duration::from_nanos(end_ns.saturating_sub(start_ns)).as_secs_f64()
}

/// Blocks for `pause`.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement of real processes polls and paces itself in real time"
)]
pub(crate) fn wait(pause: Duration) {
    std::thread::sleep(pause);
}

/// A point on the monotonic clock that a wait must not pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at_ns: u64,
}

impl Deadline {
    /// The point `limit` from now.
    pub(crate) fn after(limit: Duration) -> Self {
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Self {
            at_ns: monotonic_ns().saturating_add(limit_ns),
        }
    }

    /// Whether it has passed.
    pub(crate) fn is_over(self) -> bool {
        monotonic_ns() >= self.at_ns
    }
}
