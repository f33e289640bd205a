//! Sinks, and what feeds them.

use super::check;

#[test]
fn two_kinds_in_a_sink_are_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "http://loki:3100" }
    file: { path: /x/out }
"#,
        r"
tailwater.yaml:5:5: sink `o` has several kinds: loki, file
  |
5 |     file: { path: /x/out }
  |     ^^^^
  |
  = help: give it exactly one of: loki, file
",
    );
}

#[test]
fn a_sink_without_a_kind_is_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    batch: { max_wait: 1s }
"#,
        r#"
tailwater.yaml:3:3: sink `o` has no kind
  |
3 |   o:
  |   ^
  |
  = help: give it exactly one of: loki, file
  = example: central: { loki: { url: "http://loki:3100" } }
"#,
    );
}

#[test]
fn a_source_that_names_an_unknown_sink_is_answered_with_the_nearest() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    sinks: [centrall]
sinks: { central: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:4:13: there is no sink `centrall`
  |
4 |     sinks: [centrall]
  |             ^^^^^^^^ did you mean `central`?
  |
  = valid here: central
",
    );
}

#[test]
fn a_source_that_does_not_choose_between_sinks_is_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  one: { loki: { url: "http://loki:3100" } }
  two: { file: { path: /x/out } }
"#,
        r#"
tailwater.yaml:1:12: `sources.a` does not say which sinks it feeds
  |
1 | sources: { a: { include: ["/x/*.log"] } }
  |            ^
  |
  = help: there are several: add `sinks: […]` with some of: one, two
"#,
    );
}

#[test]
fn a_sink_that_a_source_names_twice_is_refused() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    sinks: [o, o]
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:4:16: the sink `o` stands here twice
  |
4 |     sinks: [o, o]
  |                ^
  |
  = help: each line is sent once
  = example: sinks: [central]
",
    );
}

#[test]
fn two_sinks_that_write_one_file_are_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"], sinks: [one, two] } }
sinks:
  one: { file: { path: /x/out } }
  two: { file: { path: /x/out } }
"#,
        r"
tailwater.yaml:4:24: `sinks.two` writes the same file as `sinks.one`
  |
4 |   two: { file: { path: /x/out } }
  |                        ^^^^^^
  |
  = help: a file belongs to one sink: feed that one from several sources
  = example: path: /var/lib/tailwater/lines.ndjson
",
    );
}

#[test]
fn what_a_sink_says_of_its_settings_is_marked_at_its_key() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "ftp://loki:3100" }
"#,
        r#"
tailwater.yaml:4:18: `sinks.o.loki.url` cannot be used: must begin with `http://` or `https://`
  |
4 |     loki: { url: "ftp://loki:3100" }
  |                  ^^^^^^^^^^^^^^^^^
  |
  = example: url: "http://loki:3100/loki/api/v1/push"
"#,
    );
}

#[test]
fn levels_to_keep_where_nothing_is_dropped_by_its_level_are_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "http://loki:3100" }
    when_full: spill
    keep: [error]
"#,
        r"
tailwater.yaml:6:5: `sinks.o.keep` has no effect here: no record is dropped by its level
  |
6 |     keep: [error]
  |     ^^^^
  |
  = help: it goes with `when_full: drop_newest` or `drop_oldest`, or with a spill and `then: drop_newest`
",
    );
}

#[test]
fn a_spill_that_is_too_small_and_a_level_that_is_none_are_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "http://loki:3100" }
    when_full: drop_oldest
    spill: { max_bytes: 1KiB }
"#,
        r"
tailwater.yaml:6:25: `sinks.o.spill.max_bytes` must be at least 1MiB
  |
6 |     spill: { max_bytes: 1KiB }
  |                         ^^^^
  |
  = help: it holds what the sink does not take, for minutes or hours: give it room
  = example: max_bytes: 2GiB
",
    );
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "http://loki:3100" }
    when_full: drop_oldest
    keep: [eror]
"#,
        r"
