//! `decolorize`: takes away and changes nothing else, and nothing where there is no escape.

use std::sync::LazyLock;

use tailwater_stages::Stages;

use crate::pass;

static STAGES: LazyLock<Stages> = LazyLock::new(|| pass::list("- decolorize: {}"));

pub(crate) fn run(bytes: &[u8]) {
    let passed = pass::one(&STAGES, bytes);
    let record = passed.only().expect("nothing is dropped");
    if !bytes.contains(&0x1b) {
        assert_eq!(record.line, bytes);
    }
    let mut rest = bytes.iter();
    let is_kept = record.line.iter().all(|byte| rest.any(|read| read == byte));
    assert!(is_kept, "a byte that was not there");
}
