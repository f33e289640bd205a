//! What is known of the keys beside their types: how they are written, and which come later.

use tailwater_yaml::{Guide, KeyPath, Step};

/// What is known of the keys, for diagnostics.
pub(crate) const GUIDE: Guide = Guide { example, not_here };

/// How keys are written. `*` stands for the name of a source or a sink.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "",
        "sources: { nginx: { include: [\"/var/log/nginx/*.log\"] } }",
    ),
    ("data_dir", "data_dir: /var/lib/tailwater"),
    (
        "import_positions",
        "import_positions: /var/lib/promtail/positions.yaml",
    ),
    (
        "import_positions_ignore_invalid",
        "import_positions_ignore_invalid: true",
    ),
    ("server", "server: { listen: \"127.0.0.1:9080\" }"),
    ("server.listen", "listen: \"127.0.0.1:9080\""),
    ("server.path_prefix", "path_prefix: /tailwater"),
    ("server.promtail", "promtail: true"),
    ("server.reload", "reload: true"),
    (
        "server.ready_without_targets",
        "ready_without_targets: true",
    ),
    ("shutdown_timeout", "shutdown_timeout: 10s"),
    ("checkpoint_interval", "checkpoint_interval: 1s"),
    ("workers", "workers: 1"),
    ("memory_limit", "memory_limit: 64MiB"),
    ("limits", "limits: { lines_per_second: 10000 }"),
    ("limits.lines_per_second", "lines_per_second: 10000"),
    ("limits.burst", "burst: 10000"),
    ("limits.when_exceeded", "when_exceeded: drop"),
    ("log", "log: { level: info, format: json }"),
    ("log.level", "level: info"),
    ("log.format", "format: json"),
    ("tailing", "tailing: { watch: auto, rotate_wait: 1s }"),
    ("tailing.watch", "watch: auto"),
    ("tailing.poll_interval", "poll_interval: 250ms"),
    ("tailing.rescan_interval", "rescan_interval: 1m"),
    ("tailing.rotate_wait", "rotate_wait: 1s"),
    ("tailing.close_idle", "close_idle: 5m"),
    ("tailing.max_open_files", "max_open_files: 4096"),
    ("tailing.max_files", "max_files: 100000"),
    ("tailing.allowed_roots", "allowed_roots: [/srv/logs]"),
    (
        "sources",
        "sources: { nginx: { include: [\"/var/log/nginx/*.log\"] } }",
    ),
    (
        "sources.*",
        "nginx: { include: [\"/var/log/nginx/*.log\"], labels: { job: nginx } }",
    ),
    ("sources.*.include", "include: [\"/var/log/nginx/*.log\"]"),
    (
        "sources.*.exclude",
        "exclude: [\"/var/log/nginx/debug*.log\"]",
    ),
    ("sources.*.labels", "labels: { job: nginx }"),
    ("sources.*.path_label", "path_label: filename"),
    (
        "sources.*.structured_metadata",
        "structured_metadata: { team: shop }",
    ),
    ("sources.*.offset_metadata", "offset_metadata: offset"),
    ("sources.*.severity", "severity: structured_metadata"),
    ("sources.*.tenant", "tenant: shop"),
    ("sources.*.read_from", "read_from: end"),
    ("sources.*.ignore_older", "ignore_older: 24h"),
    ("sources.*.encoding", "encoding: utf-16le"),
    ("sources.*.max_line_bytes", "max_line_bytes: 256KiB"),
    ("sources.*.over_limit", "over_limit: split"),
    ("sources.*.partial_line_timeout", "partial_line_timeout: 5s"),
    ("sources.*.decompression", "decompression: gzip"),
    ("sources.*.decompression_delay", "decompression_delay: 10s"),
    ("sources.*.sinks", "sinks: [central]"),
    (
        "sinks",
        "sinks: { central: { loki: { url: \"http://loki:3100\" } } }",
    ),
    (
        "sinks.*",
        "central: { loki: { url: \"http://loki:3100\" } }",
    ),
    ("sinks.*.loki", "loki: { url: \"http://loki:3100\" }"),
    (
        "sinks.*.loki.url",
        "url: \"http://loki:3100/loki/api/v1/push\"",
    ),
    ("sinks.*.loki.tenant", "tenant: shop"),
    (
        "sinks.*.loki.basic_auth",
        "basic_auth: { username: shop, password_file: /etc/tailwater/password }",
    ),
    (
        "sinks.*.loki.bearer_token_file",
        "bearer_token_file: /etc/tailwater/token",
    ),
    (
        "sinks.*.loki.tls",
        "tls: { ca_file: /etc/tailwater/ca.pem }",
    ),
    ("sinks.*.loki.timeout", "timeout: 10s"),
    ("sinks.*.loki.connect_timeout", "connect_timeout: 5s"),
    (
        "sinks.*.file",
        "file: { path: /var/lib/tailwater/lines.ndjson }",
    ),
    ("sinks.*.file.path", "path: /var/lib/tailwater/lines.ndjson"),
    ("sinks.*.file.format", "format: ndjson"),
    ("sinks.*.file.max_bytes", "max_bytes: 1GiB"),
    ("sinks.*.batch", "batch: { max_bytes: 1MiB, max_wait: 1s }"),
    ("sinks.*.batch.max_bytes", "max_bytes: 1MiB"),
    ("sinks.*.batch.max_records", "max_records: 65536"),
    ("sinks.*.batch.max_wait", "max_wait: 1s"),
    ("sinks.*.max_in_flight", "max_in_flight: 4"),
    ("sinks.*.queue", "queue: { max_bytes: 4MiB }"),
    ("sinks.*.queue.max_bytes", "max_bytes: 4MiB"),
    ("sinks.*.retry", "retry: { min_wait: 500ms, max_wait: 30s }"),
    ("sinks.*.retry.min_wait", "min_wait: 500ms"),
    ("sinks.*.retry.max_wait", "max_wait: 30s"),
    ("sinks.*.retry.max_attempts", "max_attempts: 10"),
    ("sinks.*.retry.drop_rate_limited", "drop_rate_limited: true"),
    ("sinks.*.when_full", "when_full: spill"),
    ("sinks.*.spill", "spill: { max_bytes: 2GiB, then: block }"),
    ("sinks.*.spill.max_bytes", "max_bytes: 2GiB"),
    ("sinks.*.spill.then", "then: drop_oldest"),
    ("sinks.*.keep", "keep: [error, warn]"),
    ("sinks.*.dead_letters", "dead_letters: { max_bytes: 64MiB }"),
    ("sinks.*.dead_letters.max_bytes", "max_bytes: 64MiB"),
    ("sinks.*.labels", "labels: { cluster: eu }"),
    (
        "sources.*.stages",
        "stages: [ { json: { expressions: { level: } } }, { labels: { level: } } ]",
    ),
    ("sources.*.when_full", "when_full: drop_oldest"),
    ("sources.*.keep", "keep: [error, warn]"),
    (
        "sources.*.rate_limit",
        "rate_limit: { bytes_per_second: 10MiB, when_exceeded: block }",
    ),
    (
        "sources.*.rate_limit.bytes_per_second",
        "bytes_per_second: 10MiB",
    ),
    (
        "sources.*.rate_limit.lines_per_second",
        "lines_per_second: 5000",
    ),
    ("sources.*.rate_limit.when_exceeded", "when_exceeded: drop"),
];

