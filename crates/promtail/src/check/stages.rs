//! Checking `pipeline_stages`.

use tailwater_stages::{StageConfig, Stages};
use tailwater_yaml::{Checker, KeyPath, Step};

/// What is done about a stage or a key that only the native form has.
const WAY_OUT: &str = "Promtail would not start with this file: take it out, or go on in the native form, which \
                       `tailwater convert` prints without it";

/// Checks the stages of a job.
pub(super) fn check(checker: &mut Checker<'_>, path: &KeyPath, stages: &[StageConfig]) {
    check_own(checker, path, stages);
    if let Err(error) = Stages::compile(stages) {
        let message = checker.without_variables(error.problem());
        let hint = checker.without_variables(error.hint());
        checker.fail(&below(path, error.path()), message, hint);
    }
}

/// Refuses what is ours: the file would no longer be one of Promtail's.
fn check_own(checker: &mut Checker<'_>, path: &KeyPath, stages: &[StageConfig]) {
    for (index, stage) in stages.iter().enumerate() {
        let at = path.index(index);
        if let StageConfig::Match(nested) = stage {
            check_own(checker, &at.key("match").key("stages"), &nested.stages);
        }
        let Some((name, key)) = own_part(stage) else {
            continue;
        };
        let stage = at.key(name);
        match key {
            None => {
                let message = format!("`{name}` is no stage of Promtail's");
                checker.fail_key(&stage, message, WAY_OUT);
            }
            Some(key) => {
                let message = format!("`{key}` is no key of Promtail's `{name}`");
                checker.fail_key(&stage.key(key), message, WAY_OUT);
            }
        }
    }
}

/// Returns a stage that is ours, or the key of one that is.
fn own_part(stage: &StageConfig) -> Option<(&'static str, Option<&'static str>)> {
    if let StageConfig::Truncate(_) = stage {
        return Some(("truncate", None));
    }
    if let StageConfig::Level(_) = stage {
        return Some(("level", None));
    }
    if let StageConfig::Multiline(config) = stage {
        let heading = config.heading.as_ref().map(|_| "heading");
        return heading.map(|key| ("multiline", Some(key)));
    }
    if let StageConfig::Timestamp(config) = stage {
        let location = config.location_source.as_ref().map(|_| "location_source");
        let year = config.year.as_ref().map(|_| "year");
        return location.or(year).map(|key| ("timestamp", Some(key)));
    }
    if let StageConfig::Sampling(config) = stage {
        let keep = config.keep.as_ref().map(|_| "keep");
        return keep.map(|key| ("sampling", Some(key)));
    }
    None
}

/// Adds `[2].match.stages[0].regex` to a path.
fn below(path: &KeyPath, inside: &str) -> KeyPath {
    let mut path = path.clone();
    for part in inside.split(['.', '[']).filter(|part| !part.is_empty()) {
        let index = part.strip_suffix(']').and_then(|index| index.parse().ok());
        path.0.push(match index {
            Some(index) => Step::Index(index),
            None => Step::Key(part.to_owned()),
        });
    }
    path
}
