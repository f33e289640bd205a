//! The endpoints under which Promtail is asked: health checks and bookmarks made for it go on working.
//!
//! Paths, statuses and the words of `/ready` are Promtail's; the pages are ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tailwater_engine::FileStatus;

use super::Desk;
use super::reload::Source;

/// Words that health checks may look for.
const READY: &str = "Ready";
const NOT_READY: &str = "Not ready: Unable to find any logs to tail. Please verify permissions, \
                         volumes, scrape_config, etc.\n";

/// Files listed per source; all of them stand in `/api/v1/status`.
const MAX_FILES: usize = 1000;

/// Adds them.
pub(super) fn routes(router: Router<Desk>, prefix: &str) -> Router<Desk> {
    let at = |path: &str| format!("{prefix}{path}");
    let router = router
        .route(&at("/"), get(root))
        .route(&at("/ready"), get(ready))
        .route(&at("/targets"), get(targets))
        .route(&at("/service-discovery"), get(service_discovery))
        .route(&at("/config"), get(config));
    if prefix.is_empty() {
        return router;
    }
    router.route(prefix, get(root))
}

async fn root(State(desk): State<Desk>) -> Response {
    let target = format!("{}/targets", desk.site.server.path_prefix);
    (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response()
}

/// Ready once there is a file to read, as Promtail is once one of its targets has a tailer.
async fn ready(State(desk): State<Desk>) -> Response {
    let has_files = || desk.engine.has_scanned() && desk.engine.status().tailing.files > 0;
    if desk.site.server.ready_without_targets || has_files() {
        return READY.into_response();
    }
    (StatusCode::INTERNAL_SERVER_ERROR, NOT_READY).into_response()
}

async fn config(State(desk): State<Desk>) -> Response {
    let config = escape(&desk.site.running().config);
    html(&desk, "Config", &format!("<pre>{config}</pre>\n"))
}

async fn targets(State(desk): State<Desk>) -> Response {
    let Some(status) = super::full_status(&desk).await else {
        return super::no_status();
    };
    let mut body = String::new();
    for source in &desk.site.running().sources {
        let files = files_of(source, &status.files);
        put_source(&mut body, source, &files);
    }
    html(&desk, "Targets", &body)
}

async fn service_discovery(State(desk): State<Desk>) -> Response {
    let Some(status) = super::full_status(&desk).await else {
        return super::no_status();
    };
    let mut body = String::from(
        "<table><tr><th>Source</th><th>Labels</th><th>Files</th><th>Ready</th></tr>\n",
    );
    for source in &desk.site.running().sources {
        let files = files_of(source, &status.files).len();
        // Writing to a string cannot fail, here and below.
        writeln!(
            body,
            "<tr><td>{}</td><td>{}</td><td>{files}</td><td>{}</td></tr>",
            escape(&source.name),
            escape(&labels_of(source)),
            files > 0
        )
        .ok();
    }
    body.push_str("</table>\n");
    html(&desk, "Service Discovery", &body)
}

/// Returns the files of a source, each once: sinks read a file each for themselves.
fn files_of<'s>(source: &Source, files: &'s [FileStatus]) -> Vec<&'s FileStatus> {
    let mut seen = BTreeSet::new();
    files
        .iter()
        .filter(|file| file.source == source.name && seen.insert((file.device, file.inode)))
        .collect()
}

fn labels_of(source: &Source) -> String {
    let labels: BTreeMap<&str, &str> = source
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

fn put_source(body: &mut String, source: &Source, files: &[&FileStatus]) {
    writeln!(
        body,
        "<h2>{} ({} files)</h2>\n<p>{}</p>\n<table>\
         <tr><th>Path</th><th>Position</th><th>Read</th><th>Size</th></tr>",
        escape(&source.name),
        files.len(),
        escape(&labels_of(source))
    )
    .ok();
    for file in files.iter().take(MAX_FILES) {
        writeln!(
            body,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&file.path.to_string_lossy()),
            file.acked_offset,
            file.read_offset,
            file.size_bytes
        )
        .ok();
    }
    body.push_str("</table>\n");
    let left_out = files.len().saturating_sub(MAX_FILES);
    if left_out > 0 {
        writeln!(body, "<p>{left_out} more in the status</p>").ok();
    }
}

fn html(desk: &Desk, title: &str, body: &str) -> Response {
    let prefix = &desk.site.server.path_prefix;
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>{title} - tailwater</title></head>\n<body>\n\
         <p><a href=\"{prefix}/targets\">Targets</a> | \
         <a href=\"{prefix}/service-discovery\">Service Discovery</a> | \
         <a href=\"{prefix}/config\">Config</a> | <a href=\"{prefix}/status\">Status</a> | \
         <a href=\"{prefix}/metrics\">Metrics</a></p>\n<h1>{title}</h1>\n{body}</body></html>\n"
    );
    // Nothing of the page is ever to run, whatever stands in a path.
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page).into_response()
}

/// Makes a text that stands for itself in HTML; control characters become visible.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push('\n'),
            control if control.is_control() => escaped.extend(control.escape_default()),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_text_and_nothing_else() {
        assert_eq!(
            escape("/a<script>'\"&\u{1b}[1m\n"),
            "/a&lt;script&gt;&#39;&quot;&amp;\\u{1b}[1m\n"
        );
    }

    #[test]
    fn labels_are_shown_as_a_selector() {
        let source = Source {
            name: "a".to_owned(),
            labels: vec![("job".to_owned(), "a\"b".to_owned())],
        };
        assert_eq!(labels_of(&source), "{job=\"a\\\"b\"}");
    }
}
