//! `replace`: an expression, a template, and the line.

use tailwater_stages::{DropConfig, ReplaceConfig, StageConfig};

use crate::{input, pass};

pub(crate) fn run(bytes: &[u8]) {
    let Some((expression, rest)) = input::text_line(bytes) else {
        return;
    };
    let Some((template, line)) = input::text_line(rest) else {
        return;
    };
    let replace = StageConfig::Replace(ReplaceConfig {
        expression: expression.to_owned(),
        source: None,
        replace: template.to_owned(),
    });
    let Some(replaces) = pass::compile(&[replace]) else {
        return;
    };
    let drop = StageConfig::Drop(DropConfig {
        expression: Some(expression.to_owned()),
        ..DropConfig::default()
    });
    let drops = pass::compile(&[drop]).expect("the expression is the same");
    let passed = pass::one(&replaces, line);
    let record = passed.only().expect("nothing is dropped");
    if !pass::one(&drops, line).records.is_empty() {
        assert_eq!(record.line, line, "no match, no change");
    }
    if !template.contains("{{") && std::str::from_utf8(line).is_ok() {
        let is_text = std::str::from_utf8(&record.line).is_ok();
        assert!(is_text, "a character was torn apart");
    }
}
