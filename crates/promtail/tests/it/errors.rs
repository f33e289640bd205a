//! What is refused, where, and with what way out.

use super::{CLIENT, errors, refused};

const JOB: &str =
    "scrape_configs:\n- job_name: a\n  static_configs: [{ labels: { __path__: /a.log } }]\n";

#[track_caller]
fn job(more: &str, parts: &[&str]) {
    refused(&format!("{CLIENT}{JOB}  {more}\n"), parts);
}

#[track_caller]
fn top(more: &str, parts: &[&str]) {
    refused(&format!("{CLIENT}{JOB}{more}\n"), parts);
}

#[test]
fn an_unknown_key_is_shown_with_its_line_and_the_nearest_key() {
    let text = errors(&format!("{CLIENT}{JOB}  relable_configs: []\n"), &[]);
    assert!(
        text.starts_with("invalid configuration\n\npromtail.yaml:5:3: unknown key `relable_configs` in `scrape_configs[0]`"),
        "{text}"
    );
    assert!(text.contains("5 |   relable_configs: []"), "{text}");
    assert!(text.contains("did you mean `relabel_configs`?"), "{text}");
    assert!(
        text.contains("promtail -check-syntax -config.file=promtail.yaml"),
        "{text}"
    );
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    top("sever: {}", &["did you mean `server`?"]);
    top("server: { http_port: 1 }", &["unknown key `http_port`"]);
    top("positions: { file: /p }", &["did you mean `filename`?"]);
    top(
        "limits_config: { max_line: 1 }",
        &["did you mean `max_line_size`?"],
    );
    top("target_config: { sync: 1s }", &["unknown key `sync`"]);
    top(
        "global: { file_watch: {} }",
        &["did you mean `file_watch_config`?"],
    );
    top(
        "options: { stream_lag_labels: a }",
        &["Promtail has removed this key"],
    );
    top("wal: { enable: true }", &["did you mean `enabled`?"]);
    job(
        "pipeline_stages: [{ json: { expresions: {} } }]",
        &["did you mean `expressions`?"],
    );
    job(
        "relabel_configs: [{ souce_labels: [] }]",
        &["did you mean `source_labels`?"],
    );
    job(
        "file_sd_configs: [{ file: [] }]",
        &["did you mean `files`?"],
    );
}

#[test]
fn keys_from_elsewhere_are_told_by_name() {
    top("sources: {}", &["a key of the native form"]);
    refused(
        "clients: [{ url: 'http://l/p', batch_wait: 1s }]\n",
        &["it is `batchwait`"],
    );
    job("static_config: []", &["ends with an s"]);
}

#[test]
fn values_of_the_wrong_kind_are_told() {
    top(
        "server: { http_listen_port: many }",
        &["expected a whole number"],
    );
    top("server: { http_listen_port: 70000 }", &["promtail.yaml:5:"]);
    top(
        "positions: { sync_period: 10 seconds }",
        &["write it like `500ms`"],
    );
    top(
        "limits_config: { max_line_size: big }",
        &["write it like `256kb`"],
    );
    top(
        "server: { disable: maybe }",
        &["expected `true` or `false`"],
    );
    top(
        "clients: {}",
        &["`clients` stands here for the second time"],
    );
    refused("clients: { url: x }\n", &["expected a list"]);
}

#[test]
fn yes_and_no_are_booleans_and_texts_where_those_are_wanted() {
    let text = format!(
        "{CLIENT}{JOB}server: {{ disable: yes }}\npositions: {{ filename: no }}\ntarget_config: {{ stdin: Off }}\n"
    );
    let loaded = super::read(&text, &[]).unwrap();
    assert!(loaded.is_server_disabled() && !loaded.is_stdin());
    top(
        "server: { disable: 'yes' }",
        &["expected `true` or `false`"],
    );
}

#[test]
fn null_and_empty_blocks_are_as_ones_that_are_not_there() {
    let text = format!(
        "{CLIENT}client:\nserver:\npositions:\nglobal: {{ file_watch_config: }}\ntarget_config:\nlimits_config:\noptions:\ntracing:\nwal:\n\
         scrape_configs:\n- job_name: a\n  pipeline_stages:\n  relabel_configs: []\n  decompression:\n  journal:\n  kubernetes_sd_configs: []\n  file_sd_configs:\n  static_configs: [{{ targets: , labels: {{ __path__: /a.log }} }}]\n"
    );
    super::read(&text, &[]).unwrap_or_else(|error| panic!("{error}"));
    super::read(&format!("{CLIENT}scrape_configs:\n"), &[]).unwrap();
}

