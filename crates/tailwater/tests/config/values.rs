//! Values that do not fit.

use super::check;

#[test]
fn a_single_glob_in_place_of_a_list_is_answered_with_an_example() {
    check(
        r#"sources:
  a:
    include: /x/*.log
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:3:14: `sources.a.include` has the wrong kind of value
  |
3 |     include: /x/*.log
  |              ^^^^^^^^ expected a list, `[…]`, found text
  |
  = example: include: ["/var/log/nginx/*.log"]
"#,
    );
}

#[test]
fn text_in_place_of_a_number_is_marked() {
    check(
        r#"workers: many
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:1:10: `workers` has the wrong kind of value
  |
1 | workers: many
  |          ^^^^ expected a whole number, 0 or more, found text
  |
  = example: workers: 1
",
    );
}

#[test]
fn a_negative_number_is_marked() {
    check(
        r#"workers: -1
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:1:10: `workers` has a value that is not possible
  |
1 | workers: -1
  |          ^^ expected a whole number, 0 or more
  |
  = example: workers: 1
",
    );
}

#[test]
fn text_in_place_of_a_map_is_marked() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: "http://loki:3100"
"#,
        r#"
tailwater.yaml:4:11: `sinks.o.loki` has the wrong kind of value
  |
4 |     loki: "http://loki:3100"
  |           ^^^^^^^^^^^^^^^^^^ expected keys below it, `{ key: value }`, found text
  |
  = example: loki: { url: "http://loki:3100" }
"#,
    );
}

#[test]
fn a_list_in_place_of_sources_is_marked() {
    check(
        r#"sources:
  - include: ["/x/*.log"]
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:1:1: `sources` has the wrong kind of value
  |
1 | sources:
  | ^^^^^^^ expected a map, `{ key: value }`, found a list
  |
  = example: sources: { nginx: { include: ["/var/log/nginx/*.log"] } }
"#,
    );
}

#[test]
fn a_word_that_is_not_one_of_the_few_is_answered_with_them() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    read_from: begining
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:4:16: `sources.a.read_from` is not one of the words it may be
  |
4 |     read_from: begining
  |                ^^^^^^^^ did you mean `beginning`?
  |
  = valid here: beginning, end
",
    );
}

#[test]
fn a_size_with_a_bad_unit_is_answered_with_an_example() {
    check(
        r#"memory_limit: 64 megs
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:1:15: `memory_limit`: `64 megs` is not a size: write it like `512KiB`, `1MiB` or `2GiB`
  |
1 | memory_limit: 64 megs
  |               ^^^^^^^
  |
  = example: memory_limit: 64MiB
",
    );
}

#[test]
fn a_duration_without_a_unit_is_answered_with_an_example() {
    check(
        r#"shutdown_timeout: 10
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:1:19: `shutdown_timeout`: `10` is not a duration: write it like `500ms`, `10s`, `5m` or `24h`
  |
1 | shutdown_timeout: 10
  |                   ^^
  |
  = example: shutdown_timeout: 10s
",
    );
}

#[test]
fn a_duration_inside_a_sink_is_marked_where_it_stands() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100", timeout: soon } } }
"#,
        r#"
tailwater.yaml:2:57: `sinks.o.loki.timeout`: `soon` is not a duration: write it like `500ms`, `10s`, `5m` or `24h`
  |
2 | sinks: { o: { loki: { url: "http://loki:3100", timeout: soon } } }
  |                                                         ^^^^
  |
  = example: timeout: 10s
"#,
    );
}

#[test]
fn a_boolean_that_is_none_is_marked() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    file: { path: /x/out, sync: yes }
"#,
        r"
tailwater.yaml:4:33: `sinks.o.file.sync` has the wrong kind of value
  |
4 |     file: { path: /x/out, sync: yes }
  |                                 ^^^ expected `true` or `false`, found text
",
    );
}

#[test]
fn an_address_without_a_port_is_marked() {
    check(
        r#"server: { listen: localhost }
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:1:19: `server.listen` is not an address with a port
  |
1 | server: { listen: localhost }
  |                   ^^^^^^^^^
  |
  = help: give an IP address and a port; port 0 takes any that is free, and `""` is for no server
  = example: listen: "127.0.0.1:9080"
"#,
    );
}

#[test]
fn a_prefix_that_is_no_path_is_marked() {
    for prefix in ["log", "/a//b", "/{x}", "/a b", "/../x"] {
        let text = format!(
            "server: {{ path_prefix: \"{prefix}\" }}\n\
             sources: {{ a: {{ include: [\"/x/*.log\"] }} }}\n\
             sinks: {{ o: {{ loki: {{ url: \"http://loki:3100\" }} }} }}\n"
        );
        let error = super::parse(&text).unwrap_err().to_string();
        assert!(error.contains("is not the start of a path"), "{error}");
    }
}

#[test]
fn a_last_attempt_before_the_first_is_marked() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" }, retry: { max_attempts: 0 } } }
"#,
        r#"
tailwater.yaml:2:73: `sinks.o.retry.max_attempts` must not be 0
  |
2 | sinks: { o: { loki: { url: "http://loki:3100" }, retry: { max_attempts: 0 } } }
  |                                                                         ^
  |
  = help: leave it out to try for ever; with 1, a batch that fails once is dropped
  = example: max_attempts: 10
"#,
    );
}

#[test]
fn a_bad_glob_is_marked_in_its_list() {
    check(
        r#"sources:
  a:
    include:
      - /x/*.log
      - /x/[a-/y.log
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:5:9: this glob cannot be used: `[` is not closed: write `\[` for the character itself
  |
5 |       - /x/[a-/y.log
  |         ^^^^^^^^^^^^
  |
  = help: globs know `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`, `\` and, for any directories, `**`
  = example: include: ["/var/log/nginx/*.log"]
"#,
    );
}

#[test]
fn a_bad_label_name_is_marked() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    labels: { 9lives: cat }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:4:15: `9lives` cannot be a name here
  |
4 |     labels: { 9lives: cat }
  |               ^^^^^^
  |
  = help: use letters, digits and `_`, not starting with a digit
",
    );
}

#[test]
fn a_label_that_the_path_label_sets_too_is_marked() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    labels: { filename: here }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:4:15: `sources.a.labels` and `path_label` both set this label
  |
4 |     labels: { filename: here }
  |               ^^^^^^^^
  |
  = help: rename one of them, or set `path_label: ""` for no label with the path
"#,
    );
}

#[test]
fn a_document_that_is_no_map_is_refused() {
    check(
        r"just some words
",
        r#"
tailwater.yaml: the configuration has the wrong kind of value
 |
 = help: expected keys below it, `{ key: value }`, found text
 = example: sources: { nginx: { include: ["/var/log/nginx/*.log"] } }
"#,
    );
}

#[test]
fn a_positions_file_to_import_has_a_name() {
    check(
        r#"import_positions: ""
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:1:19: `import_positions` is empty
  |
1 | import_positions: ""
  |                   ^^
  |
  = help: name Promtail's positions file, or leave it out
  = example: import_positions: /var/lib/promtail/positions.yaml
"#,
    );
    check(
        r#"import_positions_ignore_invalid: true
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:1:34: `import_positions_ignore_invalid` is set, and `import_positions` is not
  |
1 | import_positions_ignore_invalid: true
  |                                  ^^^^
  |
  = help: name the positions file, or leave both out
  = example: import_positions_ignore_invalid: true
",
    );
}

#[test]
fn names_that_the_severity_is_sent_as_are_refused_elsewhere() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    severity: label
    labels: { level: info }
  b:
    include: ["/y/*.log"]
    severity: structured_metadata
    structured_metadata: { severity_text: info }
    offset_metadata: severity_number
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:5:15: `level` is what `severity` is sent as here
  |
5 |     labels: { level: info }
  |               ^^^^^
  |
  = help: give it another name, or set `severity: none`

tailwater.yaml:9:28: `severity_text` is what `severity` is sent as here
  |
9 |     structured_metadata: { severity_text: info }
  |                            ^^^^^^^^^^^^^
  |
  = help: give it another name, or set `severity: none`

tailwater.yaml:10:5: `severity_number` is what `severity` is sent as here
   |
10 |     offset_metadata: severity_number
   |     ^^^^^^^^^^^^^^^
   |
   = help: give it another name, or set `severity: none`
",
    );
}

#[test]
fn a_tenant_that_no_header_can_carry_is_refused() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    tenant: "a\tb"
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:4:13: a control character stands in the tenant
  |
4 |     tenant: "a\tb"
  |             ^^^^^^
  |
  = help: write it as Loki knows it
  = example: tenant: shop
"#,
    );
}
