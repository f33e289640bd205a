//! `json` with a `JMESPath` expression, the first line, over JSON, the rest.

use std::collections::BTreeMap;

use tailwater_stages::{JsonConfig, StageConfig};

use crate::{input, pass};

/// Longer expressions are compiled and not run: those that double their result at each step are of the
/// operator's own making.
const MAX_RUN_BYTES: usize = 64;

pub(crate) fn run(bytes: &[u8]) {
    let Some((expression, line)) = input::text_line(bytes) else {
        return;
    };
    let json = StageConfig::Json(JsonConfig {
        expressions: BTreeMap::from([("a".to_owned(), Some(expression.to_owned()))]),
        source: None,
        drop_malformed: false,
    });
    let labels = StageConfig::Labels(BTreeMap::from([("a".to_owned(), None)]));
    let Some(stages) = pass::compile(&[json, labels]) else {
        return;
    };
    if expression.len() <= MAX_RUN_BYTES {
        let passed = pass::one(&stages, line);
        let record = passed.only().expect("nothing is dropped");
        assert_eq!(record.line, line);
    }
}
