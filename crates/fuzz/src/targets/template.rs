//! `template`: the template, a value, and the line.

use tailwater_stages::{OutputConfig, StageConfig, TemplateConfig};

use crate::{input, pass};

/// What a template may make.
const MAX_RESULT_BYTES: usize = 33 << 20;

pub(crate) fn run(bytes: &[u8]) {
    let Some((template, rest)) = input::text_line(bytes) else {
        return;
    };
    let Some((value, line)) = input::text_line(rest) else {
        return;
    };
    let sets = StageConfig::Template(TemplateConfig {
        source: "v".to_owned(),
        template: template.to_owned(),
    });
    let puts = StageConfig::Output(OutputConfig {
        source: "v".to_owned(),
    });
    let Some(stages) = pass::compile(&[sets, puts]) else {
        assert!(template.contains("{{"), "text without braces is a template");
        return;
    };
    let labels = pass::labels(Some(value));
    let passed = pass::lines(&stages, &labels, std::iter::once(line));
    let record = passed.only().expect("nothing is dropped");
    assert!(record.line.len() <= MAX_RESULT_BYTES.max(bytes.len()));
    if !template.is_empty() && !template.contains("{{") {
        assert_eq!(record.line, template.as_bytes(), "text stands for itself");
    }
}
