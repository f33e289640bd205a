//! How keys are written, and what is said about keys that are known from elsewhere.

use tailwater_yaml::{Guide, KeyPath, Step};

/// What is known of the keys, for diagnostics.
pub(crate) const GUIDE: Guide = Guide { example, not_here };

/// Indexes of lists are left out of the paths.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "server",
        "server: { http_listen_port: 9080, grpc_listen_port: 0 }",
    ),
    ("server.http_listen_port", "http_listen_port: 9080"),
    (
        "server.http_listen_address",
        "http_listen_address: 127.0.0.1",
    ),
    ("server.log_level", "log_level: info"),
    ("server.log_format", "log_format: logfmt"),
    (
        "positions",
        "positions: { filename: /run/promtail/positions.yaml }",
    ),
    (
        "positions.filename",
        "filename: /run/promtail/positions.yaml",
    ),
    (
        "client",
        "client: { url: \"http://loki:3100/loki/api/v1/push\" }",
    ),
    ("client.url", "url: http://loki:3100/loki/api/v1/push"),
    (
        "clients",
        "clients: [{ url: \"http://loki:3100/loki/api/v1/push\" }]",
    ),
    ("clients.url", "url: http://loki:3100/loki/api/v1/push"),
    ("clients.batchwait", "batchwait: 1s"),
    ("clients.batchsize", "batchsize: 1048576"),
    ("clients.timeout", "timeout: 10s"),
    (
        "clients.backoff_config",
        "backoff_config: { min_period: 500ms, max_period: 5m }",
    ),
    ("clients.backoff_config.min_period", "min_period: 500ms"),
    ("clients.backoff_config.max_period", "max_period: 5m"),
    ("clients.backoff_config.max_retries", "max_retries: 0"),
    (
        "clients.external_labels",
        "external_labels: { host: web-1 }",
    ),
    (
        "clients.basic_auth",
        "basic_auth: { username: shop, password_file: /etc/promtail/password }",
    ),
    (
        "clients.tls_config",
        "tls_config: { ca_file: /etc/promtail/ca.pem }",
    ),
    (
        "scrape_configs",
        "scrape_configs: [{ job_name: system, static_configs: [{ labels: { __path__: /var/log/*.log } }] }]",
    ),
    ("scrape_configs.job_name", "job_name: system"),
    (
        "scrape_configs.pipeline_stages",
        "pipeline_stages: [{ cri: {} }]",
    ),
    (
        "scrape_configs.static_configs",
        "static_configs: [{ targets: [localhost], labels: { job: system, __path__: /var/log/*.log } }]",
    ),
    (
        "scrape_configs.static_configs.labels",
        "labels: { job: system, __path__: /var/log/*.log }",
    ),
    (
        "scrape_configs.file_sd_configs",
        "file_sd_configs: [{ files: [/etc/promtail/targets/*.yml] }]",
    ),
    (
        "scrape_configs.file_sd_configs.files",
        "files: [/etc/promtail/targets/*.yml]",
    ),
    (
        "scrape_configs.relabel_configs",
        "relabel_configs: [{ source_labels: [__address__], target_label: host }]",
    ),
    ("scrape_configs.encoding", "encoding: utf-16le"),
    (
        "scrape_configs.decompression",
        "decompression: { enabled: true, format: gz }",
    ),
    ("target_config", "target_config: { sync_period: 10s }"),
    (
        "limits_config",
        "limits_config: { readline_rate_enabled: true, readline_rate: 10000 }",
    ),
    ("limits_config.max_line_size", "max_line_size: 256kb"),
];

const NOT_HERE: &[(&str, &str)] = &[
    ("sources", NATIVE),
    ("sinks", NATIVE),
    ("data_dir", NATIVE),
    (
        "scrape_configs.static_config",
        "it is a list, and its name ends with an s: `static_configs: [{ labels: { … } }]`",
    ),
    (
        "scrape_configs.azure_event_hub",
        "the key is `azure_event_hubs`, and this version does not read from there",
    ),
    (
        "options.stream_lag_labels",
        "Promtail has removed this key; the lag of each file is always measured: remove it",
    ),
    ("clients.batch_wait", "in the file it is `batchwait`"),
    ("clients.batch_size", "in the file it is `batchsize`"),
];

const NATIVE: &str =
    "this is a key of the native form: one file is either in that form or in Promtail's";

fn example(path: &KeyPath) -> Option<&'static str> {
    find(EXAMPLES, path)
}

fn not_here(path: &KeyPath) -> Option<&'static str> {
    find(NOT_HERE, path)
}

fn find(table: &[(&str, &'static str)], path: &KeyPath) -> Option<&'static str> {
    let names = path.0.iter().filter_map(|step| match step {
        Step::Key(name) => Some(name.as_str()),
        Step::Index(_) => None,
    });
    let pattern = names.collect::<Vec<_>>().join(".");
    let found = table.iter().find(|(known, _)| *known == pattern);
    found.map(|(_, text)| *text)
}
