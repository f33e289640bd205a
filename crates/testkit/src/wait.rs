//! Waiting for what another process does: the one place that sleeps.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at: short beside the deadlines of tests, long beside the cost of
/// a condition.
const INTERVAL: Duration = Duration::from_millis(5);

/// Waits until the condition holds.
///
/// # Errors
/// The condition did not hold before the deadline, counted from now; names `what`.
pub fn until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    until_ok(deadline, what, || Ok(condition()))
}

/// Waits until the condition holds, or until it says that it never will.
///
/// # Errors
/// The condition did not hold before the deadline, counted from now, or returned an error.
#[expect(
    clippy::disallowed_methods,
    reason = "another process gives no event to wait on; nothing else here sleeps"
)]
pub fn until_ok(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() >= deadline {
            bail!("waited {deadline:?} in vain until {what}");
        }
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_waited_for_until_it_holds() {
        let mut looks = 0;
        until(Duration::from_secs(60), "the third look", || {
            looks += 1;
            looks == 3
        })
        .unwrap();
        assert_eq!(looks, 3);
    }

    #[test]
    fn a_condition_that_never_holds_is_named() {
        let error = until(Duration::ZERO, "pigs fly", || false).unwrap_err();
        assert!(error.to_string().contains("until pigs fly"), "{error}");
    }
}
