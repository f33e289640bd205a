//! Relabeling of targets, as Prometheus does it.

mod rule;

use std::collections::BTreeMap;

pub(crate) use rule::{BadRule, Rule, compile, is_label_name};

/// Labels of a target, by name. A label without a value is one that is not there.
pub(crate) type Labels = BTreeMap<String, String>;

/// Runs the rules one after the other; `None` where one of them drops the target.
pub(crate) fn process(rules: &[Rule], labels: Labels) -> Option<Labels> {
    let mut labels = labels;
    for rule in rules {
        if !rule.apply(&mut labels) {
            return None;
        }
    }
    labels.retain(|_, value| !value.is_empty());
    Some(labels)
}

#[cfg(test)]
mod tests;
