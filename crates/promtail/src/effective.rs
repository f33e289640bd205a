//! The configuration as it is used: defaults and flags in it, secrets hidden.

use tailwater_yaml::KeyPath;

use crate::emit::{Doc, Map, Purpose, SECRET, text};
use crate::load::Loaded;
use crate::model::{Client, Config};
use crate::quantity::GoDuration;

/// Writes the configuration as it is used, in Promtail's form: with defaults, with the flags over it,
/// `client` in `clients`, and `<secret>` for each secret.
///
/// It is for people, as `-print-config-stderr` and `/config`, and no configuration to be read again.
pub fn effective_config(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut top = Map::default();
    top.put("server", server(config));
    top.put(
        "clients",
        Doc::List(loaded.clients.iter().map(client).collect()),
    );
    let positions = &config.positions;
    let mut map = Map::default();
    shown(
        &mut map,
        "filename",
        positions
            .filename
            .as_deref()
            .unwrap_or("/var/log/positions.yaml"),
    );
    map.plain("sync_period", go(positions.sync_period, "10s"));
    map.plain(
        "ignore_invalid_yaml",
        positions.ignore_invalid_yaml.unwrap_or(false),
    );
    top.put("positions", map.into_doc());
    let jobs = loaded.tree.at(&KeyPath::default().key("scrape_configs"));
    let jobs = jobs.map_or(Doc::List(Vec::new()), |jobs| Doc::of(jobs, Purpose::Shown));
    top.put("scrape_configs", jobs);
    let mut map = Map::default();
    map.plain("sync_period", go(config.target_config.sync_period, "10s"));
    map.plain("stdin", loaded.is_stdin());
    top.put("target_config", map.into_doc());
    top.put("limits_config", limits(config));
    let watch = &config.global.file_watch_config;
    let mut map = Map::default();
    map.plain("min_poll_frequency", go(watch.min_poll_frequency, "250ms"));
    map.plain("max_poll_frequency", go(watch.max_poll_frequency, "250ms"));
    let mut global = Map::default();
    global.put("file_watch_config", map.into_doc());
    top.put("global", global.into_doc());
    top.into_doc().render()
}

/// Writes each client as it is used, as [`effective_config`] does.
pub fn effective_clients(loaded: &Loaded) -> Vec<String> {
    let clients = loaded.clients.iter();
    clients.map(|known| client(known).render()).collect()
}

fn shown(map: &mut Map, key: &str, value: &str) {
    map.put(key, Doc::Scalar(text(value, Purpose::Shown)));
}

fn go(duration: Option<GoDuration>, default: &str) -> String {
    duration.map_or_else(|| default.to_owned(), |duration| duration.to_string())
}

fn server(config: &Config) -> Doc {
    let server = &config.server;
    let mut map = Map::default();
    shown(
        &mut map,
        "http_listen_address",
        server.http_listen_address.as_deref().unwrap_or(""),
    );
    map.plain("http_listen_port", server.http_listen_port.unwrap_or(80));
    shown(
        &mut map,
        "http_path_prefix",
        server.http_path_prefix.as_deref().unwrap_or(""),
    );
    map.plain(
        "graceful_shutdown_timeout",
        go(server.graceful_shutdown_timeout, "30s"),
    );
    shown(
        &mut map,
        "log_level",
        server.log_level.as_deref().unwrap_or("info"),
    );
    shown(
        &mut map,
        "log_format",
        server.log_format.as_deref().unwrap_or("logfmt"),
    );
    map.plain("disable", server.disable.unwrap_or(false));
    map.plain(
        "enable_runtime_reload",
        server.enable_runtime_reload.unwrap_or(false),
    );
    map.plain(
        "health_check_target",
        server.health_check_target.unwrap_or(true),
    );
    map.into_doc()
}

fn client(client: &Client) -> Doc {
    let mut map = Map::default();
    if let Some(name) = &client.name {
        shown(&mut map, "name", name);
    }
    let url = client.url.as_ref().map_or("", |url| url.0.as_str());
    shown(&mut map, "url", &without_secrets(url));
    map.plain("batchwait", go(client.batchwait, "1s"));
    map.plain("batchsize", client.batchsize.unwrap_or(1 << 20));
    let backoff = &client.backoff_config;
    let mut periods = Map::default();
    periods.plain("min_period", go(backoff.min_period, "500ms"));
    periods.plain("max_period", go(backoff.max_period, "5m"));
    // Without the key nothing is given up, which Promtail writes as 0.
    periods.plain("max_retries", backoff.max_retries.unwrap_or(0));
    map.put("backoff_config", periods.into_doc());
    map.plain("timeout", go(client.timeout, "10s"));
    if !client.external_labels.0.is_empty() {
        let labels = client.external_labels.0.iter();
        let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
        map.put("external_labels", Doc::pairs(labels, Purpose::Shown));
    }
    if let Some(tenant) = &client.tenant_id {
        shown(&mut map, "tenant_id", tenant);
    }
    map.plain(
        "drop_rate_limited_batches",
        client.drop_rate_limited_batches.unwrap_or(false),
    );
    put_secrets(&mut map, client);
    map.into_doc()
}

fn put_secrets(map: &mut Map, client: &Client) {
    let secret = |map: &mut Map, key: &str, is_given: bool| {
        if is_given {
            map.plain(key, SECRET);
        }
    };
    if let Some(basic) = &client.basic_auth {
        let mut auth = Map::default();
        shown(
            &mut auth,
            "username",
            basic.username.as_deref().unwrap_or_default(),
        );
        secret(&mut auth, "password", basic.password.is_some());
        if let Some(file) = &basic.password_file {
            shown(&mut auth, "password_file", file);
        }
        map.put("basic_auth", auth.into_doc());
    }
    if let Some(known) = &client.authorization {
        let mut auth = Map::default();
        shown(&mut auth, "type", known.kind.as_deref().unwrap_or("Bearer"));
        secret(&mut auth, "credentials", known.credentials.is_some());
        if let Some(file) = &known.credentials_file {
            shown(&mut auth, "credentials_file", file);
        }
        map.put("authorization", auth.into_doc());
    }
    secret(map, "bearer_token", client.bearer_token.is_some());
    if let Some(file) = &client.bearer_token_file {
        shown(map, "bearer_token_file", file);
    }
    if !client.headers.0.0.is_empty() {
        let names = client.headers.0.0.iter().map(|(name, _)| name.as_str());
        let headers = names.map(|name| (name, SECRET));
        map.put("headers", Doc::pairs(headers, Purpose::Shown));
    }
    secret(map, "proxy_url", client.proxy_url.is_some());
}

/// A URL may hold a password, and a token in its query.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
            match authority.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://{SECRET}@{host}{path}"),
                None => url.to_owned(),
            }
        }
        None => url.to_owned(),
    }
}

fn limits(config: &Config) -> Doc {
    let limits = &config.limits_config;
    let mut map = Map::default();
    map.plain("readline_rate", limits.readline_rate.unwrap_or(10_000.0));
    map.plain("readline_burst", limits.readline_burst.unwrap_or(10_000));
    map.plain(
        "readline_rate_enabled",
        limits.readline_rate_enabled.unwrap_or(false),
    );
    map.plain(
        "readline_rate_drop",
        limits.readline_rate_drop.unwrap_or(true),
    );
    map.plain("max_streams", limits.max_streams.unwrap_or(0));
    map.plain(
        "max_line_size",
        limits.max_line_size.map_or(0, |size| size.0),
    );
    map.plain(
        "max_line_size_truncate",
        limits.max_line_size_truncate.unwrap_or(false),
    );
    map.into_doc()
}
