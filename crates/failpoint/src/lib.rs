//! Named places where a test kills the process.
//!
//! Every step between a line in a file and its position on disk has a name here. With the feature
//! `enabled`, a process whose environment holds `TAILWATER_FAILPOINT=<name>:<count>` kills itself
//! (SIGKILL) when it comes to that place for the so-manieth time. Without the feature, which is how the
//! agent is built, [`failpoint`] is an empty function.

/// The variable that names a place and a count.
pub const VARIABLE: &str = "TAILWATER_FAILPOINT";

/// All places, in the order in which a line comes to them.
pub const NAMES: &[&str] = &[
    "read",
    "seal",
    "intent_before",
    "intent_after",
    "send",
    "ack",
    "settle",
    "spill_append",
    "spill_sync",
    "spill_synced",
    "spill_enter",
    "spill_read",
    "spill_release",
    "checkpoint_append",
    "checkpoint_sync",
    "checkpoint_done",
    "compact_write",
    "compact_done",
];

/// Kills the process where a test wants that.
#[cfg(not(feature = "enabled"))]
#[inline(always)]
pub fn failpoint(_name: &'static str) {}

/// Kills the process where a test wants that.
///
/// # Panics
/// Where the name is none of [`NAMES`].
#[cfg(feature = "enabled")]
pub fn failpoint(name: &'static str) {
    enabled::hit(name);
}

#[cfg(feature = "enabled")]
mod enabled {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);

    pub(super) fn hit(name: &'static str) {
        assert!(super::NAMES.contains(&name), "unknown failpoint `{name}`");
        let wanted = WANTED.get_or_init(|| {
            let variable = std::env::var(super::VARIABLE).ok()?;
            let (name, count) = variable.split_once(':')?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        let Some((wanted, count)) = wanted else {
            return;
        };
        if wanted != name || HITS.fetch_add(1, Ordering::Relaxed) + 1 != *count {
            return;
        }
        // It returns only where the system refuses, and then the test fails by itself.
        kill_process(getpid(), Signal::KILL).ok();
    }
}