#[test]
fn jobs_have_a_name_each() {
    refused(
        &format!("{CLIENT}scrape_configs:\n- static_configs: [{{ labels: {{ __path__: /a }} }}]\n"),
        &["promtail.yaml:3:", "no job name"],
    );
    refused(
        &format!(
            "{CLIENT}{JOB}- job_name: a\n  static_configs: [{{ labels: {{ __path__: /b }} }}]\n"
        ),
        &["promtail.yaml:5:13: found multiple scrape configs with job name \"a\""],
    );
}

#[test]
fn a_job_without_targets_is_refused() {
    refused(
        &format!("{CLIENT}scrape_configs:\n- job_name: a\n"),
        &[
            "no valid target scrape config defined for \"a\"",
            "static_configs: [",
        ],
    );
}

#[test]
fn every_block_that_is_not_in_this_version_is_refused_by_its_line() {
    for (block, way_out) in [
        ("journal: {}", "ForwardToSyslog=yes"),
        ("syslog: { listen_address: '0.0.0.0:1514' }", "rsyslog"),
        ("loki_push_api: {}", "push to Loki itself"),
        ("windows_events: {}", "no Windows events"),
        ("kafka: {}", "keep a Promtail for this job"),
        ("gelf: {}", "keep a Promtail for this job"),
        ("gcplog: {}", "keep a Promtail for this job"),
        ("azure_event_hubs: {}", "keep a Promtail for this job"),
        ("cloudflare: {}", "keep a Promtail for this job"),
        ("heroku_drain: {}", "keep a Promtail for this job"),
        (
            "docker_sd_configs: [{ host: unix:///x }]",
            "/var/lib/docker/containers/*/*-json.log",
        ),
        (
            "kubernetes_sd_configs: [{ role: pod }]",
            "/var/log/pods/*/*/*.log",
        ),
        ("consul_sd_configs: [{}]", "file_sd_configs: ["),
        ("ec2_sd_configs: [{}]", "file_sd_configs: ["),
        ("dns_sd_configs: [{}]", "file_sd_configs: ["),
    ] {
        let name = block.split(':').next().unwrap();
        let message = format!("promtail.yaml:4:3: `{name}` is not in this version");
        refused(
            &format!("{CLIENT}scrape_configs:\n- job_name: a\n  {block}\n"),
            &[&message, way_out],
        );
    }
}

#[test]
fn a_second_kind_of_target_is_noted_as_promtail_ignores_it() {
    let loaded = super::read(&format!("{CLIENT}{JOB}  journal: {{ max_age: 1h }}\n"), &[]).unwrap();
    let note = "line 5, `scrape_configs[0].journal`: Promtail does not use it";
    assert!(loaded.notes()[0].starts_with(note), "{:?}", loaded.notes());
}

#[test]
fn what_the_server_cannot_do_is_refused() {
    top(
        "server: { http_tls_config: { cert_file: /c, key_file: /k } }",
        &[
            "promtail.yaml:5:11: this version serves its status without TLS",
            "http_listen_address",
        ],
    );
    top(
        "server: { http_listen_address: example.org }",
        &["not an IP address"],
    );
    top(
        "server: { log_level: loud }",
        &["valid here: debug, info, warn, error"],
    );
    top("server: { log_format: xml }", &["valid here: logfmt, json"]);
    top(
        "server: { proxy_protocol_enabled: true }",
        &["PROXY protocol"],
    );
    top(
        "wal: { enabled: true }",
        &[
            "promtail.yaml:5:1: Promtail's write-ahead log",
            "when_full: spill",
        ],
    );
    top("positions: { filename: '' }", &["is empty"]);
}

#[test]
fn what_has_no_effect_is_noted_with_its_line() {
    let loaded = super::read(
        &format!(
            "{CLIENT}{JOB}server: {{ profiling_enabled: true, register_instrumentation: false }}\ntracing: {{ enabled: true }}\nlimits_config: {{ max_streams: 5 }}\n"
        ),
        &[],
    )
    .unwrap();
    for part in [
        "line 5, `server.profiling_enabled`",
        "register_instrumentation",
        "line 6, `tracing`",
        "max_streams",
    ] {
        assert!(
            loaded.notes().iter().any(|note| note.contains(part)),
            "{part}"
        );
    }
}

