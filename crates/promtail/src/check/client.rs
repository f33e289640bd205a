//! Checking clients.

use tailwater_yaml::{Checker, KeyPath};

use super::Notes;
use crate::flags::Flags;
use crate::model::{Client, Config, Secret};

/// Headers that Promtail sets itself, whatever the configuration says.
pub(crate) const PROMTAILS_HEADERS: [&str; 3] = ["content-type", "user-agent", "content-encoding"];

/// Headers that no client may set.
const TRANSPORT_HEADERS: [&str; 4] = ["content-length", "transfer-encoding", "connection", "host"];

/// Checks all clients, and returns them as they are used: `clients`, then `client`.
pub(super) fn check_all(
    checker: &mut Checker<'_>,
    notes: &mut Notes<'_>,
    config: &Config,
    flags: &Flags,
) -> Vec<Client> {
    let top = KeyPath::default();
    let mut clients: Vec<(KeyPath, Client)> = Vec::new();
    for (index, client) in config.clients.iter().enumerate() {
        clients.push((top.key("clients").index(index), client.clone()));
    }
    if config.client.url.is_some() {
        clients.push((top.key("client"), config.client.clone()));
    }
    if clients.is_empty() && !flags.dry_run {
        checker.fail_key(
            &top.key("clients"),
            "client needs target URL: there is no client",
            "say where lines go: `clients: [{ url: \"http://loki:3100/loki/api/v1/push\" }]`",
        );
    }
    for (path, client) in &mut clients {
        client
            .external_labels
            .add_missing(&config.client.external_labels);
        check(checker, notes, path, client);
    }
    check_names(checker, &clients);
    clients.into_iter().map(|(_, client)| client).collect()
}

fn check_names(checker: &mut Checker<'_>, clients: &[(KeyPath, Client)]) {
    for (index, (path, client)) in clients.iter().enumerate() {
        let earlier = clients.get(..index).unwrap_or_default();
        let name = client.name.as_deref().filter(|name| !name.is_empty());
        let is_same = |(_, other): &&(KeyPath, Client)| match name {
            Some(name) => other.name.as_deref() == Some(name),
            None => other == client,
        };
        let Some((first, _)) = earlier.iter().find(is_same) else {
            continue;
        };
        let message = match name {
            Some(_) => format!("duplicate client name: `{first}` has it too"),
            None => format!(
                "duplicate client configs are not allowed: `{path}` is the same as `{first}`"
            ),
        };
        let at = if name.is_some() {
            path.key("name")
        } else {
            path.clone()
        };
        checker.fail_key(
            &at,
            message,
            "every line would be sent twice: remove one of them",
        );
    }
}

fn check(checker: &mut Checker<'_>, notes: &mut Notes<'_>, path: &KeyPath, client: &Client) {
    let url = client.url.as_ref().map_or("", |url| url.0.as_str());
    if url.is_empty() {
        let help = "add the push URL: `url: http://loki:3100/loki/api/v1/push`";
        checker.fail_key(path, "client needs target URL", help);
    } else if !url.starts_with("http://") && !url.starts_with("https://") {
        let help = "begin it with `http://` or `https://`";
        checker.fail(&path.key("url"), "this is not a URL of HTTP", help);
    }
    for (name, _) in &client.external_labels.0 {
        if !crate::relabel::is_label_name(name) {
            let help = "use letters, digits and `_`, not starting with a digit";
            let at = path.key("external_labels").key(name);
            checker.fail_key(&at, "this is not the name of a label", help);
        }
    }
    check_credentials(checker, path, client);
    check_foreign(checker, path, client);
    check_headers(notes, checker, path, client);
    check_tls_versions(notes, checker, path, client);
    let ignored = [
        (
            "follow_redirects",
            client.follow_redirects.is_some(),
            "redirects are never followed: a push that is redirected is an error",
        ),
        (
            "enable_http2",
            client.enable_http2.is_some(),
            "HTTP/1.1 is spoken, as by Promtail",
        ),
        (
            "queue_config",
            client.queue_config.is_some(),
            "it has no effect without the write-ahead log",
        ),
    ];
    for (key, is_given, what) in ignored {
        if is_given {
            notes.add(&path.key(key), what);
        }
    }
}

fn check_credentials(checker: &mut Checker<'_>, path: &KeyPath, client: &Client) {
    // An empty text is none, as in Promtail: who writes files from templates has many of them.
    let given = [
        ("basic_auth", client.basic_auth.is_some()),
        ("authorization", client.authorization.is_some()),
        ("bearer_token", is_given(client.bearer_token.as_ref())),
        (
            "bearer_token_file",
            client
                .bearer_token_file
                .as_ref()
                .is_some_and(|file| !file.is_empty()),
        ),
    ];
    let mut given = given.iter().filter(|(_, is_given)| *is_given);
    if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
        let message = format!("`{second}` stands beside `{first}`");
        checker.fail_key(
            &path.key(second),
            message,
            "a client has one way to say who it is",
        );
    }
    let kind = client
        .authorization
        .as_ref()
        .and_then(|known| known.kind.as_deref());
    let kind = kind.map(str::trim).filter(|kind| !kind.is_empty());
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        checker.fail(
            &path.dotted("authorization.type"),
            "this version sends only `Bearer`",
            "use `basic_auth` for user and password, or `headers` for any other header",
        );
    }
}

fn is_given(secret: Option<&Secret>) -> bool {
    secret.is_some_and(|secret| !secret.0.is_empty())
}

