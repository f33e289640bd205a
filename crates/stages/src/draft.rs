//! A record while it passes the stages: its line, time, labels and extracted values.
//!
//! Text is never copied where a range will do: a [`Text`] is a range of the line as it was read, or
//! of the draft's arena, where text that a stage made stands. The arena and the lists are reused from
//! line to line.

use std::io::Write as _;

use tailwater_record::{LabelSet, Severity, TimestampNs};

use crate::interner::Interner;
use crate::program::Names;
use crate::worker::Part;

/// The index of an extracted value's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(pub(crate) usize);

/// A range of the original line or of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    place: Place,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// As wide as an offset: bytes that mean nothing would be copied one by one.
#[repr(usize)]
enum Place {
    Original,
    Arena,
}

impl Text {
    /// Returns a part of the text, by offsets within it.
    pub(crate) fn part(self, start: usize, end: usize) -> Self {
        Self {
            place: self.place,
            start: self.start + start,
            end: (self.start + end).min(self.end),
        }
    }
}

/// An extracted value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// The key is not in the map.
    Missing,
    /// The key is there, without a value: JSON's null.
    Nil,
    /// Text; any bytes.
    Text(Text),
    /// A number of JSON, which is always a float.
    Number(f64),
    /// A truth value of JSON.
    Bool(bool),
}

/// The parts of a draft that are reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) arena: Vec<u8>,
    pub(crate) values: Vec<Value>,
    pub(crate) metadata: Vec<(Text, Text)>,
}

/// Bytes of a buffer that is kept for the next line.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// Empties a buffer for the next use; what a huge line made of it is given back.
pub(crate) fn reuse(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(MAX_KEPT_BYTES);
}

impl Buffers {
    /// Makes them ready for a line, with so many names.
    pub(crate) fn clear(&mut self, names: usize) {
        reuse(&mut self.arena);
        self.values.clear();
        self.values.resize(names, Value::Missing);
        self.metadata.clear();
    }
}

/// Bytes of files, in the order of reading, and when the first line of each was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) parts: Vec<Part>,
    /// As many as there are parts.
    read_at: Vec<TimestampNs>,
}

impl Parts {
    pub(crate) fn as_ref(&self) -> PartsRef<'_> {
        PartsRef {
            parts: &self.parts,
            read_at: &self.read_at,
        }
    }

    /// Adds what was read after it; further bytes of the last file make that part longer.
    pub(crate) fn join(&mut self, after: PartsRef<'_>) {
        for (part, read_at) in after.iter() {
            match self.parts.last_mut() {
                Some(last) if last.file == part.file => {
                    last.span.end = last.span.end.max(part.span.end);
                }
                _ => {
                    self.parts.push(part);
                    self.read_at.push(read_at);
                }
            }
        }
    }
}

/// Borrowed [`Parts`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartsRef<'a> {
    pub(crate) parts: &'a [Part],
    pub(crate) read_at: &'a [TimestampNs],
}

impl PartsRef<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Part, TimestampNs)> {
        let parts = self.parts.iter().copied();
        parts.zip(self.read_at.iter().copied())
    }
}

/// A record while it passes the stages.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    original: &'a [u8],
    pub(crate) buffers: Buffers,
    pub(crate) line: Text,
    pub(crate) timestamp: TimestampNs,
    /// When the line was read.
    pub(crate) now: TimestampNs,
    /// What decides a sample.
    pub(crate) seed: u64,
    parts: PartsRef<'a>,
    /// Set where lines were joined to this one.
    joined_parts: Option<Parts>,
    pub(crate) lines: u64,
    /// Set where a stage has set it.
    pub(crate) severity: Option<Severity>,
    base: &'a LabelSet,
    /// Set where stages changed the labels.
    relabeled: Option<LabelSet>,
}

fn read<'b>(original: &'b [u8], arena: &'b [u8], text: Text) -> &'b [u8] {
    let from = match text.place {
        Place::Original => original,
        Place::Arena => arena,
    };
    from.get(text.start..text.end).unwrap_or_default()
}

