//! Clients become sinks.

use crate::check::{bearer_of, is_sent};
use crate::emit::{Doc, Map, Purpose};
use crate::load::Loaded;
use crate::model::{Client, Secret, TlsConfig};
use crate::quantity::{ByteSize, GoDuration};

/// The queue of a sink, unless its batches need more.
const DEFAULT_QUEUE_BYTES: u64 = 4 << 20;

/// Batches in memory of all sinks, unless their queues need more.
const DEFAULT_MEMORY_BYTES: u64 = 64 << 20;

/// Promtail's waits between attempts, for the one that is not given where the other is.
const MIN_PERIOD: GoDuration = GoDuration(std::time::Duration::from_millis(500));
const MAX_PERIOD: GoDuration = GoDuration(std::time::Duration::from_secs(300));

/// Makes the sinks, and the memory limit where they need more than there is without it.
pub(super) fn sinks(
    loaded: &Loaded,
    notes: &mut Vec<String>,
) -> (Vec<(String, Doc)>, Option<ByteSize>) {
    let mut names: Vec<String> = Vec::new();
    let mut sinks = Vec::new();
    let mut queues = 0_u64;
    for client in &loaded.clients {
        let wanted = client.name.as_deref().filter(|name| !name.is_empty());
        let name = super::unique_name(wanted.unwrap_or("client"), &names);
        names.push(name.clone());
        note_retries(&name, client, notes);
        let queue = queue_bytes(client);
        queues = queues.saturating_add(queue.unwrap_or(DEFAULT_QUEUE_BYTES));
        sinks.push((name, sink(client, queue)));
    }
    if sinks.is_empty() {
        sinks.push(("stdout".to_owned(), stdout()));
    }
    let memory = (queues > DEFAULT_MEMORY_BYTES).then_some(ByteSize(queues));
    (sinks, memory)
}

/// A dry run needs no client.
fn stdout() -> Doc {
    let mut file = Map::default();
    file.text("path", "-");
    file.plain("format", "text");
    let mut sink = Map::default();
    sink.put("file", file.into_doc());
    sink.into_doc()
}

fn note_retries(name: &str, client: &Client, notes: &mut Vec<String>) {
    if client.backoff_config.max_retries.is_none() {
        notes.push(format!(
            "sink {name}: Promtail gives a batch up after 10 attempts and loses it; here it is tried until it is taken"
        ));
    }
}

/// Returns what the queue must hold for batches of the size that is wanted, where that is more than it
/// holds anyway.
fn queue_bytes(client: &Client) -> Option<u64> {
    let wanted = client.batchsize.unwrap_or(0).saturating_mul(4);
    Some(wanted).filter(|wanted| *wanted > DEFAULT_QUEUE_BYTES)
}

fn sink(client: &Client, queue: Option<u64>) -> Doc {
    let mut sink = Map::default();
    sink.put("loki", loki(client));
    let labels = client
        .external_labels
        .0
        .iter()
        .filter(|(_, value)| !value.is_empty());
    let labels: Vec<(&str, &str)> = labels
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if !labels.is_empty() {
        sink.comment("A record's own label of the same name wins.");
        sink.put("labels", Doc::pairs(labels, Purpose::Native));
    }
    let mut batch = Map::default();
    batch.plain_if(
        "max_bytes",
        client.batchsize.map(|size| ByteSize(size.max(1))),
    );
    batch.plain_if("max_wait", client.batchwait.map(super::at_least_10ms));
    if !batch.is_empty() {
        sink.put("batch", batch.into_doc());
    }
    if let Some(bytes) = queue {
        let mut queue = Map::default();
        queue.plain("max_bytes", ByteSize(bytes));
        sink.put("queue", queue.into_doc());
    }
    let retry = retry(client);
    if !retry.is_empty() {
        sink.put("retry", retry.into_doc());
    }
    sink.into_doc()
}

fn retry(client: &Client) -> Map {
    let mut retry = Map::default();
    let backoff = &client.backoff_config;
    if backoff.min_period.is_some() || backoff.max_period.is_some() {
        let min = super::at_least_10ms(backoff.min_period.unwrap_or(MIN_PERIOD));
        let max = backoff.max_period.unwrap_or(MAX_PERIOD);
        retry.plain("min_wait", min);
        retry.plain("max_wait", GoDuration(max.0.max(min.0)));
    }
    if let Some(attempts) = backoff.max_retries.filter(|attempts| *attempts > 0) {
        retry.comment(
            "What is not taken by then is lost; without this key, it is tried until it is.",
        );
        retry.plain("max_attempts", attempts);
    }
    if client.drop_rate_limited_batches == Some(true) {
        retry.plain("drop_rate_limited", true);
    }
    retry
}

