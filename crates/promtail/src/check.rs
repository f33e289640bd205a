//! What the types cannot say: what Promtail refuses, what this version does not do, and what it does
//! otherwise.

mod client;
mod job;
mod stages;

use tailwater_yaml::{Checker, KeyPath, Node};

use crate::flags::Flags;
use crate::load::{Host, line_of};
use crate::model::{Client, Config, Server};
use crate::relabel::Rule;

pub(crate) use client::{bearer_of, is_sent};
pub(crate) use job::{archive_of, encoding_of};

/// What a check makes.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) clients: Vec<Client>,
    pub(crate) rules: Vec<Vec<Rule>>,
    pub(crate) notes: Vec<String>,
}

/// Notes, each with the line of its key.
pub(crate) struct Notes<'a> {
    tree: &'a Node,
    notes: Vec<String>,
}

impl Notes<'_> {
    /// Adds what is to be said about a key.
    pub(crate) fn add(&mut self, path: &KeyPath, what: &str) {
        let note = match line_of(self.tree, path) {
            Some(line) => format!("line {line}, `{path}`: {what}"),
            None => format!("`{path}`: {what}"),
        };
        self.notes.push(note);
    }
}

/// Checks a configuration; what is wrong with it is in the checker.
pub(crate) fn check(
    checker: &mut Checker<'_>,
    tree: &Node,
    config: &Config,
    flags: &Flags,
    host: &Host,
) -> Checked {
    let mut notes = Notes {
        tree,
        notes: Vec::new(),
    };
    check_server(checker, &mut notes, &config.server);
    check_rest(checker, &mut notes, config);
    let clients = client::check_all(checker, &mut notes, config, flags);
    let is_stdin = config.target_config.stdin.unwrap_or(false);
    let rules = job::check_all(checker, &mut notes, &config.scrape_configs, is_stdin, host);
    Checked {
        clients,
        rules,
        notes: notes.notes,
    }
}

fn check_server(checker: &mut Checker<'_>, notes: &mut Notes<'_>, server: &Server) {
    let path = KeyPath::default().key("server");
    let words: [(&str, &Option<String>, &[&str]); 2] = [
        (
            "log_level",
            &server.log_level,
            &["debug", "info", "warn", "error"],
        ),
        ("log_format", &server.log_format, &["logfmt", "json"]),
    ];
    for (key, word, valid) in words {
        if word
            .as_ref()
            .is_some_and(|word| !valid.contains(&word.as_str()))
        {
            let message = format!("`{path}.{key}` is not one of the words it may be");
            checker.fail_word(&path.key(key), message, valid);
        }
    }
    if listen_address(server).is_none() {
        checker.fail(
            &path.key("http_listen_address"),
            "this is not an IP address",
            "write the address itself, as in `127.0.0.1`, or leave it empty for all",
        );
    }
    if server.http_tls_config.is_on() {
        checker.fail_key(
            &path.key("http_tls_config"),
            "this version serves its status without TLS only",
            "remove the block, and put a proxy with TLS before it, or `http_listen_address: 127.0.0.1`",
        );
    }
    if server.proxy_protocol_enabled == Some(true) {
        checker.fail_key(
            &path.key("proxy_protocol_enabled"),
            "this version does not speak the PROXY protocol",
            "remove the key, and let the proxy speak HTTP alone",
        );
    }
    note_server(notes, &path, server);
}

/// Says what of the server has no effect.
fn note_server(notes: &mut Notes<'_>, path: &KeyPath, server: &Server) {
    let without_effect: [(&str, bool, &str); 3] = [
        (
            "profiling_enabled",
            server.profiling_enabled == Some(true),
            "there is no Go profile here",
        ),
        (
            "external_url",
            server.external_url.is_some(),
            "it has no effect: no page has links out",
        ),
        (
            "register_instrumentation",
            server.register_instrumentation == Some(false),
            "metrics are served all the same",
        ),
    ];
    for (key, is_given, what) in without_effect {
        if is_given {
            notes.add(&path.key(key), what);
        }
    }
    for key in server.ignored_keys() {
        notes.add(&path.key(key), NO_EFFECT);
    }
}

const NO_EFFECT: &str = "it has no effect here";

/// Returns the address of the HTTP server as an IP address; `None` where it is none.
pub(crate) fn listen_address(server: &Server) -> Option<std::net::IpAddr> {
    match server
        .http_listen_address
        .as_deref()
        .unwrap_or_default()
        .trim()
    {
        "" => Some(std::net::Ipv4Addr::UNSPECIFIED.into()),
        "localhost" => Some(std::net::Ipv4Addr::LOCALHOST.into()),
        address => address.trim_matches(['[', ']']).parse().ok(),
    }
}

fn check_rest(checker: &mut Checker<'_>, notes: &mut Notes<'_>, config: &Config) {
    let top = KeyPath::default();
    let positions = &config.positions;
    if positions.filename.as_ref().is_some_and(String::is_empty) {
        checker.fail(
            &top.key("positions").key("filename"),
            "the name of the positions file is empty",
            "name a file beside which the agent may write",
        );
    }
    if config.wal.enabled == Some(true) {
        checker.fail_key(
            &top.key("wal"),
            "Promtail's write-ahead log is not in this version",
            "remove the block: positions move only when lines are delivered, so files are the log; \
             a spill to disk is `when_full: spill` in the native form (`tailwater convert`)",
        );
    }
    if config.tracing.enabled == Some(true) {
        notes.add(&top.key("tracing"), "traces are not sent from here");
    }
    if positions.sync_period.is_some() {
        let what = "positions are made durable every second, whatever this says";
        notes.add(&top.key("positions").key("sync_period"), what);
    }
    if positions.ignore_invalid_yaml == Some(true) {
        let what = "it has no effect: our positions are a journal with checksums";
        notes.add(&top.key("positions").key("ignore_invalid_yaml"), what);
    }
    let limits = top.key("limits_config");
    if config
        .limits_config
        .max_streams
        .is_some_and(|limit| limit > 0)
    {
        let what = "it has no effect: no line is dropped for the number of its streams";
        notes.add(&limits.key("max_streams"), what);
    }
    let rate = config.limits_config.readline_rate;
    if rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0)
        && config.limits_config.readline_rate_enabled == Some(true)
    {
        checker.fail(
            &limits.key("readline_rate"),
            "no line would ever pass",
            "give a rate of lines per second above 0",
        );
    }
}
