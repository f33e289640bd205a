//! `labels`, `static_labels`, `labelallow`, `labeldrop`, `structured_metadata`, `tenant`.

use crate::kit::*;

fn names(record: &Record) -> Vec<&str> {
    record
        .labels
        .iter()
        .map(|(name, _)| name.as_str())
        .collect()
}

#[test]
fn labels_are_set_from_extracted_values() {
    let yaml = "- json: { expressions: { a: , n: , e: , z: } }\n- labels: { a: , number: n, e: , z: , missing: }";
    let record = one(yaml, r#"{"a":"x","n":1.5,"e":"","z":null}"#);
    assert_eq!(record.label("a"), Some("x"));
    assert_eq!(record.label("number"), Some("1.5"));
    assert_eq!(record.label("e"), Some(""));
    assert_eq!(names(&record), ["a", "e", "job", "number"]);
}

#[test]
fn a_label_of_the_same_name_is_replaced() {
    let yaml = "- json: { expressions: { job: } }\n- labels: { job: }";
    assert_eq!(one(yaml, r#"{"job":"new"}"#).label("job"), Some("new"));
}

#[test]
fn a_value_that_is_not_utf8_sets_no_label() {
    let yaml = "- regex: { expression: '(?P<a>.+)' }\n- labels: { a: }";
    assert_eq!(names(&one(yaml, b"\xff")), ["job"]);
}

#[test]
fn an_empty_source_of_a_label_means_its_name() {
    let yaml = "- json: { expressions: { a: } }\n- labels: { a: '' }";
    assert_eq!(one(yaml, r#"{"a":"x"}"#).label("a"), Some("x"));
}

#[test]
fn a_label_can_be_set_from_another_one() {
    let record = one("- labels: { copy: job }", "x");
    assert_eq!(record.label("copy"), Some("test"));
}

#[test]
fn equal_labels_are_one_set() {
    let stages = tailwater_stages::Stages::compile(&stages("- labels: { copy: job }")).unwrap();
    let mut worker = stages.worker();
    let labels = set(&[("job", "a")]);
    let mut seen = Vec::new();
    for offset in 0..2 {
        let entry = tailwater_stages::Entry {
            file: tailwater_record::FileId(1),
            seed: 0,
            span: tailwater_record::Span {
                start: offset,
                end: offset + 1,
            },
            line: b"",
            timestamp: tailwater_record::TimestampNs(NOW),
            labels: &labels,
        };
        worker.process(&entry, &mut |outcome| {
            if let tailwater_stages::Outcome::Record(record) = outcome {
                seen.push(record.labels.clone());
            }
        });
    }
    assert!(seen[0].is_same(&seen[1]));
}

#[test]
fn static_labels_are_set_and_empty_ones_skipped() {
    let record = one("- static_labels: { a: x, b: , c: '', job: other }", "x");
    assert_eq!(names(&record), ["a", "job"]);
    assert_eq!(
        (record.label("a"), record.label("job")),
        (Some("x"), Some("other"))
    );
}

#[test]
fn static_labels_are_no_extracted_values() {
    assert_eq!(extracted("- static_labels: { a: x }", "a", "line"), None);
}

#[test]
fn a_number_is_a_static_label_as_it_was_written() {
    let record = one("- static_labels: { port: 8080, version: 1.10 }", "x");
    assert_eq!(
        (record.label("port"), record.label("version")),
        (Some("8080"), Some("1.10"))
    );
}

#[test]
fn a_static_label_is_seen_by_a_nested_pipeline_as_extracted() {
    let yaml = "- static_labels: { a: x }\n- match: { selector: '{a=\"x\"}', stages: [ { labels: { b: a } } ] }";
    assert_eq!(one(yaml, "line").label("b"), Some("x"));
}

#[test]
fn static_labels_win_over_labels_before_them() {
    let yaml = "- labels: { a: job }\n- static_labels: { a: fixed }";
    assert_eq!(one(yaml, "x").label("a"), Some("fixed"));
}

#[test]
fn labelallow_keeps_the_labels_it_names() {
    let mut run =
        Run::new("- labelallow: [ a, c, missing ]").labels(&[("a", "1"), ("b", "2"), ("c", "3")]);
    run.line("x");
    assert_eq!(names(run.last()), ["a", "c"]);
}

#[test]
fn labelallow_of_nothing_that_is_there_leaves_no_label() {
    assert!(names(&one("- labelallow: [ missing ]", "x")).is_empty());
}

#[test]
fn labelallow_and_labeldrop_leave_extracted_values_alone() {
    let yaml = "- labeldrop: [ job ]\n- labels: { again: job }";
    let record = one(yaml, "x");
    assert_eq!(names(&record), ["again"]);
    let yaml = "- labelallow: [ none ]\n- labels: { again: job }";
    assert_eq!(names(&one(yaml, "x")), ["again"]);
}

#[test]
fn labelallow_of_all_labels_changes_nothing() {
    assert_eq!(names(&one("- labelallow: [ job ]", "x")), ["job"]);
}

#[test]
fn labelallow_applies_to_labels_that_stages_set() {
    let yaml = "- static_labels: { a: x, b: y }\n- labelallow: [ b ]";
    assert_eq!(names(&one(yaml, "x")), ["b"]);
}

#[test]
fn labeldrop_removes_the_labels_it_names() {
    let mut run = Run::new("- labeldrop: [ a, missing ]").labels(&[("a", "1"), ("b", "2")]);
    run.line("x");
    assert_eq!(names(run.last()), ["b"]);
}

#[test]
fn labeldrop_of_a_label_of_a_stage_removes_it() {
    assert_eq!(
        names(&one("- static_labels: { a: x }\n- labeldrop: [ a ]", "x")),
        ["job"]
    );
}

#[test]
fn labeldrop_of_the_last_label_leaves_none() {
    assert!(names(&one("- labeldrop: [ job ]", "x")).is_empty());
}

#[test]
fn a_dropped_label_can_be_set_again() {
    let yaml = "- labeldrop: [ job ]\n- static_labels: { job: again }";
    assert_eq!(one(yaml, "x").label("job"), Some("again"));
}

#[test]
fn structured_metadata_comes_from_extracted_values_first() {
    let yaml = "- json: { expressions: { pod: } }\n- structured_metadata: { pod: }";
    let mut run = Run::new(yaml).labels(&[("pod", "label")]);
    run.line(r#"{"pod":"json"}"#);
    assert_eq!(run.last().metadata, [("pod".to_owned(), "json".to_owned())]);
    assert_eq!(
        run.last().label("pod"),
        Some("label"),
        "the label says another thing"
    );
}

#[test]
fn structured_metadata_can_have_another_name_and_is_not_set_without_a_source() {
    let yaml = "- json: { expressions: { t: } }\n- structured_metadata: { trace_id: t, none: }";
    assert_eq!(
        one(yaml, r#"{"t":"1f"}"#).metadata,
        [("trace_id".to_owned(), "1f".to_owned())]
    );
}

#[test]
fn non_indexed_labels_is_the_old_name_of_structured_metadata() {
    let record = one("- non_indexed_labels: { job: }", "x");
    assert_eq!(record.metadata, [("job".to_owned(), "test".to_owned())]);
}

#[test]
fn structured_metadata_of_a_label_that_a_stage_set_demotes_it() {
    let yaml = "- static_labels: { pod: p }\n- structured_metadata: { pod: }";
    let record = one(yaml, "x");
    assert_eq!(record.metadata, [("pod".to_owned(), "p".to_owned())]);
    assert_eq!(names(&record), ["job"]);
}

#[test]
fn more_pairs_of_metadata_than_fit_in_the_small_list_are_all_there() {
    let pairs: Vec<String> = (0..40).map(|number| format!("m{number:02}: job")).collect();
    let record = one(
        &format!("- structured_metadata: {{ {} }}", pairs.join(", ")),
        "x",
    );
    // After the first one the label is gone, but the extracted value is not.
    assert_eq!(record.metadata.len(), 40);
    assert_eq!(record.metadata[39], ("m39".to_owned(), "test".to_owned()));
}

#[test]
fn the_tenant_is_a_value_a_source_or_a_label() {
    assert_eq!(one("- tenant: { value: a }", "x").tenant.unwrap(), "a");
    assert_eq!(one("- tenant: { label: job }", "x").tenant.unwrap(), "test");
    let yaml = "- json: { expressions: { t: } }\n- tenant: { source: t }";
    assert_eq!(one(yaml, r#"{"t":12}"#).tenant.unwrap(), "12");
}

#[test]
fn a_tenant_whose_source_is_missing_is_not_set() {
    assert_eq!(one("- tenant: { source: missing }", "x").tenant, None);
    assert_eq!(one("- tenant: { label: missing }", "x").tenant, None);
}

#[test]
fn an_empty_source_leaves_the_tenant_as_it_is() {
    let yaml = "- regex: { expression: 'tenant=(?P<t>[a-z]*)' }\n- tenant: { source: t }";
    assert_eq!(one(yaml, "tenant=").tenant, None);
    let yaml = format!("- tenant: {{ value: a }}\n{yaml}");
    assert_eq!(one(&yaml, "tenant=").tenant.as_deref(), Some("a"));
    assert_eq!(one(&yaml, "tenant=b").tenant.as_deref(), Some("b"));
    let yaml = "- regex: { expression: 'tenant=(?P<t>[a-z]*)' }\n- labels: { __tenant_id__: t }";
    let record = one(yaml, "tenant=");
    assert_eq!(record.tenant, None);
    assert!(
        record
            .labels
            .iter()
            .all(|(name, _)| name != "__tenant_id__")
    );
}

#[test]
fn the_last_tenant_wins_and_is_no_label() {
    let record = one("- tenant: { value: a }\n- tenant: { value: b }", "x");
    assert_eq!(record.tenant.as_deref(), Some("b"));
    assert_eq!(names(&record), ["job"]);
}

#[test]
fn a_label_of_the_file_can_be_the_tenant() {
    let mut run = Run::new("- labels: { a: job }").labels(&[("__tenant_id__", "t"), ("job", "x")]);
    run.line("x");
    assert_eq!(run.last().tenant.as_deref(), Some("t"));
    assert_eq!(names(run.last()), ["a", "job"]);
}

#[test]
fn a_tenant_can_be_matched_by_a_selector() {
    let yaml =
        "- tenant: { value: a }\n- match: { selector: '{__tenant_id__=\"a\"}', action: drop }";
    let mut run = Run::new(yaml);
    run.line("x");
    assert_eq!(run.dropped.len(), 1);
}
