//! `cri`: the format of container runtimes, and the joining of their partial lines.

use crate::draft::{Draft, Slot, Value};
use crate::group::{Group, Groups, Join, StreamKey};
use crate::limits::Limits;
use crate::program::{Flow, Names, Shop};

/// Streams with a partial line at once, where the configuration says none.
const DEFAULT_MAX_PARTIAL_STREAMS: usize = 100;

/// Splits a line into its four fields.
#[derive(Clone, Debug)]
pub(crate) struct CriFields {
    time: Slot,
    stream: Slot,
    flags: Slot,
    content: Slot,
}

impl CriFields {
    pub(crate) fn new(names: &mut Names) -> Self {
        Self {
            time: names.slot("time"),
            stream: names.slot("stream"),
            flags: names.slot("flags"),
            content: names.slot("content"),
        }
    }

    pub(crate) fn apply(&self, draft: &mut Draft<'_>) {
        let Some([stream, flags, content]) = split(draft.line_bytes()) else {
            return;
        };
        let line = draft.line;
        let end = draft.line_bytes().len();
        // Each field ends at the space before the next one.
        draft.set(self.time, Value::Text(line.part(0, stream - 1)));
        draft.set(self.stream, Value::Text(line.part(stream, flags - 1)));
        draft.set(self.flags, Value::Text(line.part(flags, content - 1)));
        draft.set(self.content, Value::Text(line.part(content, end)));
    }
}

/// The offsets of stream, flags and content, where the line has all of them.
fn split(line: &[u8]) -> Option<[usize; 3]> {
    let stream = field_end(line, 0)? + 1;
    let flags = field_end(line, stream)? + 1;
    if !matches!(line.get(stream..flags - 1)?, b"stdout" | b"stderr") {
        return None;
    }
    let content = field_end(line, flags)? + 1;
    Some([stream, flags, content])
}

/// The offset of the space that ends a field of one character at least.
fn field_end(line: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    loop {
        // Whatever may end a field is no larger than a space.
        end += line.get(end..)?.iter().position(|byte| *byte <= b' ')?;
        match line.get(end)? {
            b' ' => return (end > start).then_some(end),
            b'\t' | b'\n' | b'\x0c' | b'\r' => return None,
            _ => end += 1,
        }
    }
}

/// Joins partial lines to the line that ends them.
#[derive(Clone, Debug)]
pub(crate) struct CriJoin {
    flags: Slot,
    max_streams: usize,
    /// Bytes at which a joined line is cut.
    max_line_bytes: Option<usize>,
    pub(crate) groups: Groups,
}

impl CriJoin {
    pub(crate) fn new(config: &crate::CriConfig, names: &mut Names, limits: Limits) -> Self {
        let max_line_bytes = usize::try_from(config.max_partial_line_size).unwrap_or(usize::MAX);
        Self {
            flags: names.slot("flags"),
            max_streams: config
                .max_partial_lines
                .filter(|count| *count > 0)
                .unwrap_or(DEFAULT_MAX_PARTIAL_STREAMS),
            max_line_bytes: config
                .max_partial_line_size_truncate
                .then_some(max_line_bytes),
            groups: Groups::new(limits),
        }
    }

    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>, shop: &mut Shop) -> Flow {
        let is_partial =
            matches!(draft.value(self.flags), Value::Text(flags) if draft.bytes(flags) == b"P");
        if !is_partial && self.groups.is_empty() {
            return Flow::Next;
        }
        let Some(part) = draft.parts().last() else {
            return Flow::Next;
        };
        let key = StreamKey {
            file: part.file,
            labels: draft.labels().clone(),
        };
        if is_partial {
            self.hold(&key, draft, shop);
            return Flow::Hold;
        }
        if let Some(group) = self.groups.take(&key) {
            self.complete(group, draft);
        }
        Flow::Next
    }

    /// Keeps a partial line; too many streams with one release all of them.
    fn hold(&mut self, key: &StreamKey, draft: &Draft<'_>, shop: &mut Shop) {
        if self.groups.len() >= self.max_streams {
            self.groups.release_where(|_| true, &mut shop.released);
        }
        if self.groups.has_no_room(key, draft.line_bytes().len()) {
            shop.released.extend(self.groups.take(key));
        }
        // Time, labels and values are those of the last part.
        self.groups.open(key, draft);
        let join = Join {
            separator: b"",
            max_line_bytes: self.max_line_bytes,
        };
        self.groups.join(key, draft, join, &mut shop.released);
    }

    /// Puts what was held before the line that ends it.
    fn complete(&self, mut group: Group, draft: &mut Draft<'_>) {
        group.join(draft, b"");
        if let Some(max) = self.max_line_bytes {
            group.line.truncate(max);
        }
        draft.line = draft.keep(&group.line);
        draft.set_parts(group.parts, group.lines);
    }
}
