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

    #[inline(never)]
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
        end += plain_len(line.get(end..)?)?;
        match line.get(end)? {
            b' ' => return (end > start).then_some(end),
            b'\t' | b'\n' | b'\x0c' | b'\r' => return None,
            _ => end += 1,
        }
    }
}

/// How many bytes come before one that is no larger than a space; nothing where none comes.
#[inline]
fn plain_len(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of each such byte, and maybe of some above the first one.
        let hits = word.wrapping_sub(ONES * (0x20 + 1)) & !word & HIGH_BITS;
        if hits != 0 {
            return Some(index * 8 + usize::try_from(hits.trailing_zeros() / 8).ok()?);
        }
    }
    let in_rest = rest.iter().position(|byte| *byte <= b' ')?;
    Some(text.len() - rest.len() + in_rest)
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

    #[inline(never)]
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
        self.groups.open(key, draft, || shop.spare_line());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_ends_wherever_its_space_stands() {
        for len in 0..40 {
            for byte in 0..=u8::MAX {
                let mut text = vec![b'x'; len];
                text.push(byte);
                text.extend_from_slice(b" \t rest of the line");
                let expected = if byte <= b' ' { len } else { len + 1 };
                assert_eq!(plain_len(&text), Some(expected), "{byte} at {len}");
            }
            assert_eq!(plain_len(&vec![0xff; len]), None);
        }
    }
}
