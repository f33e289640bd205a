//! What is accepted, and what it means.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tailwater::config;
use tailwater_engine::{ReadFrom, SeverityForm, WatchBackend};
use tailwater_position_store::promtail::OnInvalid;
use tailwater_tailer::{ArchiveRules, Compression, Encoding, OverLimit};

use super::parse;

const PLAIN: &str = r#"
sources: {bench: {include: ["/x/*.log"], labels: {job: bench}}}
sinks: {out: {loki: {url: "http://127.0.0.1:3100"}}}
"#;

#[test]
fn the_plain_form_has_a_default_for_everything_else() {
    let config = parse(PLAIN).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/tailwater"));
    assert_eq!(
        config.server.listen,
        Some(SocketAddr::from(([127, 0, 0, 1], 9080)))
    );
    assert_eq!(config.shutdown_timeout, Duration::from_secs(10));
    let engine = &config.engine;
    assert_eq!((engine.workers, engine.memory_limit_bytes), (1, 64 << 20));
    assert_eq!(engine.checkpoint_interval, Duration::from_secs(1));
    assert_eq!(engine.tailing.watch, WatchBackend::Auto);
    let source = &engine.sources[0];
    assert_eq!(&*source.name, "bench");
    assert_eq!(source.labels, [("job".to_owned(), "bench".to_owned())]);
    assert_eq!(source.path_label.as_deref(), Some("filename"));
    assert_eq!(source.read_from, ReadFrom::Beginning);
    assert_eq!(source.frame.max_line_bytes, 256 << 10);
    assert_eq!(source.frame.over_limit, OverLimit::Truncate);
    assert_eq!(
        (source.ignore_older, source.partial_line_timeout),
        (None, None)
    );
    assert_eq!(source.sinks, [0]);
    let sink = &engine.sinks[0];
    assert_eq!(&*sink.name, "out");
    assert_eq!(
        (sink.batch.max_bytes, sink.batch.max_wait),
        (1 << 20, Duration::from_secs(1))
    );
    assert_eq!((sink.queue_max_bytes, sink.max_in_flight), (4 << 20, 4));
    assert_eq!(sink.backoff.min, Duration::from_millis(500));
    assert_eq!(sink.backoff.max, Duration::from_secs(30));
    assert_eq!(
        sink.parts.deliver.target(),
        "http://127.0.0.1:3100/loki/api/v1/push"
    );
}

#[test]
fn every_key_of_a_source_reaches_the_engine() {
    let config = parse(
        r#"
sources:
  a:
    include: ["/x/*.log"]
    exclude: ["/x/b*.log"]
    labels: { version: 1.10, live: true }
    path_label: ""
    structured_metadata: { team: shop }
    offset_metadata: offset
    severity: structured_metadata
    tenant: shop
    read_from: end
    ignore_older: 24h
    encoding: utf-16be
    max_line_bytes: 10MB
    over_limit: split
    partial_line_timeout: 5s
    decompression: bzip2
    decompression_delay: 10s
    sinks: [two, one]
sinks:
  one: { loki: { url: "http://loki:3100" } }
  two: { file: { path: /x/out } }
"#,
    )
    .unwrap();
    let source = &config.engine.sources[0];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // The text of the file counts, not what YAML takes it for.
    assert_eq!(
        source.labels,
        [pair("version", "1.10"), pair("live", "true")]
    );
    assert_eq!(source.path_label, None);
    assert_eq!(source.structured_metadata, [pair("team", "shop")]);
    assert_eq!(source.offset_metadata.as_deref(), Some("offset"));
    assert_eq!(source.severity, SeverityForm::StructuredMetadata);
    assert_eq!(source.tenant.as_deref(), Some("shop"));
    assert_eq!(source.read_from, ReadFrom::End);
    assert_eq!(source.ignore_older, Some(Duration::from_secs(86_400)));
    assert_eq!(source.frame.encoding, Encoding::Utf16Be);
    assert_eq!(source.frame.max_line_bytes, 10_000_000);
    assert_eq!(source.frame.over_limit, OverLimit::Split);
    assert_eq!(source.partial_line_timeout, Some(Duration::from_secs(5)));
    let archives = ArchiveRules {
        compression: Some(Compression::Bzip2),
        delay: Duration::from_secs(10),
    };
    assert_eq!(source.archive, Some(archives));
    assert_eq!(source.sinks, [1, 0]);
    assert!(source.patterns.matches(Path::new("/x/a.log")));
    assert!(!source.patterns.matches(Path::new("/x/b.log")));
}

