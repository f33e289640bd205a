//! From what is written to what runs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_saphyr::{Location, Spanned};
use tailwater_batcher::BatchLimits;
use tailwater_engine::{
    EngineConfig, ReadFrom, SinkConfig, SourceConfig, TailingConfig, WatchBackend,
};
use tailwater_record::LabelSet;
use tailwater_sink::BackoffLimits;
use tailwater_tailer::{Encoding, FrameConfig, OverLimit, Patterns};

use super::raw::{
    RawConfig, RawEncoding, RawOverLimit, RawReadFrom, RawSource, RawTailing, RawWatch,
};
use super::{Config, ConfigError};
use crate::registry::RawSink;

/// Shortest limit of a line: the mark of a cut line must fit.
const MIN_LINE_BYTES: u64 = 64;

/// Longest limit of a line: each pipeline thread holds one such line.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Structured metadata pairs of a source.
const MAX_METADATA: usize = 30;

/// Pipeline threads.
const MAX_WORKERS: usize = 64;

/// Collects what is wrong, so that one run shows all of it.
struct Checker<'a> {
    name: &'a str,
    text: &'a str,
    errors: Vec<ConfigError>,
}

impl Checker<'_> {
    fn fail(&mut self, place: Location, what: &str, hint: &str) {
        self.errors
            .push(ConfigError::at(self.name, self.text, place, what, hint));
    }
}

/// Checks a configuration.
pub(super) fn check(
    raw: RawConfig,
    name: &str,
    text: &str,
    data_dir: Option<&Path>,
) -> Result<Config, ConfigError> {
    let mut checker = Checker {
        name,
        text,
        errors: Vec::new(),
    };
    let listen = check_listen(&mut checker, &raw.server.listen);
    if raw.workers.value == 0 || raw.workers.value > MAX_WORKERS {
        checker.fail(
            raw.workers.referenced,
            "`workers` must be 1 to 64",
            "one is enough for 100 MB/s and more",
        );
    }
    if raw.sources.is_empty() {
        checker.fail(
            Location::UNKNOWN,
            "there are no `sources`",
            "name the files: sources: { nginx: { include: [\"/var/log/nginx/*.log\"] } }",
        );
    }
    if raw.sinks.is_empty() {
        checker.fail(
            Location::UNKNOWN,
            "there are no `sinks`",
            "name where lines go: sinks: { central: { loki: { url: \"http://loki:3100\" } } }",
        );
    }
    let data_dir = data_dir.map_or(raw.data_dir, Path::to_owned);
    let mut written = vec![absolute(&data_dir)];
    let mut sinks = Vec::new();
    for (sink_name, sink) in &raw.sinks {
        if let Some((config, paths)) = check_sink(&mut checker, sink_name, sink) {
            sinks.push(config);
            written.extend(paths.iter().map(|path| absolute(path)));
        }
    }
    let names: Vec<&String> = raw.sinks.keys().collect();
    let sources: Vec<SourceConfig> = raw
        .sources
        .iter()
        .filter_map(|(source_name, source)| check_source(&mut checker, source_name, source, &names))
        .collect();
    if let Some(error) = ConfigError::join(checker.errors) {
        return Err(error);
    }
    Ok(Config {
        data_dir,
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9080))),
        shutdown_timeout: raw.shutdown_timeout.0,
        log: raw.log,
        engine: EngineConfig {
            sources,
            sinks,
            tailing: tailing(&raw.tailing, written),
            workers: raw.workers.value,
            memory_limit_bytes: raw.memory_limit.0,
            checkpoint_interval: raw.checkpoint_interval.0.max(Duration::from_millis(10)),
        },
    })
}

fn check_listen(checker: &mut Checker<'_>, listen: &Spanned<String>) -> Option<SocketAddr> {
    let address = listen.value.parse().ok();
    if address.is_none() {
        checker.fail(
            listen.referenced,
            "`listen` is not an address with a port",
            "write it like `listen: \"127.0.0.1:9080\"`",
        );
    }
    address
}