fn loki(client: &Client) -> Doc {
    let mut loki = Map::default();
    let url = client.url.as_ref().map_or("", |url| url.0.as_str());
    let (url, user) = without_user(url);
    loki.text("url", &url);
    let header = |wanted: &str| {
        let mut headers = client.headers.0.0.iter();
        headers
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str())
    };
    let tenant = text(client.tenant_id.as_deref());
    if let Some(tenant) = tenant.or(text(header("x-scope-orgid"))) {
        loki.text("tenant", tenant);
    }
    let has_credentials = put_credentials(&mut loki, client);
    if !has_credentials {
        match (user, header("authorization").and_then(bearer_of)) {
            (Some((user, password)), _) => put_basic_auth(&mut loki, &user, Some(&password), None),
            (None, Some(token)) => loki.text("bearer_token", token),
            (None, None) => {}
        }
    }
    let headers = client.headers.0.0.iter().filter(|(name, _)| is_sent(name));
    let headers: Vec<(&str, &str)> = headers
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if !headers.is_empty() {
        loki.put("headers", Doc::pairs(headers, Purpose::Native));
    }
    let tls = tls(&client.tls_config);
    if !tls.is_empty() {
        loki.put("tls", tls.into_doc());
    }
    match &client.proxy_url {
        Some(proxy) if !proxy.0.is_empty() => loki.text("proxy_url", &proxy.0),
        _ if client.proxy_from_environment == Some(true) => {}
        _ => {
            loki.comment("Promtail takes no proxy from the environment unless it is told to.");
            loki.text("proxy_url", "");
        }
    }
    loki.plain_if("timeout", client.timeout.map(super::at_least_10ms));
    loki.into_doc()
}

/// Puts user, password and token; returns whether there are any. An empty text is none.
fn put_credentials(loki: &mut Map, client: &Client) -> bool {
    if let Some(basic) = &client.basic_auth {
        let user = basic.username.as_deref().unwrap_or_default();
        let (password, file) = (
            secret(basic.password.as_ref()),
            text(basic.password_file.as_deref()),
        );
        put_basic_auth(loki, user, password, file);
        return true;
    }
    let authorization = client.authorization.as_ref();
    let token = secret(client.bearer_token.as_ref());
    let token =
        token.or_else(|| authorization.and_then(|known| secret(known.credentials.as_ref())));
    let file = text(client.bearer_token_file.as_deref());
    let file =
        file.or_else(|| authorization.and_then(|known| text(known.credentials_file.as_deref())));
    if let Some(token) = token {
        loki.text("bearer_token", token);
    }
    if let Some(file) = file {
        loki.text("bearer_token_file", file);
    }
    token.is_some() || file.is_some()
}

fn text(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn secret(secret: Option<&Secret>) -> Option<&str> {
    text(secret.map(|secret| secret.0.as_str()))
}

fn put_basic_auth(loki: &mut Map, user: &str, password: Option<&str>, file: Option<&str>) {
    let mut basic = Map::default();
    basic.text("username", user);
    match (password, file) {
        (Some(password), _) => basic.text("password", password),
        (None, Some(file)) => basic.text("password_file", file),
        (None, None) => basic.text("password", ""),
    }
    loki.put("basic_auth", basic.into_doc());
}

fn tls(config: &TlsConfig) -> Map {
    let mut tls = Map::default();
    let files = [
        ("ca_file", &config.ca_file),
        ("cert_file", &config.cert_file),
        ("key_file", &config.key_file),
    ];
    for (key, file) in files {
        if let Some(file) = file.as_deref().filter(|file| !file.is_empty()) {
            tls.text(key, file);
        }
    }
    if config.insecure_skip_verify == Some(true) {
        tls.plain("danger_accept_invalid_certs", true);
    }
    tls
}

/// Takes user and password out of a URL; Promtail sends them as basic authentication.
fn without_user(url: &str) -> (String, Option<(String, String)>) {
    let plain = || (url.to_owned(), None);
    let Some((scheme, rest)) = url.split_once("://") else {
        return plain();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((authority, path)) = rest.split_at_checked(end) else {
        return plain();
    };
    let Some((user_info, host)) = authority.rsplit_once('@') else {
        return plain();
    };
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let user = (percent_decoded(user), percent_decoded(password));
    (format!("{scheme}://{host}{path}"), Some(user))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        if let Some(byte) = byte.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
