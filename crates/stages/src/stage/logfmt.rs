//! `logfmt`: values of `key=value` pairs.

use crate::LogfmtConfig;
use crate::draft::{Draft, Slot, Value, reuse};
use crate::program::Names;

#[derive(Clone, Debug)]
pub(crate) struct Logfmt {
    source: Option<Slot>,
    /// Keys of the line, each once.
    keys: Vec<(Box<[u8]>, Slot)>,
    found: Vec<Found>,
    /// Quoted values with escapes.
    made: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Found {
    InText(Slot, usize, usize),
    Made(Slot, usize, usize),
}

/// A key, and its value without the quotes.
#[derive(Clone, Copy, Debug)]
struct Pair<'t> {
    key: &'t [u8],
    start: usize,
    end: usize,
    has_escapes: bool,
}

impl Logfmt {
    pub(crate) fn new(config: &LogfmtConfig, names: &mut Names) -> Self {
        let mut keys: Vec<(Box<[u8]>, Slot)> = Vec::new();
        for (name, key) in &config.mapping {
            let key = key.as_deref().filter(|key| !key.is_empty()).unwrap_or(name);
            let slot = names.slot(name);
            // Of two names for one key the last one is set, and only that.
            keys.retain(|(known, _)| **known != *key.as_bytes());
            keys.push((key.as_bytes().into(), slot));
        }
        Self {
            source: config.source.as_deref().map(|name| names.slot(name)),
            keys,
            found: Vec::new(),
            made: Vec::new(),
        }
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) {
        let Some(text) = draft.source(self.source) else {
            return;
        };
        self.read(draft.bytes(text));
        let made = draft.keep(&self.made);
        for found in &self.found {
            match *found {
                Found::InText(slot, start, end) => {
                    draft.set(slot, Value::Text(text.part(start, end)));
                }
                Found::Made(slot, start, end) => {
                    draft.set(slot, Value::Text(made.part(start, end)));
                }
            }
        }
    }

    /// Finds the values; those before a mistake count.
    fn read(&mut self, text: &[u8]) {
        self.found.clear();
        reuse(&mut self.made);
        let mut at = 0;
        while let Some(pair) = next_pair(text, &mut at) {
            let slot = self.keys.iter().find(|(key, _)| **key == *pair.key);
            let Some((_, slot)) = slot else {
                continue;
            };
            if pair.has_escapes {
                let from = self.made.len();
                unescape(
                    text.get(pair.start..pair.end).unwrap_or_default(),
                    &mut self.made,
                );
                self.found.push(Found::Made(*slot, from, self.made.len()));
            } else {
                self.found.push(Found::InText(*slot, pair.start, pair.end));
            }
        }
    }
}

fn is_space(byte: u8) -> bool {
    byte <= b' '
}

/// Reads the next pair; nothing at the end of the text, and at a mistake. Each line of a text goes on
/// with the pairs of the one before.
fn next_pair<'t>(text: &'t [u8], at: &mut usize) -> Option<Pair<'t>> {
    while text.get(*at).is_some_and(|byte| is_space(*byte)) {
        *at += 1;
    }
    let key_start = *at;
    while text
        .get(*at)
        .is_some_and(|byte| !is_space(*byte) && !matches!(byte, b'=' | b'"'))
    {
        *at += 1;
    }
    let key = text.get(key_start..*at)?;
    match text.get(*at) {
        Some(b'=') if !key.is_empty() => *at += 1,
        // A key alone has the empty value.
        Some(byte) if is_space(*byte) && !key.is_empty() => {
            return Some(Pair {
                key,
                start: *at,
                end: *at,
                has_escapes: false,
            });
        }
        None if !key.is_empty() => {
            return Some(Pair {
                key,
                start: *at,
                end: *at,
                has_escapes: false,
            });
        }
        _ => return None,
    }
    if text.get(*at) == Some(&b'"') {
        return quoted(text, at, key);
    }
    let start = *at;
    while text
        .get(*at)
        .is_some_and(|byte| !is_space(*byte) && !matches!(byte, b'=' | b'"'))
    {
        *at += 1;
    }
    if matches!(text.get(*at), Some(b'=' | b'"')) {
        return None;
    }
    Some(Pair {
        key,
        start,
        end: *at,
        has_escapes: false,
    })
}

fn quoted<'t>(text: &'t [u8], at: &mut usize, key: &'t [u8]) -> Option<Pair<'t>> {
    let start = *at + 1;
    let mut end = start;
    let mut has_escapes = false;
    loop {
        end += memchr::memchr3(b'"', b'\\', b'\n', text.get(end..)?)?;
        // A value ends with its line.
        if matches!(text.get(end..)?, [b'\n', ..] | [b'\\', b'\n', ..]) {
            return None;
        }
        if text.get(end) == Some(&b'"') {
            *at = end + 1;
            return Some(Pair {
                key,
                start,
                end,
                has_escapes,
            });
        }
        has_escapes = true;
        end += 2;
    }
}

/// Writes what a quoted value stands for; an escape that is none stands for itself.
fn unescape(inside: &[u8], out: &mut Vec<u8>) {
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let Some((kind, after)) = rest.get(at + 1..).and_then(<[u8]>::split_first) else {
            return;
        };
        rest = after;
        match kind {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => rest = crate::json::decode_unicode(after, out),
            other => out.push(*other),
        }
    }
    out.extend_from_slice(rest);
}
