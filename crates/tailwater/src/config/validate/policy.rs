//! Checking what gives when a sink is slow, and how fast a source may be read.

use std::num::NonZeroU32;

use tailwater_engine::{Keep, Policy, RateLimit, Then, WhenExceeded, WhenFull};
use tailwater_record::Level;
use tailwater_yaml::{Checker, KeyPath};

use super::super::raw::{
    RawLevel, RawLimits, RawRateLimit, RawSource, RawSpill, RawThen, RawWhenExceeded, RawWhenFull,
};
use crate::registry::RawSink;

/// A spill is given back in segments; a smaller one would hold two or three batches.
const MIN_SPILL_BYTES: u64 = 1 << 20;

/// Dead letters are given up in segments.
const MIN_DEAD_LETTER_BYTES: u64 = 1 << 20;

/// Checks what a sink says.
pub(super) fn of_sink(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSink) -> Policy {
    let spill = path.key("spill");
    if raw.spill.max_bytes.0 < MIN_SPILL_BYTES {
        let message = format!("`{spill}.max_bytes` must be at least 1MiB");
        let help = "it holds what the sink does not take, for minutes or hours: give it room";
        checker.fail(&spill.key("max_bytes"), message, help);
    }
    let letters = raw.dead_letters.max_bytes.0;
    if letters != 0 && letters < MIN_DEAD_LETTER_BYTES {
        let at = path.key("dead_letters").key("max_bytes");
        let message = format!("`{at}` must be 0 or at least 1MiB");
        checker.fail(&at, message, "0 keeps nothing of what the sink refuses");
    }
    let when_full = raw.when_full.unwrap_or(RawWhenFull::Block);
    let policy = Policy {
        when_full: when_full_of(when_full, &raw.spill),
        keep: keep_of(&raw.keep),
    };
    check_keep(checker, &path.key("keep"), &policy);
    policy
}

/// Checks what a source says in place of its sinks; `None` where it says nothing.
pub(super) fn of_source(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    raw: &RawSource,
    sinks: &[(String, RawSink)],
    names: &[u32],
) -> Option<Policy> {
    if raw.when_full.is_none() && raw.keep.is_none() {
        return None;
    }
    let feeds = names.iter().filter_map(|index| {
        let (_, sink) = sinks.get(usize::try_from(*index).ok()?)?;
        Some(sink)
    });
    let first = feeds.into_iter().next()?;
    let when_full = raw
        .when_full
        .or(first.when_full)
        .unwrap_or(RawWhenFull::Block);
    let policy = Policy {
        when_full: when_full_of(when_full, &first.spill),
        keep: keep_of(raw.keep.as_ref().unwrap_or(&first.keep)),
    };
    if raw.keep.is_some() {
        check_keep(checker, &path.key("keep"), &policy);
    }
    Some(policy)
}

/// Checks how fast a source may be read.
pub(super) fn rate_limit(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    raw: &RawRateLimit,
) -> RateLimit {
    let mut rate = |name: &str, value: Option<u64>| {
        let value = value?;
        let rate = u32::try_from(value).ok().and_then(NonZeroU32::new);
        if rate.is_none() {
            let at = path.key(name);
            let message = format!("`{at}` must be 1 to {}", u32::MAX);
            checker.fail(&at, message, "remove the key for no limit");
        }
        rate
    };
    let bytes_per_second = rate(
        "bytes_per_second",
        raw.bytes_per_second.map(|bytes| bytes.0),
    );
    let lines_per_second = rate("lines_per_second", raw.lines_per_second.map(u64::from));
    if raw.bytes_per_second.is_none() && raw.lines_per_second.is_none() {
        let message = format!("`{path}` limits nothing");
        let help = "add `bytes_per_second: 10MiB` or `lines_per_second: 5000`";
        checker.fail_key(path, message, help);
    }
    RateLimit {
        bytes_per_second,
        lines_per_second,
        burst_lines: None,
        when_exceeded: when_exceeded_of(raw.when_exceeded),
    }
}

fn when_exceeded_of(when_exceeded: RawWhenExceeded) -> WhenExceeded {
    match when_exceeded {
        RawWhenExceeded::Block => WhenExceeded::Block,
        RawWhenExceeded::Drop => WhenExceeded::Drop,
    }
}

/// Checks how fast all sources together may be read.
pub(super) fn shared_limit(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    raw: &RawLimits,
) -> RateLimit {
    let burst = raw.burst.unwrap_or(raw.lines_per_second);
    for (name, value) in [("lines_per_second", raw.lines_per_second), ("burst", burst)] {
        if value == 0 {
            let at = path.key(name);
            let message = format!("`{at}` must be 1 or more");
            checker.fail(&at, message, "remove `limits` for no limit");
        }
    }
    RateLimit {
        bytes_per_second: None,
        lines_per_second: NonZeroU32::new(raw.lines_per_second),
        burst_lines: NonZeroU32::new(burst),
        when_exceeded: when_exceeded_of(raw.when_exceeded),
    }
}

fn when_full_of(when_full: RawWhenFull, spill: &RawSpill) -> WhenFull {
    match when_full {
        RawWhenFull::Block => WhenFull::Block,
        RawWhenFull::DropNewest => WhenFull::DropNewest,
        RawWhenFull::DropOldest => WhenFull::DropOldest,
        RawWhenFull::Spill => WhenFull::Spill {
            max_bytes: spill.max_bytes.0,
            then: match spill.then {
                RawThen::Block => Then::Block,
                RawThen::DropNewest => Then::DropNewest,
                RawThen::DropOldest => Then::DropOldest,
            },
        },
    }
}

fn keep_of(levels: &[RawLevel]) -> Keep {
    Keep::new(levels.iter().map(|level| match level {
        RawLevel::Trace => Level::Trace,
        RawLevel::Debug => Level::Debug,
        RawLevel::Info => Level::Info,
        RawLevel::Warn => Level::Warn,
        RawLevel::Error => Level::Error,
        RawLevel::Fatal => Level::Fatal,
    }))
}

/// Where records of single levels are never dropped, keeping some would mean nothing.
fn check_keep(checker: &mut Checker<'_>, path: &KeyPath, policy: &Policy) {
    let drops_records = match policy.when_full {
        WhenFull::DropNewest | WhenFull::DropOldest => true,
        WhenFull::Block => false,
        WhenFull::Spill { then, .. } => then == Then::DropNewest,
    };
    if !policy.keep.is_empty() && !drops_records {
        let message = format!("`{path}` has no effect here: no record is dropped by its level");
        let help = "it goes with `when_full: drop_newest` or `drop_oldest`, or with a spill and \
                    `then: drop_newest`";
        checker.fail_key(path, message, help);
    }
}
