//! The configuration as it is written, and its defaults.
//!
//! Every choice is a key and never a `type:` field: with tagged or flattened types, an error can only
//! name the start of a block and not the key that is wrong.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tailwater_stages::StageConfig;

use crate::registry::RawSink;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Where the positions are kept.
    pub data_dir: PathBuf,
    /// A positions file of Promtail that is read at the first start.
    pub import_positions: Option<PathBuf>,
    /// Whether such a file counts as empty where it is not valid.
    pub import_positions_ignore_invalid: bool,
    /// The admin server.
    pub server: RawServer,
    /// How long stopping and draining may take.
    pub shutdown_timeout: Lasting,
    /// How often positions are made durable.
    pub checkpoint_interval: Lasting,
    /// Pipeline threads.
    pub workers: usize,
    /// Bytes of sealed batches in memory.
    pub memory_limit: Size,
    /// How fast all sources together may be read.
    pub limits: Option<RawLimits>,
    /// What the agent says.
    pub log: RawLog,
    /// How files are followed.
    pub tailing: RawTailing,
    /// Where lines come from; the order counts where several match a file.
    pub sources: Named<RawSource>,
    /// Where lines go.
    pub sinks: Named<RawSink>,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/tailwater"),
            import_positions: None,
            import_positions_ignore_invalid: false,
            server: RawServer::default(),
            shutdown_timeout: Lasting(Duration::from_secs(10)),
            checkpoint_interval: Lasting(Duration::from_secs(1)),
            workers: 1,
            memory_limit: Size(64 << 20),
            limits: None,
            log: RawLog::default(),
            tailing: RawTailing::default(),
            sources: Named(Vec::new()),
            sinks: Named(Vec::new()),
        }
    }
}

/// A map from names that the operator chose, in the order of the file.
#[derive(Debug)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(std::marker::PhantomData))
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

struct NamedVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Named(entries))
    }
}

/// The admin server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawServer {
    /// Its address; empty for no server.
    pub listen: String,
    /// What stands before every path.
    pub path_prefix: String,
    /// Answer as Promtail does: its endpoints, and its names beside ours in `/metrics`.
    pub promtail: bool,
    /// Reload on request: `POST /-/reload`, and `/reload` where it answers as Promtail does.
    pub reload: bool,
    /// Be ready before there is a file, where it answers as Promtail does.
    pub ready_without_targets: bool,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9080".to_owned(),
            path_prefix: String::new(),
            promtail: false,
            reload: false,
            ready_without_targets: false,
        }
    }
}

/// What the agent says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    /// From which level on.
    #[serde(default)]
    pub level: RawLogLevel,
    /// In which form.
    #[serde(default)]
    pub format: RawLogFormat,
}

/// Levels of the agent's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RawLogLevel {
    /// Data is lost, or an operator must act.
    Error,
    /// Something unexpected that was recovered from.
    Warn,
    /// Start, stop, reload.
    #[default]
    Info,
    /// For finding out.
    Debug,
}

/// Forms of the agent's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawLogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// How files are followed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTailing {
    /// How changes are noticed.
    pub watch: RawWatch,
    /// How often files are looked at whose changes are not notified.
    pub poll_interval: Option<Lasting>,
    /// How often everything is looked at again.
    pub rescan_interval: Option<Lasting>,
    /// A rotated file is finished after this quiet time.
    pub rotate_wait: Option<Lasting>,
    /// A file at its end is closed after this quiet time.
    pub close_idle: Option<Lasting>,
    /// Descriptors that may be open.
    pub max_open_files: Option<usize>,
    /// Files that may be followed.
    pub max_files: Option<usize>,
    /// Directories that links may lead into.
    pub allowed_roots: Vec<PathBuf>,
}

/// How changes are noticed.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawWatch {
    /// The cheapest that the system has.
    #[default]
    Auto,
    /// The `notify` crate.
    Notify,
    /// Polling only.
    Poll,
}

/// A source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSource {
    /// Globs of the files.
    pub include: Vec<String>,
    /// Globs of files that are left out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Labels of every line.
    #[serde(default)]
    pub labels: Named<String>,
    /// The label that holds the path; empty for none.
    #[serde(default = "default_path_label")]
    pub path_label: String,
    /// Structured metadata of every line.
    #[serde(default)]
    pub structured_metadata: Named<String>,
    /// The structured metadata that holds the offset of the line.
    pub offset_metadata: Option<String>,
    /// How the severity of its records is sent.
    pub severity: Option<RawSeverity>,
    /// The tenant.
    pub tenant: Option<String>,
    /// Where files that were never seen start.
    #[serde(default)]
    pub read_from: RawReadFrom,
    /// Files not modified for this long are left alone.
    pub ignore_older: Option<Lasting>,
    /// How bytes are read as text.
    #[serde(default)]
    pub encoding: RawEncoding,
    /// Longest line.
    #[serde(default = "default_max_line_bytes")]
    pub max_line_bytes: Size,
    /// What happens to a longer line.
    #[serde(default)]
    pub over_limit: RawOverLimit,
    /// When an unterminated line of a live file is sent as it is.
    pub partial_line_timeout: Option<Lasting>,
    /// How the files are compressed, where they are archives.
    pub decompression: Option<RawCompression>,
    /// How long an archive must not have been written to before it is read.
    pub decompression_delay: Option<Lasting>,
    /// The sinks it feeds.
    pub sinks: Option<Vec<String>>,
    /// What gives when a queue is full, in place of what the sink says.
    pub when_full: Option<RawWhenFull>,
    /// Levels whose records are dropped last, in place of what the sink says.
    pub keep: Option<Vec<RawLevel>>,
    /// How fast it may be read.
    pub rate_limit: Option<RawRateLimit>,
    /// The name of a preset, whose stages come before its own.
    pub preset: Option<String>,
    /// What becomes of its lines before they are sent.
    #[serde(default)]
    pub stages: Vec<StageConfig>,
}

