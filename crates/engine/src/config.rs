//! The validated configuration that the engine runs.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tailwater_batcher::BatchLimits;
use tailwater_record::Level;
use tailwater_sink::{BackoffLimits, SinkParts};
use tailwater_stages::Stages;
use tailwater_tailer::{ArchiveRules, FrameConfig, Patterns, WatchBackend};

/// The status of an answer that says that the rate is limited.
const TOO_MANY_REQUESTS: u16 = 429;

/// Why a batch is dropped that failed with anything else; the word is Promtail's.
pub(crate) const GIVEN_UP: &str = "ingester_error";

/// Everything that runs: sources, sinks, and the limits they share.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where lines come from. A file that several sources match is read
    /// for each of them.
    pub sources: Vec<SourceConfig>,
    /// Where lines go.
    pub sinks: Vec<SinkConfig>,
    /// How files are followed.
    pub tailing: TailingConfig,
    /// Pipeline threads that files are sharded over by their directory; at least 1.
    pub workers: usize,
    /// Bytes of sealed batches in memory over all sinks; at the limit every source waits.
    pub memory_limit_bytes: u64,
    /// How fast all sources together may be read, if not as fast as they are written.
    pub rate_limit: Option<RateLimit>,
    /// How often positions are made durable.
    pub checkpoint_interval: Duration,
    /// Where what must outlive the process is kept: below it `spill/` and `dead-letters/`. `None` for
    /// nowhere: nothing is spilled, and intents are not kept.
    pub data_dir: Option<PathBuf>,
}

impl EngineConfig {
    /// Returns it as files are read once with it: what cannot be delivered now waits, nothing gives.
    pub(crate) fn for_backfill(&self) -> Self {
        let mut config = self.clone();
        let limits = config.sources.iter_mut().map(|source| {
            source.policy = None;
            &mut source.rate_limit
        });
        for limit in limits.chain([&mut config.rate_limit]).flatten() {
            limit.when_exceeded = WhenExceeded::Block;
        }
        for sink in &mut config.sinks {
            sink.policy = Policy::default();
        }
        config
    }
}

/// One source of lines.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Its key in the configuration.
    pub name: Arc<str>,
    /// Which files it reads.
    pub patterns: Patterns,
    /// Labels of every line.
    pub labels: Vec<(String, String)>,
    /// The label that holds the path a file was found under; `None` for no such label.
    pub path_label: Option<String>,
    /// Structured metadata of every line.
    pub structured_metadata: Vec<(String, String)>,
    /// The structured metadata name that holds the byte offset of the line's start, if wanted.
    pub offset_metadata: Option<String>,
    /// How the severity of its records is sent.
    pub severity: SeverityForm,
    /// The tenant its lines are sent for, where it overrides the sink's.
    pub tenant: Option<Arc<str>>,
    /// Where a file that was never seen starts.
    pub read_from: ReadFrom,
    /// Files not modified for this long are left alone until they are.
    pub ignore_older: Option<Duration>,
    /// How lines are framed.
    pub frame: FrameConfig,
    /// How long an unterminated last line of a live file waits before it is sent as it is; `None`
    /// for as long as the file is live.
    pub partial_line_timeout: Option<Duration>,
    /// Set where its files are archives, which are read once to their end.
    pub archive: Option<ArchiveRules>,
    /// What becomes of its lines before they are sent; `None` where each is a record as it is.
    pub stages: Option<Arc<Stages>>,
    /// The sinks it feeds: indexes into [`EngineConfig::sinks`]; at least one, each once.
    pub sinks: Vec<u32>,
    /// What gives when a queue is full, where it is not what the sink says.
    pub policy: Option<Policy>,
    /// How fast it may be read, if not as fast as it is written.
    pub rate_limit: Option<RateLimit>,
}

/// How the severity of records is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SeverityForm {
    /// Not at all.
    #[default]
    None,
    /// As structured metadata, [`SEVERITY_METADATA`].
    StructuredMetadata,
    /// As a label, [`SEVERITY_LABEL`]: its level in lower case. Each level of a file is a stream of its own.
    Label,
}

/// The names of structured metadata that a severity is sent under: its text, and its number. Loki stores
/// the records that come to its OTLP endpoint with the same ones.
pub const SEVERITY_METADATA: [&str; 2] = ["severity_text", "severity_number"];

/// The label that a severity is sent as.
pub const SEVERITY_LABEL: &str = "level";

/// Where a file that was never seen starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReadFrom {
    /// At its first byte.
    #[default]
    Beginning,
    /// At its end, where it was there when the agent first started; a file that appears later is
    /// read from its first byte.
    End,
}

/// What gives when a queue is full.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    /// Reading, records, or space on disk.
    pub when_full: WhenFull,
    /// Where records are dropped, these and more severe ones go last.
    pub keep: Keep,
}

/// What gives when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Files are not read further, and rotated ones are held open.
    #[default]
    Block,
    /// What comes is dropped and counted.
    DropNewest,
    /// What has waited longest is dropped and counted.
    DropOldest,
    /// Sealed batches go to disk, in order, up to so many bytes; then this happens.
    Spill {
        /// The most that the spill of one lane may hold.
        max_bytes: u64,
        /// What gives when the spill is full.
        then: Then,
    },
}

/// What gives when a spill is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Then {
    /// Files are not read further.
    #[default]
    Block,
    /// What comes is dropped and counted.
    DropNewest,
    /// The oldest segment of the spill is dropped and its records are counted.
    DropOldest,
}

