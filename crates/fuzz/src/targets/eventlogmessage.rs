//! `eventlogmessage`: keys of any kind become labels or are left out.

use std::sync::LazyLock;

use tailwater_stages::Stages;

use crate::{input, pass};

const ENDS: [&str; 4] = [
    "{}",
    "{ drop_invalid_labels: true }",
    "{ overwrite_existing: true }",
    "{ drop_invalid_labels: true, overwrite_existing: true }",
];

static LISTS: LazyLock<Vec<Stages>> = LazyLock::new(|| {
    let list = |settings: &&str| {
        let regex = "- regex: { expression: '(?s)(?P<message>.*)' }";
        let labels = "- labels: { a: , b: , a_extracted: , job: , job_extracted: , _: , a_b: }";
        pass::list(&format!("{regex}\n- eventlogmessage: {settings}\n{labels}"))
    };
    ENDS.iter().map(list).collect()
});

pub(crate) fn run(bytes: &[u8]) {
    let (way, message) = input::choice(bytes, 4);
    let Some(stages) = LISTS.get(usize::from(way)) else {
        return;
    };
    let passed = pass::one(stages, message);
    let record = passed.only().expect("nothing is dropped");
    assert_eq!(record.line, message);
    if ENDS
        .get(usize::from(way))
        .is_some_and(|end| !end.contains("overwrite"))
    {
        assert_eq!(record.label("job"), Some("test"), "a label was overwritten");
    }
}
