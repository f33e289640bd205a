//! Keys that are not known, stand twice or are missing.

use super::check;

#[test]
fn an_unknown_key_at_the_top_is_named_with_the_nearest() {
    check(
        r#"sorces: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:1:1: unknown key `sorces`
  |
1 | sorces: { a: { include: ["/x/*.log"] } }
  | ^^^^^^ did you mean `sources`?
  |
  = valid here: data_dir, import_positions, import_positions_ignore_invalid, server, shutdown_timeout, checkpoint_interval, workers, memory_limit, limits, log, tailing, sources, sinks
  = example: sources: { nginx: { include: ["/var/log/nginx/*.log"] } }
"#,
    );
}

#[test]
fn an_unknown_key_of_the_server_is_named_with_the_nearest() {
    check(
        r#"server:
  lisen: "127.0.0.1:9080"
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:2:3: unknown key `lisen` in `server`
  |
2 |   lisen: "127.0.0.1:9080"
  |   ^^^^^ did you mean `listen`?
  |
  = valid here: listen, path_prefix, promtail, reload, ready_without_targets
  = example: listen: "127.0.0.1:9080"
"#,
    );
}

#[test]
fn an_unknown_key_of_tailing_is_named_with_the_nearest() {
    check(
        r#"tailing: { rotate_wiat: 1s }
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:1:12: unknown key `rotate_wiat` in `tailing`
  |
1 | tailing: { rotate_wiat: 1s }
  |            ^^^^^^^^^^^ did you mean `rotate_wait`?
  |
  = valid here: watch, poll_interval, rescan_interval, rotate_wait, close_idle, max_open_files, max_files, allowed_roots
  = example: rotate_wait: 1s
",
    );
}

#[test]
fn an_unknown_key_of_the_log_is_named_even_without_a_near_one() {
    check(
        r#"log:
  colour: true
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:2:3: unknown key `colour` in `log`
  |
2 |   colour: true
  |   ^^^^^^
  |
  = valid here: level, format
  = example: log: { level: info, format: json }
",
    );
}

#[test]
fn an_unknown_key_of_a_source_is_named_with_the_nearest() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    lables: { job: a }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:4:5: unknown key `lables` in `sources.a`
  |
4 |     lables: { job: a }
  |     ^^^^^^ did you mean `labels`?
  |
  = valid here: include, exclude, labels, path_label, structured_metadata, offset_metadata, severity, tenant, read_from, ignore_older, encoding, max_line_bytes, over_limit, partial_line_timeout, decompression, decompression_delay, sinks, when_full, keep, rate_limit, preset, stages
  = example: labels: { job: nginx }
",
    );
}

#[test]
fn an_unknown_key_of_a_sink_is_named_with_its_kinds() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    lokki: { url: "http://loki:3100" }
"#,
        r#"
tailwater.yaml:4:5: unknown key `lokki` in `sinks.o`
  |
4 |     lokki: { url: "http://loki:3100" }
  |     ^^^^^ did you mean `loki`?
  |
  = valid here: loki, file, labels, batch, max_in_flight, queue, retry, when_full, spill, keep, dead_letters
  = example: loki: { url: "http://loki:3100" }
"#,
    );
}

#[test]
fn an_unknown_key_of_a_kind_is_named_with_the_nearest() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki:
      url: "http://loki:3100"
      tenat: shop
"#,
        r"
tailwater.yaml:6:7: unknown key `tenat` in `sinks.o.loki`
  |
6 |       tenat: shop
  |       ^^^^^ did you mean `tenant`?
  |
  = valid here: url, tenant, encoding, gzip_level, basic_auth, bearer_token, bearer_token_file, headers, tls, proxy_url, timeout, connect_timeout
  = example: tenant: shop
",
    );
}

#[test]
fn an_unknown_key_of_a_batch_is_named_with_the_nearest() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "http://loki:3100" }
    batch: { max_byte: 1MiB }
"#,
        r"
tailwater.yaml:5:14: unknown key `max_byte` in `sinks.o.batch`
  |
5 |     batch: { max_byte: 1MiB }
  |              ^^^^^^^^ did you mean `max_bytes`?
  |
  = valid here: max_bytes, max_records, max_wait
  = example: max_bytes: 1MiB
",
    );
}

#[test]
fn an_unknown_key_three_levels_down_is_named() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki:
      url: "http://loki:3100"
      tls: { ca: /etc/ca.pem }
"#,
        r"
tailwater.yaml:6:14: unknown key `ca` in `sinks.o.loki.tls`
  |
6 |       tls: { ca: /etc/ca.pem }
  |              ^^
  |
  = valid here: ca_file, cert_file, key_file, danger_accept_invalid_certs
  = example: tls: { ca_file: /etc/tailwater/ca.pem }
",
    );
}

#[test]
fn a_type_key_is_answered_with_how_kinds_are_written() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    type: loki
    url: "http://loki:3100"
"#,
        r"
tailwater.yaml:4:5: unknown key `type` in `sinks.o`
  |
4 |     type: loki
  |     ^^^^
  |
  = help: the kind of a sink is a key: `loki: { url: … }` in place of `type: loki`
  = valid here: loki, file, labels, batch, max_in_flight, queue, retry, when_full, spill, keep, dead_letters
",
    );
}

#[test]
fn a_promtail_configuration_is_recognised() {
    check(
        r"scrape_configs:
  - job_name: a
clients: []
",
        r"
tailwater.yaml:1:1: unknown key `scrape_configs`
  |
1 | scrape_configs:
  | ^^^^^^^^^^^^^^
  |
  = help: this is a key of Promtail: one file is either in the native form or in Promtail's
  = valid here: data_dir, import_positions, import_positions_ignore_invalid, server, shutdown_timeout, checkpoint_interval, workers, memory_limit, limits, log, tailing, sources, sinks
",
    );
}

#[test]
fn a_key_that_stands_twice_is_marked_the_second_time() {
    check(
        r#"data_dir: /a
sources: { a: { include: ["/x/*.log"] } }
data_dir: /b
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:3:1: `data_dir` stands here for the second time
  |
3 | data_dir: /b
  | ^^^^^^^^
  |
  = help: each key may stand once in a map: merge the two, or rename one
",
    );
}

#[test]
fn a_source_without_include_is_marked_at_its_name() {
    check(
        r#"sources:
  a:
    labels: { job: a }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:2:3: `sources.a` needs a key `include`
  |
2 |   a:
  |   ^ `include` is missing here
  |
  = example: include: ["/var/log/nginx/*.log"]
"#,
    );
}

#[test]
fn a_sink_without_its_url_is_marked_at_its_kind() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { tenant: shop }
"#,
        r#"
tailwater.yaml:4:5: `sinks.o.loki` needs a key `url`
  |
4 |     loki: { tenant: shop }
  |     ^^^^ `url` is missing here
  |
  = example: url: "http://loki:3100/loki/api/v1/push"
"#,
    );
}

#[test]
fn what_is_wrong_in_a_stage_is_named_by_its_place() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    stages:
      - json: { expressions: { level: } }
      - match:
          selector: '{job="a"}'
          stages:
            - regex: { expression: "(?P<level" }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:9:36: `(?P<level` is not a regular expression: unclosed capture group name
  |
9 |             - regex: { expression: "(?P<level" }
  |                                    ^^^^^^^^^^^
  |
  = help: write it in RE2 syntax, which has neither look-around nor back-references
"#,
    );
}
