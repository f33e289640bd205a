//! Whole lists over a file: however it is cut into chunks the same records come out, and what a stop
//! leaves to be read again is enough.

use std::sync::LazyLock;

use tailwater_stages::Stages;
use tailwater_tailer::OverLimit;
use tailwater_tailer::frame::MIN_LINE_BYTES;

use crate::chunks::{self, Framing};
use crate::pass::{Pass, Passed};
use crate::{input, pass};

const LISTS: [&str; 14] = [
    "- cri: {}",
    "- docker: {}",
    "- json: { expressions: { a: , b: 'a.b', c: 'a[0]' } }\n- labels: { a: , b: , c: }",
    "- json: { expressions: { a: }, drop_malformed: true }\n- output: { source: a }",
    "- logfmt: { mapping: { a: , b: } }\n- labels: { a: , b: }",
    "- regex: { expression: '(?P<a>\\w+)\\W*(?P<b>.*)' }\n- output: { source: b }",
    "- replace: { expression: '(\\w)(.)?', replace: '<{{ .Value }}>' }",
    "- template: { source: t, template: '{{ .Entry | title | trunc 9 | quote }}' }\n- output: { source: t }",
    "- regex: { expression: '(?P<t>.*)' }\n- timestamp: { source: t, format: RFC3339, fallback_formats: [ Unix, 'Jan _2 15:04:05.000', '02/Jan/06 3PM MST' ] }",
    "- drop: { expression: 'a', longer_than: 3b }",
    "- match: { selector: '{job=\"test\"} |= \"a\" !~ \"b+\"', stages: [ { decolorize: {} }, { pack: {} } ] }",
    "- regex: { expression: '^(?P<s>\\w)?' }\n- labels: { s: }\n- multiline: { firstline: '^.[a-m]', max_lines: 3 }",
    "- cri: { max_partial_lines: 2 }\n- multiline: { firstline: '^[a-m]' }\n- static_labels: { a: b }",
    "- sampling: { rate: 0.5 }\n- structured_metadata: { j: job }\n- tenant: { label: job }",
];

static STAGES: LazyLock<Vec<Stages>> =
    LazyLock::new(|| LISTS.iter().map(|list| pass::list(list)).collect());

pub(crate) fn run(bytes: &[u8]) {
    let (way, rest) = input::choice(bytes, 14);
    let (stop_after, file) = input::choice(rest, 64);
    let Some(stages) = STAGES.get(usize::from(way)) else {
        return;
    };
    let framing = Framing::new(MIN_LINE_BYTES, way.is_multiple_of(2));
    let mut whole = read(stages, &framing, file, usize::MAX);
    let mut cut = read(stages, &framing, file, usize::from(stop_after));
    if framing.config.over_limit == OverLimit::Truncate {
        // The rest of a truncated line may lie outside of its span.
        [&mut whole, &mut cut].into_iter().for_each(forget_ends);
    }
    assert_eq!(whole, cut, "however the file is cut");
    check_stop(stages, &framing, file, usize::from(stop_after));
}

fn forget_ends(passed: &mut Passed) {
    let parts = passed
        .records
        .iter_mut()
        .flat_map(|record| &mut record.parts);
    parts.for_each(|part| part.span.end = 0);
}

fn read(stages: &Stages, framing: &Framing, file: &[u8], chunk_bytes: usize) -> Passed {
    let labels = pass::labels(None);
    let mut pass = Pass::new(stages, &labels);
    for record in chunks::read(framing, file, chunk_bytes) {
        pass.entry(&record.line, record.span);
    }
    pass.finish()
}

/// Stops after some lines and goes on with a new worker from where the old one held: no line is lost.
fn check_stop(stages: &Stages, framing: &Framing, file: &[u8], lines: usize) {
    let labels = pass::labels(None);
    let records = chunks::read(framing, file, usize::MAX);
    let mut before = Pass::new(stages, &labels);
    for record in records.iter().take(lines) {
        before.entry(&record.line, record.span);
    }
    let position = before.position();
    let mut after = Pass::new(stages, &labels);
    for record in &records {
        if record.span.end > position {
            assert!(record.span.start >= position, "a position within a line");
            after.entry(&record.line, record.span);
        }
    }
    let out = before.passed.lines + after.finish().lines;
    let read = u64::try_from(records.len()).unwrap_or(u64::MAX);
    assert!(
        out >= read,
        "{out} of {read} lines after a stop at {position}"
    );
}
