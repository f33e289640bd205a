//! From what is written to what runs.

mod import;
mod policy;
mod server;
mod sink;
mod source;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tailwater_engine::{EngineConfig, TailingConfig, WatchBackend};
use tailwater_yaml::{Checker, KeyPath};

pub(crate) use source::{absolute_glob, escaped};

use super::raw::{Lasting, RawConfig, RawTailing, RawWatch};
use super::{Config, Written};

/// Pipeline threads.
const MAX_WORKERS: usize = 64;

/// Descriptors of followed files, at least: one per pipeline thread and some to rotate with.
const MIN_OPEN_FILES: usize = 8;

/// Files that may be followed at once.
const MAX_FILES: usize = 10_000_000;

/// Shortest interval of anything that is done again and again.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Longest name of a source or a sink, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// Checks a configuration. `None` where something is wrong: the checker has all of it.
pub(super) fn check(
    checker: &mut Checker<'_>,
    raw: RawConfig,
    data_dir: Option<&Path>,
    written: Written,
) -> Option<Config> {
    let top = KeyPath::default();
    let server = server::check(checker, &top.key("server"), &raw.server);
    check_limits(checker, &raw);
    let data_dir = data_dir.map_or(raw.data_dir, Path::to_owned);
    if data_dir.as_os_str().is_empty() {
        checker.fail(
            &top.key("data_dir"),
            "`data_dir` is empty",
            "name a directory for the positions",
        );
    }
    // Promtail waits for targets, which its files may name later.
    if raw.sources.0.is_empty() && !raw.server.promtail {
        checker.fail(
            &top.key("sources"),
            "there are no `sources`",
            "say which files are read",
        );
    }
    if raw.sinks.0.is_empty() {
        checker.fail(
            &top.key("sinks"),
            "there are no `sinks`",
            "say where lines go",
        );
    }
    let (sinks, written_paths) = sink::check_all(checker, &raw.sinks.0, raw.memory_limit);
    let mut sources = Vec::new();
    for (name, source) in &raw.sources.0 {
        let path = top.key("sources").key(name);
        check_name(checker, &path, name);
        sources.extend(source::check(checker, &path, name, source, &raw.sinks.0));
    }
    let import_positions = import::check(
        checker,
        raw.import_positions,
        raw.import_positions_ignore_invalid,
    );
    let mut excluded_paths = vec![absolute(&data_dir)];
    excluded_paths.extend(written_paths);
    Some(Config {
        data_dir: data_dir.clone(),
        import_positions,
        server: server?,
        shutdown_timeout: raw.shutdown_timeout.0,
        log: raw.log,
        engine: EngineConfig {
            sources,
            sinks,
            tailing: check_tailing(checker, &top.key("tailing"), &raw.tailing, excluded_paths),
            workers: raw.workers,
            memory_limit_bytes: raw.memory_limit.0,
            rate_limit: raw
                .limits
                .as_ref()
                .map(|limits| policy::shared_limit(checker, &top.key("limits"), limits)),
            checkpoint_interval: raw.checkpoint_interval.0,
            data_dir: Some(data_dir),
        },
        written,
    })
}

fn check_limits(checker: &mut Checker<'_>, raw: &RawConfig) {
    let top = KeyPath::default();
    if !(1..=MAX_WORKERS).contains(&raw.workers) {
        let help = "one does for 100 MB/s and more; files are spread over them by directory";
        checker.fail(
            &top.key("workers"),
            format!("`workers` must be 1 to {MAX_WORKERS}"),
            help,
        );
    }
    if raw.memory_limit.0 == 0 {
        let help = "it bounds the batches in memory; at the limit, files are not read further";
        checker.fail(
            &top.key("memory_limit"),
            "`memory_limit` must not be 0",
            help,
        );
    }
    check_interval(checker, &top.key("shutdown_timeout"), raw.shutdown_timeout);
    check_interval(
        checker,
        &top.key("checkpoint_interval"),
        raw.checkpoint_interval,
    );
}

fn check_interval(checker: &mut Checker<'_>, path: &KeyPath, interval: Lasting) {
    if interval.0 < MIN_INTERVAL {
        let message = format!("`{path}` must be at least {MIN_INTERVAL:?}");
        checker.fail(path, message, "shorter costs CPU time and gains nothing");
    }
}

/// Names are labels of metrics, and positions are kept under them.
fn check_name(checker: &mut Checker<'_>, path: &KeyPath, name: &str) {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_allowed) {
        let help = format!("use letters, digits, `_`, `-` and `.`, at most {MAX_NAME_BYTES}");
        checker.fail_key(path, "this name cannot be used", help);
    }
}

fn check_tailing(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    raw: &RawTailing,
    excluded_paths: Vec<PathBuf>,
) -> TailingConfig {
    let default = TailingConfig::default();
    let mut interval = |name: &str, raw: Option<Lasting>, default: Duration| {
        raw.map_or(default, |interval| {
            check_interval(checker, &path.key(name), interval);
            interval.0
        })
    };
    let poll_interval = interval("poll_interval", raw.poll_interval, default.poll_interval);
    let rescan_interval = interval(
        "rescan_interval",
        raw.rescan_interval,
        default.rescan_interval,
    );
    let rotate_wait = interval("rotate_wait", raw.rotate_wait, default.rotate_wait);
    let close_idle = interval("close_idle", raw.close_idle, default.close_idle);
    let max_open_files = raw.max_open_files.unwrap_or(default.max_open_files);
    if max_open_files < MIN_OPEN_FILES {
        let message = format!("`{path}.max_open_files` must be at least {MIN_OPEN_FILES}");
        checker.fail(
            &path.key("max_open_files"),
            message,
            "files in turn share the descriptors there are",
        );
    }
    let max_files = raw.max_files.unwrap_or(default.max_files);
    if !(1..=MAX_FILES).contains(&max_files) {
        let message = format!("`{path}.max_files` must be 1 to {MAX_FILES}");
        checker.fail(
            &path.key("max_files"),
            message,
            "files over the limit are counted and left alone",
        );
    }
    for (index, root) in raw.allowed_roots.iter().enumerate() {
        if !root.is_absolute() {
            let root = path.key("allowed_roots").index(index);
            checker.fail(&root, "this is not an absolute path", "begin it with `/`");
        }
    }
    TailingConfig {
        watch: match raw.watch {
            RawWatch::Auto => WatchBackend::Auto,
            RawWatch::Notify => WatchBackend::Notify,
            RawWatch::Poll => WatchBackend::Poll,
        },
        poll_interval,
        rescan_interval,
        rotate_wait,
        close_idle,
        max_open_files,
        max_files,
        allowed_roots: raw.allowed_roots.clone(),
        excluded_paths,
    }
}

/// Makes a path absolute, its links resolved as far as it exists.
fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_cwd_is_gone| path.to_owned());
    std::fs::canonicalize(&absolute).unwrap_or(absolute)
}
