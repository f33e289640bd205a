//! The stages that only touch labels and structured metadata.

use tailwater_record::LabelSet;

use crate::Sources;
use crate::draft::{Draft, Slot, Text, retained};
use crate::interner::Memo;
use crate::program::{Names, Shop};

/// Results that are remembered: lines of a few kinds take turns.
const MAX_RECENT: usize = 4;

/// Bytes of values above which a result is not remembered.
const MAX_RECENT_BYTES: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Labels {
    /// Names and where their values are.
    wanted: Vec<(Box<str>, Slot)>,
    /// The values of a line, by the index of their label.
    found: Vec<(usize, Text)>,
    /// The same as bytes, each behind its index and its length.
    values: Vec<u8>,
    recent: Vec<Recent>,
    /// Which of them is replaced next.
    oldest: usize,
}

/// What values have made of a label set.
#[derive(Clone, Debug)]
struct Recent {
    from: LabelSet,
    values: Vec<u8>,
    to: LabelSet,
}

/// Pairs of a name and its source; the source of a name without one has its name.
fn pairs(config: &Sources) -> impl Iterator<Item = (&str, &str)> {
    config.iter().map(|(name, source)| {
        let source = source.as_deref().filter(|source| !source.is_empty());
        (name.as_str(), source.unwrap_or(name))
    })
}

impl Labels {
    pub(crate) fn new(config: &Sources, names: &mut Names) -> Self {
        let wanted = pairs(config).map(|(name, source)| (name.into(), names.slot(source)));
        Self {
            wanted: wanted.collect(),
            found: Vec::new(),
            values: Vec::new(),
            recent: Vec::new(),
            oldest: 0,
        }
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>, shop: &mut Shop) {
        self.found.clear();
        self.values.clear();
        for (index, (_, slot)) in self.wanted.iter().enumerate() {
            if let Some(value) = draft.text(*slot) {
                self.found.push((index, value));
                let bytes = draft.bytes(value);
                self.values.extend_from_slice(&index.to_le_bytes());
                self.values.extend_from_slice(&bytes.len().to_le_bytes());
                self.values.extend_from_slice(bytes);
            }
        }
        if self.found.is_empty() {
            return;
        }
        let from = draft.labels();
        let mut recent = self.recent.iter();
        let known = recent.find(|recent| recent.from.is_same(from) && recent.values == self.values);
        if let Some(Recent { to, .. }) = known {
            draft.set_labels(to.clone());
            return;
        }
        let pairs = self.found.iter().filter_map(|(index, value)| {
            let (name, _) = self.wanted.get(*index)?;
            Some((&**name, draft.bytes(*value)))
        });
        let labels = shop.interner.with(draft.labels(), pairs);
        self.remember(draft.labels().clone(), labels.clone());
        draft.set_labels(labels);
    }

    /// Remembers what the values of this line have made, in the place of the oldest result.
    fn remember(&mut self, from: LabelSet, to: LabelSet) {
        if self.values.len() > MAX_RECENT_BYTES {
            return;
        }
        if self.recent.len() < MAX_RECENT {
            let values = self.values.clone();
            return self.recent.push(Recent { from, values, to });
        }
        if let Some(recent) = self.recent.get_mut(self.oldest) {
            (recent.from, recent.to) = (from, to);
            recent.values.clone_from(&self.values);
        }
        self.oldest = (self.oldest + 1) % MAX_RECENT;
    }
}

/// `labelallow`, `labeldrop` and `static_labels`: what becomes of labels, whatever the line.
#[derive(Clone, Debug)]
pub(crate) struct Relabel {
    rule: Rule,
    memo: Memo,
}

#[derive(Clone, Debug)]
pub(crate) enum Rule {
    Keep(Vec<Box<str>>),
    Remove(Vec<Box<str>>),
    Set(Vec<(Box<str>, Box<str>)>),
}

impl Relabel {
    /// Returns the name of the stage.
    pub(crate) fn name(&self) -> &'static str {
        match self.rule {
            Rule::Keep(_) => "labelallow",
            Rule::Remove(_) => "labeldrop",
            Rule::Set(_) => "static_labels",
        }
    }

    pub(crate) fn new(rule: Rule) -> Self {
        Self {
            rule,
            memo: Memo::default(),
        }
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>, shop: &mut Shop) {
        let interner = &mut shop.interner;
        let rule = &self.rule;
        let labels = self.memo.get(draft.labels(), |labels| {
            let kept = match rule {
                Rule::Keep(names) => retained(labels, interner, |name| {
                    names.iter().any(|kept| **kept == *name)
                }),
                Rule::Remove(names) => retained(labels, interner, |name| {
                    names.iter().all(|removed| **removed != *name)
                }),
                Rule::Set(pairs) => {
                    let pairs = pairs.iter();
                    let pairs = pairs.map(|(name, value)| (&**name, value.as_bytes()));
                    Some(interner.with(labels, pairs))
                }
            };
            kept.unwrap_or_else(|| labels.clone())
        });
        draft.set_labels(labels);
    }
}

#[derive(Clone, Debug)]
pub(crate) struct StructuredMetadata {
    /// Name, name of the source, and its slot.
    pairs: Vec<(Box<str>, Box<str>, Slot)>,
}

impl StructuredMetadata {
    pub(crate) fn new(config: &Sources, names: &mut Names) -> Self {
        let pairs =
            pairs(config).map(|(name, source)| (name.into(), source.into(), names.slot(source)));
        Self {
            pairs: pairs.collect(),
        }
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &mut Draft<'_>, shop: &mut Shop) {
        for (name, source, slot) in &self.pairs {
            let extracted = draft
                .text(*slot)
                .filter(|text| std::str::from_utf8(draft.bytes(*text)).is_ok());
            let label = draft.label_text(source);
            let Some(value) = extracted.or(label) else {
                continue;
            };
            let name = draft.keep(name.as_bytes());
            draft.buffers.metadata.push((name, value));
            // A label that says the same is demoted.
            if label.is_some_and(|label| draft.bytes(label) == draft.bytes(value)) {
                draft.retain_labels(&mut shop.interner, |name| *name != **source);
            }
        }
    }
}