fn check_sink(
    checker: &mut Checker<'_>,
    name: &str,
    sink: &Spanned<RawSink>,
) -> Option<(SinkConfig, Vec<PathBuf>)> {
    let (place, raw) = (sink.referenced, &sink.value);
    let kinds = RawSink::KINDS.join(", ");
    let given = raw.given();
    if given.len() != 1 {
        let what = match given.len() {
            0 => format!("sink `{name}` has no kind"),
            _ => format!("sink `{name}` has several kinds: {}", given.join(", ")),
        };
        checker.fail(place, &what, &format!("give it exactly one of: {kinds}"));
        return None;
    }
    let max_bytes = usize::try_from(raw.batch.max_bytes.0).unwrap_or(usize::MAX);
    if max_bytes == 0
        || raw.batch.max_records == 0
        || raw.queue.max_bytes.0 == 0
        || raw.max_in_flight == Some(0)
    {
        checker.fail(
            place,
            &format!("sink `{name}` has a limit of 0"),
            "`batch`, `queue` and `max_in_flight` must be at least 1",
        );
        return None;
    }
    match raw.build()? {
        Err(error) => {
            checker.fail(
                place,
                &format!("sink `{name}`: {error}"),
                "see `examples/` for how it is written",
            );
            None
        }
        Ok(built) => {
            let config = SinkConfig {
                name: name.into(),
                revision: revision(raw),
                parts: built.parts,
                batch: BatchLimits {
                    max_bytes,
                    max_records: raw.batch.max_records,
                    max_wait: raw.batch.max_wait.0,
                },
                max_in_flight: raw.max_in_flight.unwrap_or(built.default_max_in_flight),
                queue_max_bytes: raw.queue.max_bytes.0,
                backoff: BackoffLimits {
                    min: raw.retry.min_wait.0,
                    max: raw.retry.max_wait.0,
                },
            };
            Some((config, built.written_paths))
        }
    }
}

/// A number that is equal for equal settings.
fn revision(raw: &RawSink) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    format!("{raw:?}").hash(&mut hasher);
    hasher.finish()
}

fn check_source(
    checker: &mut Checker<'_>,
    name: &str,
    source: &Spanned<RawSource>,
    sinks: &[&String],
) -> Option<SourceConfig> {
    let (place, raw) = (source.referenced, &source.value);
    if raw.include.is_empty() {
        checker.fail(
            place,
            &format!("source `{name}` includes no file"),
            "write it like `include: [\"/var/log/nginx/*.log\"]`",
        );
    }
    check_labels(checker, place, raw);
    let patterns = check_patterns(checker, raw);
    let sinks = check_source_sinks(checker, name, place, raw, sinks);
    let frame = check_frame(checker, raw);
    Some(SourceConfig {
        name: name.into(),
        patterns: patterns?,
        labels: raw.labels.clone().into_iter().collect(),
        path_label: Some(raw.path_label.clone()).filter(|label| !label.is_empty()),
        structured_metadata: raw.structured_metadata.clone().into_iter().collect(),
        offset_metadata: raw.offset_metadata.clone().filter(|name| !name.is_empty()),
        tenant: raw.tenant.as_deref().map(Arc::from),
        read_from: match raw.read_from {
            RawReadFrom::Beginning => ReadFrom::Beginning,
            RawReadFrom::End => ReadFrom::End,
        },
        ignore_older: raw.ignore_older.map(|limit| limit.0),
        frame,
        partial_line_timeout: raw.partial_line_timeout.map(|timeout| timeout.0),
        sinks,
    })
}

fn check_labels(checker: &mut Checker<'_>, place: Location, raw: &RawSource) {
    let labels = raw
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    if let Err(error) = LabelSet::new(labels) {
        checker.fail(
            place,
            &error.to_string(),
            "write labels like `labels: { job: nginx }`",
        );
    }
    if !raw.path_label.is_empty()
        && let Err(error) = LabelSet::new([(raw.path_label.as_str(), "")])
    {
        checker.fail(
            place,
            &error.to_string(),
            "write it like `path_label: filename`, or `\"\"` for none",
        );
    }
    if raw.labels.is_empty() && raw.path_label.is_empty() {
        checker.fail(
            place,
            "the source has no label at all, and Loki takes no line without one",
            "add `labels: { job: nginx }`",
        );
    }
    if raw.structured_metadata.len() > MAX_METADATA {
        checker.fail(
            place,
            "`structured_metadata` has more than 30 entries",
            "make some of them labels, or leave them out",
        );
    }
}