#[test]
fn variables_are_expanded_in_every_kind_of_value() {
    let config = parse(
        r#"
workers: ${WORKERS}
data_dir: ${EMPTY:-/var/lib}/x
sources: { a: { include: ["/x/${HOST_NAME}/*.log"], labels: { host: "${HOST_NAME}", cost: "5$$", any: 'a$b' } } }
sinks: { o: { loki: { url: "http://loki:3100", bearer_token: "${TOKEN}" }, max_in_flight: "${WORKERS}" } }
"#,
    )
    .unwrap();
    assert_eq!(
        (config.engine.workers, config.engine.sinks[0].max_in_flight),
        (2, 2)
    );
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/x"));
    let source = &config.engine.sources[0];
    assert!(source.patterns.matches(Path::new("/x/web-7/a.log")));
    let values: Vec<&str> = source
        .labels
        .iter()
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(values, ["web-7", "5$", "a$b"]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_a_variable_holds_stays_one_value() {
    let config = parse(&PLAIN.replace("job: bench", "job: \"${LIST}\"")).unwrap();
    assert_eq!(config.engine.sources[0].labels[0].1, "[a, b]");
}

#[test]
fn aliases_and_merges_are_resolved() {
    let config = parse(
        r#"
sources:
  a: &common { include: ["/x/a/*.log"], labels: { job: x }, read_from: end }
  b: { <<: *common, include: ["/x/b/*.log"] }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
    )
    .unwrap();
    let source = &config.engine.sources[1];
    assert_eq!(source.read_from, ReadFrom::End);
    assert!(source.patterns.matches(Path::new("/x/b/c.log")));
    assert!(!source.patterns.matches(Path::new("/x/a/c.log")));
}

#[test]
fn a_key_without_a_value_is_as_one_that_is_not_there() {
    let config = parse(&format!("tailing:\nlog:\n  # level: debug\n{PLAIN}")).unwrap();
    assert_eq!(config.engine.tailing.max_open_files, 4096);
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_are_accepted() {
    let text = format!("\u{feff}{}", PLAIN.replace('\n', "\r\n"));
    assert_eq!(parse(&text).unwrap().engine.sources.len(), 1);
}

#[test]
fn the_agent_never_tails_its_own_files() {
    let text = PLAIN.replace(
        "loki: {url: \"http://127.0.0.1:3100\"}",
        "file: {path: /x/out.log}",
    );
    let config = config::parse(&text, "x", Some(Path::new("/x/state")), &[].into()).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/x/state"));
    assert_eq!(
        config.engine.tailing.excluded_paths,
        ["/x/state", "/x/out.log", "/x/out.log.1"].map(PathBuf::from)
    );
}

#[test]
fn the_revision_of_a_sink_changes_with_anything_that_matters_to_it() {
    let revision = |text: &str| parse(text).unwrap().engine.sinks[0].revision;
    let plain = revision(PLAIN);
    assert_eq!(plain, revision(&PLAIN.replace("job: bench", "job: other")));
    let sink = "loki: {url: \"http://127.0.0.1:3100\"";
    for changed in [
        "loki: {url: \"http://127.0.0.1:3101\"",
        &format!("{sink}, bearer_token: a"),
    ] {
        assert_ne!(plain, revision(&PLAIN.replace(sink, changed)), "{changed}");
    }
    let batch = PLAIN.replace("out: {", "out: {batch: {max_wait: 2s}, ");
    assert_ne!(plain, revision(&batch));
}

#[test]
fn the_embedded_configuration_is_valid_and_writes_below_its_data_directory() {
    let config = config::load_default(Some(Path::new("/x/state"))).unwrap();
    let sink = &config.engine.sinks[0];
    assert_eq!(sink.parts.deliver.target(), "/x/state/lines.ndjson");
    let source = &config.engine.sources[0];
    for followed in [
        "/var/log/syslog",
        "/var/log/nginx/access.log",
        "/var/log/httpd/error_log",
    ] {
        assert!(source.patterns.matches(Path::new(followed)), "{followed}");
    }
    for left in [
        "/var/log/wtmp",
        "/var/log/lastlog",
        "/var/log/journal/x/system.log",
        "/var/log/a.gz",
    ] {
        assert!(!source.patterns.matches(Path::new(left)), "{left}");
    }
}

#[test]
fn a_positions_file_is_imported_and_may_be_taken_as_empty() {
    let import = |keys: &str| {
        let yaml = format!(
            "{keys}sources: {{ a: {{ include: [\"/x/*.log\"] }} }}\n\
             sinks: {{ o: {{ loki: {{ url: \"http://loki:3100\" }} }} }}\n"
        );
        parse(&yaml).unwrap().import_positions
    };
    assert_eq!(import(""), None);
    let found = import("import_positions: /run/p.yaml\n").unwrap();
    assert_eq!(found.path, Path::new("/run/p.yaml"));
    assert_eq!(found.on_invalid, OnInvalid::Refuse);
    let found = import("import_positions: /run/p.yaml\nimport_positions_ignore_invalid: true\n");
    assert_eq!(found.unwrap().on_invalid, OnInvalid::TakeAsEmpty);
}