fn read_str<'b>(original: &'b [u8], arena: &'b [u8], text: Text) -> &'b str {
    std::str::from_utf8(read(original, arena, text)).unwrap_or_default()
}

/// Writes the shortest digits without an exponent, as Promtail does.
fn write_float(number: f64, out: &mut Vec<u8>) {
    // Status codes and the like; writing a float takes many times as long.
    const SMALL: f64 = 1e6;
    let is_small = (1.0..SMALL).contains(&number) && number.fract() == 0.0;
    if !is_small {
        return write!(out, "{number}").expect("memory takes every write");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, positive and small"
    )]
    let mut rest = number as u32;
    let start = out.len();
    while rest > 0 {
        out.push(b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// What a draft starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) line: &'a [u8],
    pub(crate) labels: &'a LabelSet,
    pub(crate) timestamp: TimestampNs,
    pub(crate) now: TimestampNs,
    pub(crate) seed: u64,
    pub(crate) parts: PartsRef<'a>,
    pub(crate) lines: u64,
    pub(crate) severity: Option<Severity>,
}

impl<'a> Draft<'a> {
    /// Starts with a line and cleared buffers.
    pub(crate) fn new(start: Start<'a>, buffers: Buffers) -> Self {
        Self {
            original: start.line,
            buffers,
            line: Text {
                place: Place::Original,
                start: 0,
                end: start.line.len(),
            },
            timestamp: start.timestamp,
            now: start.now,
            seed: start.seed,
            parts: start.parts,
            joined_parts: None,
            lines: start.lines,
            severity: start.severity,
            base: start.labels,
            relabeled: None,
        }
    }

    /// Returns the bytes of files that it stands for.
    pub(crate) fn parts(&self) -> &[Part] {
        self.parts_ref().parts
    }

    /// Returns the bytes of files that it stands for, with the times of reading.
    pub(crate) fn parts_ref(&self) -> PartsRef<'_> {
        self.joined_parts.as_ref().map_or(self.parts, Parts::as_ref)
    }

    /// Lets it stand for the lines that were joined to it.
    pub(crate) fn set_parts(&mut self, parts: Parts, lines: u64) {
        self.joined_parts = Some(parts);
        self.lines = lines;
    }

    /// Returns the bytes of a text.
    pub(crate) fn bytes(&self, text: Text) -> &[u8] {
        read(self.original, &self.buffers.arena, text)
    }

    /// Returns the bytes of the line.
    pub(crate) fn line_bytes(&self) -> &[u8] {
        self.bytes(self.line)
    }

    /// Copies bytes into the arena.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Text {
        let start = self.buffers.arena.len();
        self.buffers.arena.extend_from_slice(bytes);
        Text {
            place: Place::Arena,
            start,
            end: self.buffers.arena.len(),
        }
    }

    /// Returns an extracted value.
    pub(crate) fn value(&self, slot: Slot) -> Value {
        self.buffers
            .values
            .get(slot.0)
            .copied()
            .unwrap_or(Value::Missing)
    }

    /// Sets an extracted value.
    pub(crate) fn set(&mut self, slot: Slot, value: Value) {
        if let Some(place) = self.buffers.values.get_mut(slot.0) {
            *place = value;
        }
    }

    /// Returns an extracted value as text; nothing where it is missing or nil.
    #[inline]
    pub(crate) fn text(&mut self, slot: Slot) -> Option<Text> {
        match self.value(slot) {
            Value::Text(text) => Some(text),
            value @ (Value::Missing | Value::Nil | Value::Number(_) | Value::Bool(_)) => {
                self.write_value(value)
            }
        }
    }

    #[inline(never)]
    fn write_value(&mut self, value: Value) -> Option<Text> {
        match value {
            Value::Missing | Value::Nil => None,
            Value::Text(text) => Some(text),
            Value::Bool(value) => Some(self.keep(if value { b"true" } else { b"false" })),
            Value::Number(number) => {
                let start = self.buffers.arena.len();
                write_float(number, &mut self.buffers.arena);
                Some(Text {
                    place: Place::Arena,
                    start,
                    end: self.buffers.arena.len(),
                })
            }
        }
    }

    /// Returns the text of `source`, or the line where there is no source.
    pub(crate) fn source(&mut self, source: Option<Slot>) -> Option<Text> {
        match source {
            Some(slot) => self.text(slot),
            None => Some(self.line),
        }
    }

    /// Copies the extracted values to other buffers, with their text.
    pub(crate) fn copy_values(&self, to: &mut Buffers) {
        to.clear(0);
        for value in &self.buffers.values {
            let copy = match value {
                Value::Text(text) => {
                    let start = to.arena.len();
                    to.arena.extend_from_slice(self.bytes(*text));
                    Value::Text(Text {
                        place: Place::Arena,
                        start,
                        end: to.arena.len(),
                    })
                }
                Value::Missing | Value::Nil | Value::Number(_) | Value::Bool(_) => *value,
            };
            to.values.push(copy);
        }
    }

    /// Returns the labels.
    pub(crate) fn labels(&self) -> &LabelSet {
        self.relabeled.as_ref().unwrap_or(self.base)
    }

    /// Returns whether the labels are those of the start.
    pub(crate) fn has_first_labels(&self) -> bool {
        self.relabeled.is_none()
    }

    /// Sets all labels.
    pub(crate) fn set_labels(&mut self, labels: LabelSet) {
        self.relabeled = Some(labels);
    }

    /// Sets one label; a value that is not UTF-8 sets none.
    pub(crate) fn set_label(&mut self, name: &str, value: Text, interner: &mut Interner) {
        let pair = std::iter::once((name, self.bytes(value)));
        let labels = interner.with(self.labels(), pair);
        self.set_labels(labels);
    }

    /// Returns the value of a label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels().get(name)
    }

    /// Returns the value of a label, to go on with.
    pub(crate) fn label_text(&mut self, name: &str) -> Option<Text> {
        let start = self.buffers.arena.len();
        let labels = self.relabeled.as_ref().unwrap_or(self.base);
        let value = labels.get(name)?;
        self.buffers.arena.extend_from_slice(value.as_bytes());
        Some(Text {
            place: Place::Arena,
            start,
            end: self.buffers.arena.len(),
        })
    }

    /// Keeps the labels whose name is chosen.
    pub(crate) fn retain_labels(&mut self, interner: &mut Interner, chosen: impl Fn(&str) -> bool) {
        if let Some(labels) = retained(self.labels(), interner, chosen) {
            self.set_labels(labels);
        }
    }

    /// Sets the extracted values that have the name of a label.
    pub(crate) fn seed(&mut self, names: &Names) {
        let labels = self.relabeled.as_ref().unwrap_or(self.base);
        let Buffers { arena, values, .. } = &mut self.buffers;
        for (name, value) in labels.iter() {
            let slot = names.find(name);
            if let Some(place) = slot.and_then(|slot| values.get_mut(slot.0)) {
                let start = arena.len();
                arena.extend_from_slice(value.as_bytes());
                *place = Value::Text(Text {
                    place: Place::Arena,
                    start,
                    end: arena.len(),
                });
            }
        }
    }

    /// Returns the text of a pair of structured metadata.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let (original, arena) = (self.original, self.buffers.arena.as_slice());
        self.buffers.metadata.iter().map(move |(name, value)| {
            (
                read_str(original, arena, *name),
                read_str(original, arena, *value),
            )
        })
    }
}

/// The labels whose name is chosen; nothing where that is all of them.
pub(crate) fn retained(
    labels: &LabelSet,
    interner: &mut Interner,
    chosen: impl Fn(&str) -> bool,
) -> Option<LabelSet> {
    let is_chosen = |(name, _): &(&str, &str)| chosen(name);
    if labels.iter().all(|pair| is_chosen(&pair)) {
        return None;
    }
    let kept: Vec<(&str, &str)> = labels.iter().filter(is_chosen).collect();
    Some(interner.intern(kept.iter().copied()))
}