#[test]
fn stages_that_cannot_work_are_refused_by_their_place() {
    for (stage, column, part) in [
        (
            "{ regex: { expression: '(' } }",
            44,
            "not a regular expression",
        ),
        (
            "{ timestamp: { source: a, format: '2006', action_on_failure: x } }",
            0,
            "action_on_failure",
        ),
        (
            "{ template: { source: a, template: '{{ nosuch .Value }}' } }",
            0,
            "template",
        ),
        ("{ match: { selector: '{' } }", 0, "selector"),
        ("{ labels: { 'a-b': } }", 0, "a-b"),
        ("{ geoip: { db: x } }", 0, "geoip"),
    ] {
        let text = errors(&format!("{CLIENT}{JOB}  pipeline_stages: [{stage}]\n"), &[]);
        assert!(text.contains("promtail.yaml:5:"), "{text}");
        assert!(text.contains(part), "{text}");
        if column > 0 {
            assert!(
                text.contains(&format!("promtail.yaml:5:{column}:")),
                "{text}"
            );
        }
    }
}

#[test]
fn an_unknown_stage_names_the_nearest() {
    job(
        "pipeline_stages: [{ regexp: { expression: a } }]",
        &["promtail.yaml:5:23:", "did you mean `regex`?", "multiline"],
    );
}

#[test]
fn stages_and_keys_of_the_native_form_are_none_of_promtails() {
    for (stage, column, message) in [
        (
            "{ truncate: { max_bytes: 1KiB } }",
            23,
            "`truncate` is no stage of Promtail's",
        ),
        ("{ level: {} }", 23, "`level` is no stage of Promtail's"),
        (
            "{ match: { selector: '{a=\"b\"}', stages: [{ level: {} }] } }",
            64,
            "`level` is no stage of Promtail's",
        ),
        (
            "{ multiline: { firstline: a, heading: b } }",
            50,
            "`heading` is no key of Promtail's `multiline`",
        ),
        (
            "{ timestamp: { source: a, format: RFC3339, location_source: b } }",
            64,
            "`location_source` is no key of Promtail's `timestamp`",
        ),
        (
            "{ sampling: { rate: 0.5, keep: { level: warn } } }",
            46,
            "`keep` is no key of Promtail's `sampling`",
        ),
    ] {
        job(
            &format!("pipeline_stages: [{stage}]"),
            &[
                &format!("promtail.yaml:5:{column}:"),
                message,
                "tailwater convert",
            ],
        );
    }
}

#[test]
fn stages_inside_of_match_are_checked_too() {
    job(
        "pipeline_stages: [{ match: { selector: '{a=\"b\"}', stages: [{ regex: { expression: '[' } }] } }]",
        &["promtail.yaml:5:85:", "not a regular expression"],
    );
}

#[test]
fn rules_of_relabeling_are_refused_by_their_place() {
    job(
        "relabel_configs: [{ action: rename }]",
        &["promtail.yaml:5:31:", "valid here: replace, keep"],
    );
    job(
        "relabel_configs: [{ source_labels: [a] }]",
        &["needs a `target_label`"],
    );
    job(
        "relabel_configs: [{ regex: '(', target_label: a }]",
        &["promtail.yaml:5:30:"],
    );
}

#[test]
fn names_of_labels_are_checked() {
    refused(
        &format!(
            "{CLIENT}scrape_configs: [{{ job_name: a, static_configs: [{{ labels: {{ a-b: c }} }}] }}]\n"
        ),
        &["promtail.yaml:2:", "not the name of a label"],
    );
    refused(
        "clients: [{ url: 'http://l/p', external_labels: { 1a: b } }]\n",
        &["not the name of a label"],
    );
}

#[test]
fn encodings_and_archives_are_checked() {
    job(
        "encoding: latin1",
        &["promtail.yaml:5:13: this encoding is not in this version"],
    );
    job(
        "decompression: { enabled: true }",
        &["an archive needs a `format`"],
    );
    job(
        "decompression: { enabled: true, format: gzip }",
        &["valid here: gz, z, bz2"],
    );
}

