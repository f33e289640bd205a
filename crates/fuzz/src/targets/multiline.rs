//! `multiline`: the lines of one stream come out once, in their order, joined by `\n`.

use std::sync::LazyLock;

use tailwater_stages::Stages;

use crate::pass::Pass;
use crate::{input, pass};

static LISTS: LazyLock<[Stages; 3]> = LazyLock::new(|| {
    [
        pass::list("- multiline: { firstline: '^[a-m]', max_lines: 3 }"),
        pass::list("- multiline: { firstline: '^\\S', max_wait_time: 2ms }"),
        pass::list("- multiline: { firstline: 'é|^[^\\x00-\\x7f]', max_lines: 0 }"),
    ]
});

/// A line of this alone lets time go by instead.
const WAIT: &[u8] = b"~";

pub(crate) fn run(bytes: &[u8]) {
    let (way, rest) = input::choice(bytes, 3);
    let Some(stages) = LISTS.get(usize::from(way)) else {
        return;
    };
    let labels = pass::labels(None);
    let mut pass = Pass::new(stages, &labels);
    for line in input::lines(rest) {
        if line == WAIT {
            pass.flush(5_000_000_000);
        } else {
            pass.line(line);
        }
    }
    let records = pass.finish().records;
    // Promtail's rule: an empty line that begins a record leaves no trace in it.
    let is_there = |line: &&[u8]| !line.is_empty();
    for record in &records {
        let lines = record.line.split(|byte| *byte == b'\n').count();
        let lines = u64::try_from(lines).unwrap_or(u64::MAX);
        assert!(lines <= record.lines, "{record:?}");
    }
    let out = records
        .iter()
        .flat_map(|record| record.line.split(|byte| *byte == b'\n'));
    let read = input::lines(rest).filter(|line| *line != WAIT);
    let in_order = out.filter(is_there).eq(read.filter(is_there));
    assert!(in_order, "the lines in their order");
}
