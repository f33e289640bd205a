//! `labels` and `structured_metadata`: from extracted values to the record.

use crate::Sources;
use crate::draft::{Draft, Slot};
use crate::program::Names;

#[derive(Clone, Debug)]
pub(crate) struct Labels {
    labels: Vec<(Box<str>, Slot)>,
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
        let labels = pairs(config).map(|(name, source)| (name.into(), names.slot(source)));
        Self {
            labels: labels.collect(),
        }
    }

    pub(crate) fn apply(&self, draft: &mut Draft<'_>) {
        for (name, source) in &self.labels {
            if let Some(value) = draft.text(*source) {
                draft.set_label(name, value);
            }
        }
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

    pub(crate) fn apply(&self, draft: &mut Draft<'_>) {
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
                draft.retain_labels(|name| *name != **source);
            }
        }
    }
}
