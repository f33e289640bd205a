//! A list of stages as YAML, up to a line `---`, and lines for it.

use tailwater_stages::StageConfig;

use crate::{input, pass};

/// A list with more expressions than this is compiled and not run.
const MAX_STAGES: usize = 16;

pub(crate) fn run(bytes: &[u8]) {
    let end = bytes.windows(5).position(|window| window == b"\n---\n");
    let (yaml, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let Ok(yaml) = std::str::from_utf8(yaml) else {
        return;
    };
    let Ok(list) = serde_saphyr::from_str::<Vec<StageConfig>>(yaml) else {
        return;
    };
    // The workers of one compiled list share its rate limits: the second pass has its own.
    let (Some(one), Some(other)) = (pass::compile(&list), pass::compile(&list)) else {
        return;
    };
    assert!(list.is_empty() == one.is_empty());
    let lines = rest.get(5..).unwrap_or_default();
    if list.len() <= MAX_STAGES {
        let passed = |stages| pass::pass(stages, &pass::labels(None), input::lines(lines));
        assert_eq!(passed(&one), passed(&other));
    }
}