#[test]
fn files_of_targets_have_the_end_of_one() {
    job(
        "file_sd_configs: [{ files: [/etc/targets.txt] }]",
        &["end it with `.json`"],
    );
    job(
        "file_sd_configs: [{ files: ['/etc/*/a.yml'] }]",
        &["last part only"],
    );
    job(
        "file_sd_configs: [{ refresh_interval: 1m }]",
        &["names no files"],
    );
}

#[test]
fn several_errors_are_shown_at_once_in_their_order() {
    let text = errors(
        "scrape_configs:\n- job_name: a\n  journal: {}\n- job_name: a\n  kafka: {}\nclients: [{ batchsize: 1 }]\n",
        &[],
    );
    assert!(
        text.starts_with("invalid configuration, 4 errors"),
        "{text}"
    );
    let at = |part: &str| text.find(part).unwrap();
    assert!(at("`journal`") < at("multiple scrape") && at("`kafka`") < at("client needs"));
}

#[test]
fn secrets_of_a_shown_line_are_hidden() {
    refused(
        "clients: [{ url: 'http://u:hunter2@l/p', basic_auth: { username: a, pasword: hunter2 } }]\n",
        &["did you mean `password`?"],
    );
}

#[test]
fn versions_of_tls_that_are_not_spoken_are_refused_and_others_noted() {
    let client = |tls: &str| {
        let url = "url: http://loki:3100/loki/api/v1/push";
        let text = format!("clients: [{{ {url}, tls_config: {{ {tls} }} }}]\n");
        super::read(&text, &[])
    };
    for tls in [
        "min_version: TLS13",
        "max_version: TLS11",
        "max_version: TLS10",
        "min_version: '1.2'",
    ] {
        let key = tls.split(':').next().unwrap();
        let error = client(tls).unwrap_err().to_string();
        assert!(error.contains(key) || error.contains("TLS 1.0"), "{error}");
    }
    for tls in ["min_version: TLS12", "max_version: TLS13"] {
        assert!(client(tls).unwrap().notes().is_empty(), "{tls}");
    }
    for tls in [
        "min_version: TLS10",
        "min_version: TLS11",
        "max_version: TLS12",
    ] {
        let loaded = client(tls).unwrap();
        assert_eq!(loaded.notes().len(), 1, "{tls}");
    }
}

#[test]
fn a_glob_that_finds_no_files_is_refused_at_its_own_line() {
    let glob_check = |glob: &str| match glob.strip_prefix('/') {
        Some(_) => Ok(()),
        None => Err(format!("`{glob}` is relative")),
    };
    let host = tailwater_promtail::Host {
        glob_check: Some(glob_check),
        ..super::host()
    };
    let text = format!(
        "{}scrape_configs:\n- job_name: a\n  static_configs:\n  - labels:\n      job: a\n      __path__: logs/*.log\n",
        super::CLIENT
    );
    let path = std::path::Path::new("promtail.yaml");
    let flags = super::flags(&[]);
    let error = tailwater_promtail::load_text(&text, Some(path), &flags, &host).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("`logs/*.log` is relative"), "{error}");
    let line = text.lines().count();
    assert!(error.contains(&format!("promtail.yaml:{line}:")), "{error}");
    // Where rules make another path of it, the target is looked at in its time.
    let text = text + "  relabel_configs: [{ source_labels: [job], target_label: x }]\n";
    let loaded = tailwater_promtail::load_text(&text, Some(path), &flags, &host).unwrap();
    let targets = loaded.targets();
    assert!(targets.targets.is_empty());
    let reasons: Vec<_> = targets
        .dropped
        .iter()
        .map(|dropped| dropped.reason.as_str())
        .collect();
    assert_eq!(reasons, ["error"]);
}

#[test]
fn keys_of_the_server_that_have_no_effect_are_noted() {
    let loaded = super::loaded(
        "server: { grpc_listen_port: 0, grpc_server_max_recv_msg_size: 1, http_listen_conn_limit: 3, log_request_headers: true }\n",
    );
    let notes = loaded.notes().join("\n");
    for key in [
        "grpc_server_max_recv_msg_size",
        "http_listen_conn_limit",
        "log_request_headers",
    ] {
        assert!(notes.contains(&format!("`server.{key}`")), "{notes}");
    }
    assert!(!notes.contains("grpc_listen_port"), "{notes}");
}
