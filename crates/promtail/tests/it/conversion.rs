//! What the native text says.

use tailwater_stages::StageConfig;
use tailwater_yaml::{KeyPath, read, shape};

use super::{CLIENT, native};

fn of(job: &str) -> String {
    native(
        &format!("{CLIENT}scrape_configs:\n- job_name: a\n  static_configs: [{{ labels: {{ __path__: /a.log }} }}]\n  {job}\n"),
        &[],
    )
    .text
}

/// The stages of a job, as Promtail's form has them and as the native one has.
#[track_caller]
fn check_stages(stages: &str) {
    let text = of(&format!("pipeline_stages: {stages}"));
    let read_stages = |text: &str, path: KeyPath| -> Vec<StageConfig> {
        let mut tree = read(text).unwrap();
        tree.take_old_booleans();
        shape::read(tree.at(&path).unwrap()).unwrap()
    };
    let top = KeyPath::default();
    let path = top.key("sources").key("a").key("stages");
    let native = read_stages(&text, path);
    let written = read_stages(&format!("stages: {stages}"), top.key("stages"));
    assert_eq!(native, written, "{text}");
}

#[test]
fn stages_are_kept_as_they_were_written() {
    check_stages("[{ cri: {} }, { docker: }, { decolorize: {} }]");
    check_stages(r#"[{ regex: { expression: '^(?P<a>\d+)"''\s$' } }, { output: { source: a } }]"#);
    check_stages(r#"[{ template: { source: a, template: "x\n\ty {{ .Value }}" } }]"#);
    check_stages("[{ labels: { a: , b: c, d: 'null', e: '5' } }]");
    check_stages(
        "[{ drop: { source: [a, b], value: 200, longer_than: 8kb, drop_counter_reason: yes } }]",
    );
    check_stages("[{ json: { expressions: { a: '@', b: \"x.y[0]\" }, drop_malformed: on } }]");
    check_stages("[{ sampling: { rate: 0.25 } }, { limit: { rate: 1e3, burst: 10, drop: Yes } }]");
    check_stages(
        "[{ match: { selector: '{a=~\"b.*\"} |= \"x: y\"', stages: [{ labeldrop: [c] }] } }]",
    );
    check_stages(
        "[{ metrics: { m: { type: Histogram, source: a, config: { buckets: [0.1, 1, 2.5e1] } } } }]",
    );
    check_stages(
        "[{ replace: { expression: '#', replace: '' } }, { static_labels: { a: '~', b: '- x', c: ' d ' } }]",
    );
    check_stages(
        "[{ timestamp: { source: t, format: '02/Jan/2006:15:04:05 -0700' } }, { pack: { ingest_timestamp: no } }]",
    );
}

#[test]
fn dollars_in_stages_are_kept_from_the_native_variables() {
    let text = of(
        r"pipeline_stages: [{ regex: { expression: '^a$' } }, { replace: { expression: '(x)', replace: '${1} $$' } }]",
    );
    assert!(text.contains("expression: '^a$'\n"), "{text}");
    assert!(text.contains("replace: '$${1} $$$'\n"), "{text}");
}

#[test]
fn multi_line_texts_are_kept() {
    let text = of(
        "pipeline_stages:\n  - template:\n      source: a\n      template: |\n        one\n        two",
    );
    assert!(text.contains(r#"template: "one\ntwo\n""#), "{text}");
}

#[test]
fn the_path_label_wins_over_a_label_of_its_name() {
    let found = native(
        &format!(
            "{CLIENT}scrape_configs: [{{ job_name: a, static_configs: [{{ labels: {{ filename: x, b: c, __path__: /a.log }} }}] }}]\n"
        ),
        &[],
    );
    assert!(
        found
            .text
            .contains("labels:\n      b: c\n    path_label: filename\n"),
        "{}",
        found.text
    );
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.starts_with("source a: its label `filename`"))
    );
}

#[test]
fn sources_are_named_after_their_jobs_in_letters_that_a_name_may_have() {
    let found = native(
        &format!(
            "{CLIENT}scrape_configs:\n- job_name: a b/c\n  static_configs: [{{ labels: {{ __path__: /1 }} }}, {{ labels: {{ __path__: /2 }} }}]\n- job_name: a-b-c\n  static_configs: [{{ labels: {{ __path__: /3 }} }}]\n"
        ),
        &[],
    );
    let names = ["\n  a-b-c:\n", "\n  a-b-c-2:\n", "\n  a-b-c-3:\n"];
    for name in names {
        assert!(found.text.contains(name), "{}", found.text);
    }
}

#[test]
fn sources_feed_every_sink_by_name_where_there_are_several() {
    let job = "scrape_configs: [{ job_name: a, static_configs: [{ labels: { __path__: /a } }] }]\n";
    let one = native(&format!("{CLIENT}{job}"), &[]).text;
    assert!(!one.contains("    sinks:"), "{one}");
    let two = native(
        &format!("clients: [{{ url: 'http://a' }}, {{ name: b, url: 'http://b' }}]\n{job}"),
        &[],
    )
    .text;
    assert!(
        two.contains("    sinks:\n      - client\n      - b\n"),
        "{two}"
    );
}

#[test]
fn limits_of_lines_are_one_more_stage() {
    let with = |limits: &str| {
        native(
            &format!("{CLIENT}limits_config: {limits}\nscrape_configs: [{{ job_name: a, static_configs: [{{ labels: {{ __path__: /a }} }}] }}]\n"),
            &[],
        )
        .text
    };
    let dropped = with("{ max_line_size: 1kb }");
    assert!(dropped.contains("- # `limits_config.max_line_size`\n        drop:\n          longer_than: 1024\n          drop_counter_reason: line_too_long\n"), "{dropped}");
    let cut = with("{ max_line_size: 1kb, max_line_size_truncate: true }");
    assert!(
        cut.contains("truncate:\n          max_bytes: 1024\n"),
        "{cut}"
    );
    assert!(!with("{ max_line_size: 0, max_line_size_truncate: true }").contains("stages"));
    let rate = with("{ readline_rate_enabled: true }");
    assert!(
        rate.contains(
            "\nlimits:\n  lines_per_second: 10000\n  burst: 10000\n  when_exceeded: drop\n"
        ),
        "{rate}"
    );
    assert!(!with("{ readline_rate: 5 }").contains("\nlimits:"));
}

#[test]
fn encodings_and_archives_have_their_native_names() {
    assert!(of("encoding: UTF-16BE").contains("encoding: utf-16be\n"));
    assert!(of("encoding: utf-16").contains("encoding: auto\n"));
    assert!(of("encoding: utf8").contains("encoding: utf-8\n"));
    let text = of("decompression: { enabled: true, format: bz2, initial_delay: 5s }");
    assert!(
        text.contains("decompression: bzip2\n    decompression_delay: 5s\n"),
        "{text}"
    );
    assert!(!of("decompression: { enabled: false, format: gz }").contains("decompression"));
}

#[test]
fn a_comment_says_what_means_something_else() {
    let text = of("encoding: utf-8");
    assert!(
        text.starts_with("# Converted from promtail.yaml.\n#\n# What means something else here"),
        "{text}"
    );
    assert!(
        text.contains("# - sink client: Promtail gives a batch up after 10 attempts"),
        "{text}"
    );
}

#[test]
fn everything_stands_in_the_native_text_in_one_order() {
    let text = of("encoding: utf-8");
    let tops = text
        .lines()
        .filter(|line| line.starts_with(|letter: char| letter.is_ascii_alphabetic()));
    let tops: Vec<&str> = tops.map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        tops,
        ["data_dir", "import_positions", "server", "sources", "sinks"]
    );
}