/// What the native form has no key for.
fn check_foreign(checker: &mut Checker<'_>, path: &KeyPath, client: &Client) {
    const AS_FILE: &str = "write it into a file and name that: `ca_file`, `cert_file`, `key_file`";
    const AS_PROXY: &str = "let a proxy on this machine do that, and send to it";
    let basic = client.basic_auth.as_ref();
    let tls = &client.tls_config;
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let authorization = client.authorization.as_ref();
    let foreign: [(&str, bool, &str); 15] = [
        ("oauth2", client.oauth2.is_some(), AS_PROXY),
        (
            "proxy_connect_header",
            client.proxy_connect_header.is_some(),
            AS_PROXY,
        ),
        (
            "http_headers",
            client.http_headers.is_some(),
            "write them into `headers: { Name: value }`",
        ),
        (
            "no_proxy",
            is_set(&client.no_proxy) && client.proxy_url.is_some(),
            "remove `proxy_url` for a client that needs no proxy",
        ),
        (
            "basic_auth.username_file",
            basic.is_some_and(|basic| is_set(&basic.username_file)),
            "write the user itself: `username: shop`",
        ),
        (
            "basic_auth.username_ref",
            basic.is_some_and(|basic| is_set(&basic.username_ref)),
            NO_REF,
        ),
        (
            "basic_auth.password_ref",
            basic.is_some_and(|basic| is_set(&basic.password_ref)),
            NO_REF,
        ),
        (
            "authorization.credentials_ref",
            authorization.is_some_and(|known| is_set(&known.credentials_ref)),
            NO_REF,
        ),
        ("tls_config.ca", is_given(tls.ca.as_ref()), AS_FILE),
        ("tls_config.cert", is_given(tls.cert.as_ref()), AS_FILE),
        ("tls_config.key", is_given(tls.key.as_ref()), AS_FILE),
        ("tls_config.ca_ref", is_set(&tls.ca_ref), AS_FILE),
        ("tls_config.cert_ref", is_set(&tls.cert_ref), AS_FILE),
        ("tls_config.key_ref", is_set(&tls.key_ref), AS_FILE),
        (
            "tls_config.server_name",
            is_set(&tls.server_name),
            "use a name in `url` that the certificate holds, in `/etc/hosts` if need be",
        ),
    ];
    for (key, is_given, help) in foreign {
        if is_given {
            let message = format!("`{key}` is not in this version");
            checker.fail_key(&path.dotted(key), message, help);
        }
    }
}

/// TLS 1.2 and 1.3 are spoken, the later one where the server does.
fn check_tls_versions(
    notes: &mut Notes<'_>,
    checker: &mut Checker<'_>,
    path: &KeyPath,
    client: &Client,
) {
    const VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];
    let tls = &client.tls_config;
    for (key, version) in [
        ("min_version", &tls.min_version),
        ("max_version", &tls.max_version),
    ] {
        let Some(version) = version.as_deref().filter(|version| !version.is_empty()) else {
            continue;
        };
        let at = path.key("tls_config").key(key);
        match (key, version) {
            (_, version) if !VERSIONS.contains(&version) => {
                let message = format!("`{key}` is no version of TLS");
                checker.fail_word(&at, message, &VERSIONS);
            }
            ("min_version", "TLS13") => checker.fail_key(
                &at,
                "`tls_config.min_version` is not in this version",
                "remove it: TLS 1.3 is used with every server that speaks it, else TLS 1.2",
            ),
            ("max_version", "TLS10" | "TLS11") => checker.fail_key(
                &at,
                "TLS 1.0 and 1.1 are not spoken",
                "remove it, and let the server speak TLS 1.2 or 1.3",
            ),
            ("min_version", "TLS10" | "TLS11") => {
                notes.add(&at, "it has no effect: TLS 1.2 is the least that is spoken");
            }
            ("max_version", "TLS12") => {
                notes.add(
                    &at,
                    "it has no effect: TLS 1.3 is used with a server that speaks it",
                );
            }
            _ => {}
        }
    }
}

const NO_REF: &str = "write the value, or the name of a file that holds it";

fn check_headers(
    notes: &mut Notes<'_>,
    checker: &mut Checker<'_>,
    path: &KeyPath,
    client: &Client,
) {
    let headers = path.key("headers");
    for (name, value) in &client.headers.0.0 {
        let lower = name.to_ascii_lowercase();
        let at = headers.key(name);
        if PROMTAILS_HEADERS.contains(&lower.as_str()) {
            notes.add(&at, "it is left out: Promtail keeps its own header too");
        } else if TRANSPORT_HEADERS.contains(&lower.as_str()) {
            notes.add(&at, "it is left out: HTTP sets it");
        } else if lower == "authorization" && bearer_of(value).is_none() {
            let help = "use `basic_auth` for user and password";
            checker.fail_key(&at, "only a `Bearer` may stand in this header", help);
        } else if lower == "proxy-authorization" {
            let help = "write user and password into `proxy_url`";
            checker.fail_key(
                &at,
                "this header is for the proxy, and not sent to Loki",
                help,
            );
        }
    }
}

/// Returns the token of an `Authorization` header.
pub(crate) fn bearer_of(value: &str) -> Option<&str> {
    let (kind, token) = value.trim().split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Returns whether a header is sent as it was written.
pub(crate) fn is_sent(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !PROMTAILS_HEADERS.contains(&lower.as_str())
        && !TRANSPORT_HEADERS.contains(&lower.as_str())
        && !["authorization", "x-scope-orgid"].contains(&lower.as_str())
}
