//! `cri`: every line comes out once, and a whole one is what a second reader makes of it.

use std::sync::LazyLock;

use tailwater_stages::Stages;

use crate::{input, pass};

static LISTS: LazyLock<[Stages; 3]> = LazyLock::new(|| {
    [
        pass::list("- cri: {}"),
        pass::list("- cri: { max_partial_lines: 2 }"),
        pass::list("- cri: { max_partial_line_size: 9, max_partial_line_size_truncate: true }"),
    ]
});

pub(crate) fn run(bytes: &[u8]) {
    let (way, rest) = input::choice(bytes, 3);
    let Some(stages) = LISTS.get(usize::from(way)) else {
        return;
    };
    pass::lines(stages, &pass::labels(None), input::lines(rest));
    let (line, _) = input::line(rest);
    let passed = pass::one(stages, line);
    let record = passed.only().expect("the end of the file gives it");
    match whole(line) {
        Some((stream, content)) => {
            assert_eq!(record.line, content);
            assert_eq!(record.label("stream").map(str::as_bytes), Some(stream));
        }
        None if line.windows(3).any(|flags| flags == b" P ") => {}
        None => assert_eq!(record.line, line, "no CRI line stays as it is"),
    }
}

/// Splits a line that is no part of another one: stream and content.
fn whole(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let (time, stream) = (fields.next()?, fields.next()?);
    let (flags, content) = (fields.next()?, fields.next()?);
    let is_field = |field: &[u8]| {
        let has_space = field.iter().any(|byte| b"\t\n\x0c\r".contains(byte));
        !field.is_empty() && !has_space
    };
    let is_stream = matches!(stream, b"stdout" | b"stderr");
    let is_whole = is_stream && is_field(time) && is_field(flags) && flags != b"P";
    is_whole.then_some((stream, content))
}
