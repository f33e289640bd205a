//! Checking sinks.

use std::num::NonZeroU32;
use std::path::PathBuf;

use tailwater_batcher::BatchLimits;
use tailwater_engine::{GiveUp, SinkConfig};
use tailwater_sink::BackoffLimits;
use tailwater_yaml::{Checker, KeyPath};

use super::super::raw::Size;
use super::{policy, source};
use crate::registry::{AnySettings, RawSink};

/// Batches of one sink that may be unanswered at once.
const MAX_IN_FLIGHT: usize = 256;

/// Checks the sinks; also returns the files that they write.
pub(super) fn check_all(
    checker: &mut Checker<'_>,
    sinks: &[(String, RawSink)],
    memory_limit: Size,
) -> (Vec<SinkConfig>, Vec<PathBuf>) {
    let all = KeyPath::default().key("sinks");
    let mut configs = Vec::new();
    let mut written: Vec<(PathBuf, &str)> = Vec::new();
    for (name, raw) in sinks {
        let path = all.key(name);
        super::check_name(checker, &path, name);
        check_limits(checker, &path, raw);
        source::check_pair_names(checker, &path.key("labels"), &raw.labels);
        let Some((kind, settings)) = check_kind(checker, &path, name, raw) else {
            continue;
        };
        for file in settings
            .written_paths()
            .iter()
            .map(|file| super::absolute(file))
        {
            if let Some((_, other)) = written.iter().find(|(taken, _)| *taken == file) {
                let message = format!("`{path}` writes the same file as `{all}.{other}`");
                let help = "a file belongs to one sink: feed that one from several sources";
                checker.fail(&path.key(kind).key("path"), message, help);
                break;
            }
            written.push((file, name));
        }
        configs.extend(build(checker, &path, kind, name, (raw, settings)));
    }
    check_memory(checker, sinks, memory_limit);
    (configs, written.into_iter().map(|(file, _)| file).collect())
}

fn check_kind<'r>(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    name: &str,
    raw: &'r RawSink,
) -> Option<(&'static str, &'r dyn AnySettings)> {
    let mut given = raw.given();
    if given.len() == 1 {
        return given.pop();
    }
    let kinds = RawSink::KINDS.join(", ");
    let help = format!("give it exactly one of: {kinds}");
    match given.last() {
        None => checker.fail(path, format!("sink `{name}` has no kind"), help),
        Some((last, _)) => {
            let names: Vec<&str> = given.iter().map(|(kind, _)| *kind).collect();
            let message = format!("sink `{name}` has several kinds: {}", names.join(", "));
            checker.fail_key(&path.key(last), message, help);
        }
    }
    None
}

fn build(
    checker: &mut Checker<'_>,
    sink_path: &KeyPath,
    kind: &str,
    name: &str,
    (raw, settings): (&RawSink, &dyn AnySettings),
) -> Option<SinkConfig> {
    let path = sink_path.key(kind);
    let policy = policy::of_sink(checker, sink_path, raw);
    match settings.build() {
        Ok(parts) => Some(SinkConfig {
            name: name.into(),
            revision: revision(raw),
            labels: raw.labels.0.clone(),
            parts,
            batch: BatchLimits {
                max_bytes: usize::try_from(raw.batch.max_bytes.0).unwrap_or(usize::MAX),
                max_records: raw.batch.max_records,
                max_wait: raw.batch.max_wait.0,
            },
            max_in_flight: raw
                .max_in_flight
                .unwrap_or_else(|| settings.default_max_in_flight()),
            queue_max_bytes: raw.queue.max_bytes.0,
            backoff: BackoffLimits {
                min: raw.retry.min_wait.0,
                max: raw.retry.max_wait.0,
            },
            give_up: GiveUp {
                max_attempts: raw.retry.max_attempts.and_then(NonZeroU32::new),
                rate_limited: raw.retry.drop_rate_limited,
            },
            policy,
            dead_letters_max_bytes: raw.dead_letters.max_bytes.0,
        }),
        Err(error) => {
            checker.fail_settings(&path.dotted(&error.key), &error.reason);
            None
        }
    }
}

/// Returns a number that is equal for equal settings; `Debug` shows secrets as hashes.
fn revision(raw: &RawSink) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    format!("{raw:?}").hash(&mut hasher);
    hasher.finish()
}

fn check_limits(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSink) {
    let batch = path.key("batch");
    let limits = [
        (batch.key("max_bytes"), raw.batch.max_bytes.0),
        (batch.key("max_records"), u64::from(raw.batch.max_records)),
        (path.key("queue").key("max_bytes"), raw.queue.max_bytes.0),
    ];
    for (limit, _) in limits.iter().filter(|(_, value)| *value == 0) {
        checker.fail(
            limit,
            format!("`{limit}` must not be 0"),
            "nothing would ever be sent",
        );
    }
    if raw.batch.max_bytes.0 > raw.queue.max_bytes.0 {
        let message = format!(
            "`{batch}.max_bytes` ({} bytes) is more than the queue may hold ({} bytes)",
            raw.batch.max_bytes.0, raw.queue.max_bytes.0
        );
        let help =
            "raise `queue.max_bytes`, best to four batches or more, or lower `batch.max_bytes`";
        checker.fail(&batch.key("max_bytes"), message, help);
    }
    let max_in_flight = path.key("max_in_flight");
    if raw
        .max_in_flight
        .is_some_and(|limit| !(1..=MAX_IN_FLIGHT).contains(&limit))
    {
        let message = format!("`{max_in_flight}` must be 1 to {MAX_IN_FLIGHT}");
        checker.fail(
            &max_in_flight,
            message,
            "with 1, the order of lines is strict through retries",
        );
    }
    let retry = path.key("retry");
    super::check_interval(checker, &batch.key("max_wait"), raw.batch.max_wait);
    super::check_interval(checker, &retry.key("min_wait"), raw.retry.min_wait);
    if raw.retry.max_attempts == Some(0) {
        let help = "leave it out to try for ever; with 1, a batch that fails once is dropped";
        let max_attempts = retry.key("max_attempts");
        checker.fail(
            &max_attempts,
            format!("`{max_attempts}` must not be 0"),
            help,
        );
    }
    if raw.retry.min_wait.0 > raw.retry.max_wait.0 {
        let message = format!("`{retry}.min_wait` is longer than `{retry}.max_wait`");
        checker.fail(
            &retry.key("min_wait"),
            message,
            "the waits double from the first to the second",
        );
    }
}

/// The queues together must fit, or one dead sink could take the memory of the others.
fn check_memory(checker: &mut Checker<'_>, sinks: &[(String, RawSink)], memory_limit: Size) {
    let queues = sinks.iter().fold(0_u64, |sum, (_, raw)| {
        sum.saturating_add(raw.queue.max_bytes.0)
    });
    if memory_limit.0 > 0 && queues > memory_limit.0 {
        let message = format!(
            "`memory_limit` ({} bytes) is less than what the queues of the sinks may hold together ({queues} bytes)",
            memory_limit.0
        );
        let help = "raise it, or lower `queue.max_bytes`: else one dead sink would stop the others";
        checker.fail(&KeyPath::default().key("memory_limit"), message, help);
    }
}