/// Keys that an operator may know from elsewhere, and what is to be said about them.
const NOT_HERE: &[(&str, &str)] = &[
    (
        "sinks.*.type",
        "the kind of a sink is a key: `loki: { url: … }` in place of `type: loki`",
    ),
    (
        "sinks.*.url",
        "it belongs below the kind of the sink: `loki: { url: … }`",
    ),
    (
        "sources.*.path",
        "the files of a source are named by `include: [\"/var/log/nginx/*.log\"]`",
    ),
    (
        "sources.*.paths",
        "the files of a source are named by `include: [\"/var/log/nginx/*.log\"]`",
    ),
    ("scrape_configs", PROMTAIL),
    ("clients", PROMTAIL),
    ("positions", PROMTAIL),
];

const PROMTAIL: &str =
    "this is a key of Promtail: one file is either in the native form or in Promtail's";

/// Returns how the key at `path` is written, if that is known.
fn example(path: &KeyPath) -> Option<&'static str> {
    find(EXAMPLES, path)
}

/// Returns what is to be said about a key that is not known, where it is known from elsewhere.
fn not_here(path: &KeyPath) -> Option<&'static str> {
    find(NOT_HERE, path)
}

fn find(table: &[(&str, &'static str)], path: &KeyPath) -> Option<&'static str> {
    let pattern = pattern_of(path);
    table
        .iter()
        .find(|(known, _)| *known == pattern)
        .map(|(_, text)| *text)
}

fn pattern_of(path: &KeyPath) -> String {
    let mut names = Vec::new();
    for step in &path.0 {
        let Step::Key(name) = step else { continue };
        let is_named_by_operator =
            names.len() == 1 && names.iter().any(|top| ["sources", "sinks"].contains(top));
        names.push(if is_named_by_operator {
            "*"
        } else {
            name.as_str()
        });
    }
    names.join(".")
}