fn check_patterns(checker: &mut Checker<'_>, raw: &RawSource) -> Option<Patterns> {
    let mut globs = [Vec::new(), Vec::new()];
    for (list, target) in [&raw.include, &raw.exclude]
        .into_iter()
        .zip(globs.iter_mut())
    {
        for glob in list {
            let absolute = absolute_glob(&glob.value);
            // Each is tried alone, so that an error points at the glob it is about.
            if let Err(error) = Patterns::new(std::slice::from_ref(&absolute), &[]) {
                checker.fail(
                    glob.referenced,
                    &error.to_string(),
                    "globs know `*`, `?`, `[a-z]`, `{a,b}` and `**`",
                );
            }
            target.push(absolute);
        }
    }
    let [include, exclude] = globs;
    Patterns::new(&include, &exclude).ok()
}

fn check_source_sinks(
    checker: &mut Checker<'_>,
    name: &str,
    place: Location,
    raw: &RawSource,
    sinks: &[&String],
) -> Vec<u32> {
    let known = sinks
        .iter()
        .map(|sink| sink.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let Some(wanted) = &raw.sinks else {
        if sinks.len() > 1 {
            checker.fail(
                place,
                &format!("source `{name}` does not say which sinks it feeds"),
                &format!("add `sinks: [...]` with some of: {known}"),
            );
        }
        return if sinks.is_empty() {
            Vec::new()
        } else {
            vec![0]
        };
    };
    if wanted.is_empty() {
        checker.fail(
            place,
            &format!("source `{name}` feeds no sink"),
            &format!("name some of: {known}"),
        );
    }
    let mut indexes = BTreeSet::new();
    for sink in wanted {
        match sinks
            .iter()
            .position(|known| **known == sink.value)
            .and_then(|index| u32::try_from(index).ok())
        {
            Some(index) => drop(indexes.insert(index)),
            None => checker.fail(
                sink.referenced,
                &format!("there is no sink `{}`", sink.value),
                &format!("the sinks are: {known}"),
            ),
        }
    }
    indexes.into_iter().collect()
}

fn check_frame(checker: &mut Checker<'_>, raw: &RawSource) -> FrameConfig {
    let max_line_bytes = raw.max_line_bytes.value.0;
    if !(MIN_LINE_BYTES..=MAX_LINE_BYTES).contains(&max_line_bytes) {
        checker.fail(
            raw.max_line_bytes.referenced,
            "`max_line_bytes` must be 64 bytes to 64MiB",
            "Loki takes lines of up to 256KiB by default",
        );
    }
    FrameConfig {
        max_line_bytes: usize::try_from(max_line_bytes.clamp(MIN_LINE_BYTES, MAX_LINE_BYTES))
            .unwrap_or(usize::MAX),
        over_limit: match raw.over_limit {
            RawOverLimit::Truncate => OverLimit::Truncate,
            RawOverLimit::Split => OverLimit::Split,
        },
        encoding: match raw.encoding {
            RawEncoding::Auto => Encoding::Auto,
            RawEncoding::Utf8 => Encoding::Utf8,
            RawEncoding::Utf16Le => Encoding::Utf16Le,
            RawEncoding::Utf16Be => Encoding::Utf16Be,
        },
    }
}

fn tailing(raw: &RawTailing, excluded_paths: Vec<PathBuf>) -> TailingConfig {
    let default = TailingConfig::default();
    let interval = |raw: Option<super::raw::Lasting>, default: Duration| {
        raw.map_or(default, |interval| {
            interval.0.max(Duration::from_millis(10))
        })
    };
    TailingConfig {
        watch: match raw.watch {
            RawWatch::Auto => WatchBackend::Auto,
            RawWatch::Notify => WatchBackend::Notify,
            RawWatch::Poll => WatchBackend::Poll,
        },
        poll_interval: interval(raw.poll_interval, default.poll_interval),
        rescan_interval: interval(raw.rescan_interval, default.rescan_interval),
        rotate_wait: interval(raw.rotate_wait, default.rotate_wait),
        close_idle: interval(raw.close_idle, default.close_idle),
        max_open_files: raw.max_open_files.unwrap_or(default.max_open_files).max(8),
        max_files: raw.max_files.unwrap_or(default.max_files).max(1),
        allowed_roots: raw.allowed_roots.clone(),
        excluded_paths,
    }
}

/// Makes a path absolute, its directory's links resolved where it exists.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    std::fs::canonicalize(&absolute).unwrap_or(absolute)
}

fn absolute_glob(glob: &str) -> String {
    if glob.starts_with('/') || glob.is_empty() {
        return glob.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    format!(
        "{}/{}",
        here.display(),
        glob.strip_prefix("./").unwrap_or(glob)
    )
}