/// How the severity of records is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawSeverity {
    /// Not at all.
    None,
    /// As structured metadata.
    StructuredMetadata,
    /// As a label.
    Label,
}

/// What gives when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawWhenFull {
    /// Files are not read further.
    Block,
    /// What comes is dropped.
    DropNewest,
    /// What has waited longest is dropped.
    DropOldest,
    /// Batches go to disk.
    Spill,
}

/// What gives when a spill is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawThen {
    /// Files are not read further.
    #[default]
    Block,
    /// What comes is dropped.
    DropNewest,
    /// The oldest segment is dropped.
    DropOldest,
}

/// A level of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawLevel {
    /// The finest.
    Trace,
    /// For finding out.
    Debug,
    /// As expected.
    Info,
    /// Not as expected.
    Warn,
    /// Something failed.
    Error,
    /// Everything failed.
    Fatal,
}

/// What goes to disk for one sink.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSpill {
    /// The most that it may take, for each tenant.
    pub max_bytes: Size,
    /// What gives then.
    pub then: RawThen,
}

impl Default for RawSpill {
    fn default() -> Self {
        Self {
            max_bytes: Size(1 << 30),
            then: RawThen::Block,
        }
    }
}

/// Where records go that a sink has refused for good.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDeadLetters {
    /// The most that they may take; 0 for none.
    pub max_bytes: Size,
}

impl Default for RawDeadLetters {
    fn default() -> Self {
        Self {
            max_bytes: Size(64 << 20),
        }
    }
}

/// How fast all sources together may be read, after their stages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    /// Lines.
    pub lines_per_second: u32,
    /// Lines that may come at once; as many as in a second where it is not given.
    pub burst: Option<u32>,
    /// What happens to what comes faster.
    #[serde(default)]
    pub when_exceeded: RawWhenExceeded,
}

/// How fast a source may be read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRateLimit {
    /// Bytes of lines.
    pub bytes_per_second: Option<Size>,
    /// Lines.
    pub lines_per_second: Option<u32>,
    /// What happens to what comes faster.
    #[serde(default)]
    pub when_exceeded: RawWhenExceeded,
}

/// What happens to lines over a rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawWhenExceeded {
    /// They are read later.
    #[default]
    Block,
    /// They are dropped.
    Drop,
}

/// How archives are compressed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawCompression {
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Zlib,
    /// bzip2.
    Bzip2,
    /// RFC 8878.
    Zstd,
    /// `.xz`.
    Xz,
    /// Each as its first bytes say.
    Auto,
}

/// Where files that were never seen start.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawReadFrom {
    /// At their first byte.
    #[default]
    Beginning,
    /// At their end, where they were there when the agent first started.
    End,
}

/// How bytes are read as text.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub enum RawEncoding {
    /// By the byte order mark.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, little-endian.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, big-endian.
    #[serde(rename = "utf-16be")]
    Utf16Be,
}

/// What happens to a line over the limit.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawOverLimit {
    /// Its start is kept.
    #[default]
    Truncate,
    /// It becomes several records.
    Split,
}

/// When batches are sealed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBatch {
    /// Encoded bytes before compression.
    pub max_bytes: Size,
    /// Records.
    pub max_records: u32,
    /// Age of the first record.
    pub max_wait: Lasting,
}

impl Default for RawBatch {
    fn default() -> Self {
        Self {
            max_bytes: Size(1 << 20),
            max_records: 1 << 16,
            max_wait: Lasting(Duration::from_secs(1)),
        }
    }
}

/// What may wait in memory for one sink.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawQueue {
    /// Bytes of sealed batches.
    pub max_bytes: Size,
}

impl Default for RawQueue {
    fn default() -> Self {
        Self {
            max_bytes: Size(4 << 20),
        }
    }
}

/// The waits between attempts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRetry {
    /// The first.
    pub min_wait: Lasting,
    /// The longest, and the cap on `Retry-After`.
    pub max_wait: Lasting,
    /// A batch is dropped after so many failed attempts; without it, it is tried for ever.
    pub max_attempts: Option<u32>,
    /// Drop a batch at once where the backend answers 429.
    pub drop_rate_limited: bool,
}

impl Default for RawRetry {
    fn default() -> Self {
        Self {
            min_wait: Lasting(Duration::from_millis(500)),
            max_wait: Lasting(Duration::from_secs(30)),
            max_attempts: None,
            drop_rate_limited: false,
        }
    }
}

/// A duration as it is written: `500ms`, `10s`, `5m`.
#[derive(Clone, Copy, Debug)]
pub struct Lasting(pub Duration);

impl<'de> Deserialize<'de> for Lasting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        tailwater_sink::parse_duration(&text)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// A size in bytes as it is written: `512KiB`, `1MiB`, `1000`.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a size like `1MiB`")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Size, E> {
        Ok(Size(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Size, E> {
        Err(E::custom(format!(
            "`{value}` is not a size: it is negative"
        )))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        tailwater_sink::parse_size(text)
            .map(Size)
            .map_err(E::custom)
    }
}

fn default_path_label() -> String {
    "filename".to_owned()
}

fn default_max_line_bytes() -> Size {
    Size(256 << 10)
}
