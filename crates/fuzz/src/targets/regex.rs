//! `regex`, `drop` and `match` with the same expression, the first line: all compile it or none does, and
//! they agree on the rest.

use std::collections::BTreeMap;

use tailwater_stages::{DropConfig, MatchConfig, RegexConfig, StageConfig};

use crate::{input, pass};

pub(crate) fn run(bytes: &[u8]) {
    let Some((expression, line)) = input::text_line(bytes) else {
        return;
    };
    let regex = StageConfig::Regex(RegexConfig {
        expression: expression.to_owned(),
        source: None,
    });
    let labels = StageConfig::Labels(BTreeMap::from([("a".to_owned(), None)]));
    let drop = StageConfig::Drop(DropConfig {
        expression: Some(expression.to_owned()),
        ..DropConfig::default()
    });
    let extracts = pass::compile(&[regex, labels]);
    let drops = pass::compile(&[drop]);
    let chooses = pass::compile(&[chosen(expression)]);
    assert_eq!(extracts.is_some(), drops.is_some());
    assert_eq!(extracts.is_some(), chooses.is_some());
    let (Some(extracts), Some(drops), Some(chooses)) = (extracts, drops, chooses) else {
        return;
    };
    let record = pass::one(&extracts, line);
    let record = record.only().expect("nothing is dropped");
    assert_eq!(record.line, line);
    let is_dropped = pass::one(&drops, line).records.is_empty();
    let is_chosen = pass::one(&chooses, line).records.is_empty();
    assert_eq!(is_dropped, is_chosen, "drop and match");
    assert!(
        is_dropped || record.label("a").is_none(),
        "a group without a match"
    );
}

/// Drops the lines that a filter of a selector finds.
fn chosen(expression: &str) -> StageConfig {
    let quoted = expression.replace('\\', "\\\\").replace('"', "\\\"");
    StageConfig::Match(MatchConfig {
        selector: format!("{{job=\"test\"}} |~ \"{quoted}\""),
        stages: Vec::new(),
        action: "drop".to_owned(),
        pipeline_name: None,
        drop_counter_reason: None,
    })
}
