//! Flags over the configuration.

use super::{Flags, Value};
use crate::model::{Client, Config, Secret, Server};
use crate::quantity::{self, ByteSize, GoDuration};

/// Puts what the flags say over what the configuration says. Returns the flags that have no effect here.
pub(crate) fn apply(flags: &Flags, config: &mut Config) -> Vec<&'static str> {
    let mut ignored = Vec::new();
    for (name, value) in flags.overrides() {
        let is_known = to_client(&mut config.client, name, value)
            || to_server(&mut config.server, name, value)
            || to_limits(config, name, value)
            || to_rest(config, name, value);
        if !is_known {
            ignored.push(*name);
        }
    }
    ignored
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.0.clone()),
        Value::Bool(_) | Value::Pairs(_) => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Text(_) | Value::Pairs(_) => None,
    }
}

/// The value was checked for its kind when it was read.
fn number<T: std::str::FromStr>(value: &Value) -> Option<T> {
    text(value)?.parse().ok()
}

fn duration(value: &Value) -> Option<GoDuration> {
    quantity::parse_duration(&text(value)?).ok().map(GoDuration)
}

fn to_client(client: &mut Client, name: &str, value: &Value) -> bool {
    match name {
        "client.url" => client.url = text(value).map(Secret),
        "client.batch-wait" => client.batchwait = duration(value),
        "client.batch-size-bytes" => client.batchsize = number(value),
        "client.max-retries" => client.backoff_config.max_retries = number(value),
        "client.min-backoff" => client.backoff_config.min_period = duration(value),
        "client.max-backoff" => client.backoff_config.max_period = duration(value),
        "client.timeout" => client.timeout = duration(value),
        "client.tenant-id" => client.tenant_id = text(value),
        "client.drop-rate-limited-batches" => client.drop_rate_limited_batches = boolean(value),
        "client.external-labels" => {
            if let Value::Pairs(pairs) = value {
                client.external_labels = pairs.clone();
            }
        }
        _ => return false,
    }
    true
}

fn to_server(server: &mut Server, name: &str, value: &Value) -> bool {
    let tls = &mut server.http_tls_config;
    match name {
        "server.http-listen-address" => server.http_listen_address = text(value),
        "server.http-listen-port" => server.http_listen_port = number(value),
        "server.path-prefix" => server.http_path_prefix = text(value),
        "server.graceful-shutdown-timeout" => server.graceful_shutdown_timeout = duration(value),
        "server.disable" => server.disable = boolean(value),
        "server.profiling_enabled" => server.profiling_enabled = boolean(value),
        "server.enable-runtime-reload" => server.enable_runtime_reload = boolean(value),
        "server.proxy-protocol-enabled" => server.proxy_protocol_enabled = boolean(value),
        "server.http-tls-cert-path" => tls.cert_file = text(value),
        "server.http-tls-key-path" => tls.key_file = text(value),
        "server.http-tls-client-auth" => tls.client_auth_type = text(value),
        "server.http-tls-ca-path" => tls.client_ca_file = text(value),
        "log.level" => server.log_level = text(value),
        "log.format" => server.log_format = text(value),
        _ => return false,
    }
    true
}

fn to_limits(config: &mut Config, name: &str, value: &Value) -> bool {
    let limits = &mut config.limits_config;
    match name {
        "limit.readline-rate" => limits.readline_rate = number(value),
        "limit.readline-burst" => limits.readline_burst = number(value),
        "limit.readline-rate-enabled" => limits.readline_rate_enabled = boolean(value),
        "limit.readline-rate-drop" => limits.readline_rate_drop = boolean(value),
        "max-streams" => limits.max_streams = number(value),
        "max-line-size" => {
            let size = text(value).and_then(|text| quantity::parse_size(&text).ok());
            limits.max_line_size = size.map(ByteSize);
        }
        "max-line-size-truncate" => limits.max_line_size_truncate = boolean(value),
        _ => return false,
    }
    true
}

fn to_rest(config: &mut Config, name: &str, value: &Value) -> bool {
    let file_watch = &mut config.global.file_watch_config;
    match name {
        "positions.file" => config.positions.filename = text(value),
        "positions.sync-period" => config.positions.sync_period = duration(value),
        "positions.ignore-invalid-yaml" => config.positions.ignore_invalid_yaml = boolean(value),
        "target.sync-period" => config.target_config.sync_period = duration(value),
        "stdin" => config.target_config.stdin = boolean(value),
        "file-watch.min_poll_frequency" => file_watch.min_poll_frequency = duration(value),
        "file-watch.max_poll_frequency" => file_watch.max_poll_frequency = duration(value),
        "tracing.enabled" => config.tracing.enabled = boolean(value),
        "wal.enabled" => config.wal.enabled = boolean(value),
        _ => return false,
    }
    true
}
