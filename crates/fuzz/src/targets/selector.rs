//! `match`: a selector, and a line. What `drop` takes is what `keep` runs its stages on.

use std::collections::BTreeMap;

use tailwater_stages::{MatchConfig, StageConfig};

use crate::{input, pass};

pub(crate) fn run(bytes: &[u8]) {
    let Some((selector, line)) = input::text_line(bytes) else {
        return;
    };
    let label = BTreeMap::from([("chosen".to_owned(), Some("yes".to_owned()))]);
    let drops = pass::compile(&[chosen(selector, "drop", Vec::new())]);
    let keeps = vec![StageConfig::StaticLabels(label)];
    let keeps = pass::compile(&[chosen(selector, "keep", keeps)]);
    assert_eq!(drops.is_some(), keeps.is_some());
    let (Some(drops), Some(keeps)) = (drops, keeps) else {
        return;
    };
    let is_dropped = pass::one(&drops, line).records.is_empty();
    let kept = pass::one(&keeps, line);
    let kept = kept.only().expect("nothing is dropped");
    assert_eq!(kept.line, line);
    assert_eq!(is_dropped, kept.label("chosen").is_some());
}

fn chosen(selector: &str, action: &str, stages: Vec<StageConfig>) -> StageConfig {
    StageConfig::Match(MatchConfig {
        selector: selector.to_owned(),
        stages,
        action: action.to_owned(),
        pipeline_name: None,
        drop_counter_reason: None,
    })
}