/// The levels whose records are dropped last.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Keep {
    levels: Vec<Level>,
}

impl Keep {
    /// Keeps these levels, and those that are more severe than all of them.
    pub fn new(levels: impl IntoIterator<Item = Level>) -> Self {
        let mut levels: Vec<Level> = levels.into_iter().collect();
        levels.sort_unstable();
        levels.dedup();
        Self { levels }
    }

    /// Returns whether no level is.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Returns whether records of this level go last.
    pub fn holds(&self, level: Level) -> bool {
        self.levels.contains(&level) || self.levels.last().is_some_and(|last| level > *last)
    }

    /// Returns the levels as they were given, sorted.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }
}

/// How fast a source may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Bytes of lines a second, without delimiters.
    pub bytes_per_second: Option<NonZeroU32>,
    /// Lines a second.
    pub lines_per_second: Option<NonZeroU32>,
    /// Lines that may come at once; as many as in a second where it is not given.
    pub burst_lines: Option<NonZeroU32>,
    /// What happens to what comes faster.
    pub when_exceeded: WhenExceeded,
}

/// What happens to lines over a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenExceeded {
    /// They are read later.
    #[default]
    Block,
    /// They are dropped and counted.
    Drop,
}

/// One sink.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Its key in the configuration; positions are kept under it.
    pub name: Arc<str>,
    /// Equal for equal settings: a reload keeps a sink running whose revision did not change.
    pub revision: u64,
    /// Labels that its records get where they have none of the name; valid names, none twice.
    pub labels: Vec<(String, String)>,
    /// Its encoder and its sender.
    pub parts: SinkParts,
    /// When batches are sealed.
    pub batch: BatchLimits,
    /// Batches that may be unanswered at once; at least 1.
    pub max_in_flight: usize,
    /// Bytes of sealed batches that may wait; at the limit its sources are not read further.
    pub queue_max_bytes: u64,
    /// The waits between attempts.
    pub backoff: BackoffLimits,
    /// When a batch is given up.
    pub give_up: GiveUp,
    /// What gives when the queue is full.
    pub policy: Policy,
    /// Bytes of records refused for good that are kept; 0 for none.
    pub dead_letters_max_bytes: u64,
}

/// When a batch that a sink does not take is dropped and counted. Without either it is tried for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GiveUp {
    /// After so many failed attempts, whatever they failed with: `None` for never.
    pub max_attempts: Option<NonZeroU32>,
    /// At the first answer that says the rate is limited (429).
    pub rate_limited: bool,
}

impl GiveUp {
    /// Returns why a batch is dropped after so many attempts, the last of which was answered with
    /// `status`; `None` where it is tried again.
    pub(crate) fn reason(self, attempts: u32, status: Option<u16>) -> Option<&'static str> {
        let is_rate_limited = status == Some(TOO_MANY_REQUESTS);
        let is_last = self.max_attempts.is_some_and(|max| attempts >= max.get());
        match (is_rate_limited, is_last) {
            (true, _) if self.rate_limited || is_last => Some("rate_limited"),
            (false, true) => Some(GIVEN_UP),
            (true | false, _) => None,
        }
    }
}

/// How files are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailingConfig {
    /// How changes are noticed.
    pub watch: WatchBackend,
    /// How often sizes are looked at where changes are not notified (network mounts, watch limits).
    pub poll_interval: Duration,
    /// How often every directory is listed again, as repair.
    pub rescan_interval: Duration,
    /// A rotated or deleted file counts as finished once nothing was written to it for this long.
    pub rotate_wait: Duration,
    /// A file at its end is closed once nothing was written to it for this long.
    pub close_idle: Duration,
    /// Descriptors of followed files that may be open at once.
    pub max_open_files: usize,
    /// Files that may be followed at once; more are counted and left.
    pub max_files: usize,
    /// Directories that symlinks may lead into, besides those the globs name.
    pub allowed_roots: Vec<PathBuf>,
    /// Files and directories that are never read: the agent's own.
    pub excluded_paths: Vec<PathBuf>,
}

impl Default for TailingConfig {
    fn default() -> Self {
        Self {
            watch: WatchBackend::Auto,
            poll_interval: Duration::from_millis(250),
            rescan_interval: Duration::from_secs(300),
            rotate_wait: Duration::from_secs(1),
            close_idle: Duration::from_secs(300),
            max_open_files: 4096,
            max_files: 100_000,
            allowed_roots: Vec::new(),
            excluded_paths: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_given_up_after_the_last_attempt_by_what_that_failed_with() {
        let never = GiveUp::default();
        assert_eq!(never.reason(u32::MAX, Some(429)), None);
        let third = GiveUp {
            max_attempts: NonZeroU32::new(3),
            rate_limited: false,
        };
        assert_eq!(third.reason(2, Some(500)), None);
        assert_eq!(third.reason(3, Some(500)), Some("ingester_error"));
        assert_eq!(third.reason(3, None), Some("ingester_error"));
        assert_eq!(third.reason(2, Some(429)), None);
        assert_eq!(third.reason(3, Some(429)), Some("rate_limited"));
    }

    #[test]
    fn a_rate_limited_batch_is_given_up_at_once_where_that_is_wanted() {
        let at_once = GiveUp {
            max_attempts: None,
            rate_limited: true,
        };
        assert_eq!(at_once.reason(1, Some(429)), Some("rate_limited"));
        assert_eq!(at_once.reason(1, Some(503)), None);
    }
}