tailwater.yaml:6:12: `sinks.o.keep[0]` is not one of the words it may be
  |
6 |     keep: [eror]
  |            ^^^^ did you mean `error`?
  |
  = valid here: trace, debug, info, warn, error, fatal
",
    );
}

#[test]
fn a_rate_limit_that_limits_nothing_is_refused() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    rate_limit: { when_exceeded: drop }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:4:5: `sources.a.rate_limit` limits nothing
  |
4 |     rate_limit: { when_exceeded: drop }
  |     ^^^^^^^^^^
  |
  = help: add `bytes_per_second: 10MiB` or `lines_per_second: 5000`
",
    );
}

#[test]
fn a_way_to_be_full_that_is_none_is_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "http://loki:3100" }
    when_full: blok
"#,
        r"
tailwater.yaml:5:16: `sinks.o.when_full` is not one of the words it may be
  |
5 |     when_full: blok
  |                ^^^^ did you mean `block`?
  |
  = valid here: block, drop_newest, drop_oldest, spill
",
    );
}

#[test]
fn a_batch_larger_than_its_queue_is_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "http://loki:3100" }
    batch: { max_bytes: 8MiB }
"#,
        r"
tailwater.yaml:5:25: `sinks.o.batch.max_bytes` (8388608 bytes) is more than the queue may hold (4194304 bytes)
  |
5 |     batch: { max_bytes: 8MiB }
  |                         ^^^^
  |
  = help: raise `queue.max_bytes`, best to four batches or more, or lower `batch.max_bytes`
  = example: max_bytes: 1MiB
",
    );
}

#[test]
fn queues_larger_than_the_memory_limit_are_refused() {
    check(
        r#"memory_limit: 2MiB
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r"
tailwater.yaml:1:15: `memory_limit` (2097152 bytes) is less than what the queues of the sinks may hold together (4194304 bytes)
  |
1 | memory_limit: 2MiB
  |               ^^^^
  |
  = help: raise it, or lower `queue.max_bytes`: else one dead sink would stop the others
  = example: memory_limit: 64MiB
",
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    check(
        r#"workers: 0
sources:
  a b:
    include: []
sinks:
  o:
    loki: { url: "http://loki:3100" }
    max_in_flight: 0
    retry: { min_wait: 10s, max_wait: 5s }
"#,
        r#"
tailwater.yaml:1:10: `workers` must be 1 to 64
  |
1 | workers: 0
  |          ^
  |
  = help: one does for 100 MB/s and more; files are spread over them by directory
  = example: workers: 1

tailwater.yaml:3:3: this name cannot be used
  |
3 |   a b:
  |   ^^^
  |
  = help: use letters, digits, `_`, `-` and `.`, at most 100

tailwater.yaml:4:5: `sources.a b` includes no file
  |
4 |     include: []
  |     ^^^^^^^
  |
  = help: name at least one
  = example: include: ["/var/log/nginx/*.log"]

tailwater.yaml:8:20: `sinks.o.max_in_flight` must be 1 to 256
  |
8 |     max_in_flight: 0
  |                    ^
  |
  = help: with 1, the order of lines is strict through retries
  = example: max_in_flight: 4

tailwater.yaml:9:24: `sinks.o.retry.min_wait` is longer than `sinks.o.retry.max_wait`
  |
9 |     retry: { min_wait: 10s, max_wait: 5s }
  |                        ^^^
  |
  = help: the waits double from the first to the second
  = example: min_wait: 500ms
"#,
    );
}

#[test]
fn a_configuration_without_sources_and_sinks_says_what_is_missing() {
    check(
        r"workers: 1
",
        r#"
tailwater.yaml: there are no `sources`
 |
 = help: say which files are read
 = example: sources: { nginx: { include: ["/var/log/nginx/*.log"] } }

tailwater.yaml: there are no `sinks`
 |
 = help: say where lines go
 = example: sinks: { central: { loki: { url: "http://loki:3100" } } }
"#,
    );
}
