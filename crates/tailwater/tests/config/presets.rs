//! `preset` of a source.

use tailwater::presets::read;
use tailwater_engine::SeverityForm;
use tailwater_record::{FileId, LabelSet, Span, TimestampNs};
use tailwater_stages::{Entry, Outcome};

use super::{check, parse};

#[test]
fn every_preset_is_one_for_a_source() {
    for preset in tailwater_presets::all() {
        let name = preset.name;
        let source = format!("include: [\"/x/*.log\"], preset: {name}");
        let config = parse(&format!(
            "sources: {{ a: {{ {source} }} }}\nsinks: {{ o: {{ loki: {{ url: \"http://loki:3100\" }} }} }}\n"
        ));
        assert!(config.unwrap().engine.sources[0].stages.is_some(), "{name}");
        assert_eq!(read(preset).summary, preset.summary);
    }
}

#[test]
fn the_stages_of_the_source_come_behind_those_of_its_preset() {
    let config = parse(
        r#"
sources:
  a:
    include: ["/x/*.log"]
    preset: logfmt
    stages:
      - structured_metadata: { from_preset: time }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
    );
    let config = config.unwrap();
    let stages = config.engine.sources[0].stages.as_ref().unwrap();
    let labels = LabelSet::new([("job", "a")]).unwrap();
    let entry = Entry {
        file: FileId(1),
        seed: 0,
        span: Span { start: 0, end: 1 },
        line: b"level=info time=1970-01-01T00:00:07Z msg=x",
        timestamp: TimestampNs(9),
        labels: &labels,
    };
    let mut found = Vec::new();
    stages.worker().process(&entry, &mut |outcome| {
        if let Outcome::Record(record) = outcome {
            found.push((
                record.timestamp.0,
                record
                    .metadata
                    .contains(&("from_preset", "1970-01-01T00:00:07Z")),
            ));
        }
    });
    assert_eq!(found, [(7_000_000_000, true)]);
}

#[test]
fn a_preset_that_there_is_not_is_answered_with_the_nearest() {
    let config = r#"sources:
  a:
    include: ["/x/*.log"]
    preset: logfnt
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#;
    let names: Vec<&str> = tailwater_presets::all()
        .iter()
        .map(|preset| preset.name)
        .collect();
    let expected = format!(
        r"
tailwater.yaml:4:13: there is no preset `logfnt`
  |
4 |     preset: logfnt
  |             ^^^^^^ did you mean `logfmt`?
  |
  = valid here: {}
",
        names.join(", ")
    );
    check(config, &expected);
}

#[test]
fn an_error_in_a_stage_behind_a_preset_is_at_its_own_place() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    preset: logfmt
    stages:
      - labels: { job: }
      - regex: { expression: "(" }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:7:30: `(` is not a regular expression: unclosed group
  |
7 |       - regex: { expression: "(" }
  |                              ^^^
  |
  = help: write it in RE2 syntax, which has neither look-around nor back-references
"#,
    );
}

#[test]
fn with_a_preset_the_severity_is_sent_unless_it_is_not_wanted() {
    for (keys, form) in [
        ("", SeverityForm::None),
        ("preset: json", SeverityForm::StructuredMetadata),
        ("preset: json, severity: none", SeverityForm::None),
        ("preset: json, severity: label", SeverityForm::Label),
    ] {
        let config = parse(&format!(
            "sources: {{ a: {{ include: [\"/x/*.log\"], {keys} }} }}\nsinks: {{ o: {{ loki: {{ url: \"http://loki:3100\" }} }} }}\n"
        ));
        assert_eq!(config.unwrap().engine.sources[0].severity, form, "{keys}");
    }
}
