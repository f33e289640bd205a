//! `eventlogmessage`: keys of a Windows event's message.

use crate::EventLogMessageConfig;
use crate::draft::{Draft, Slot, Value};
use crate::interner::is_label_name;
use crate::program::{Flow, Names, ReasonId, Shop};

/// What is added to the name of a key that is there already.
const COLLISION_SUFFIX: &str = "_extracted";

#[derive(Clone, Debug)]
pub(crate) struct EventLogMessage {
    source: Slot,
    drops_invalid: bool,
    overwrites: bool,
    when_nil: ReasonId,
}

impl EventLogMessage {
    pub(crate) fn new(
        config: &EventLogMessageConfig,
        names: &mut Names,
        when_nil: ReasonId,
    ) -> Self {
        Self {
            source: names.slot(config.source.as_deref().unwrap_or("message")),
            drops_invalid: config.drop_invalid_labels,
            overwrites: config.overwrite_existing,
            when_nil,
        }
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &mut Draft<'_>, shop: &Shop) -> Flow {
        let Some(text) = draft.text(self.source) else {
            return match draft.value(self.source) {
                Value::Nil => Flow::Drop(self.when_nil),
                Value::Missing | Value::Text(_) | Value::Number(_) | Value::Bool(_) => Flow::Next,
            };
        };
        let message = String::from_utf8_lossy(draft.bytes(text)).into_owned();
        for line in message.split("\r\n") {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.strip_prefix(' ').unwrap_or(value);
            self.set(key, value, draft, shop);
        }
        Flow::Next
    }

    fn set(&self, key: &str, value: &str, draft: &mut Draft<'_>, shop: &Shop) {
        let is_name = is_label_name(key);
        if !is_name && self.drops_invalid {
            return;
        }
        let mut name = if is_name {
            key.to_owned()
        } else {
            sanitized(key)
        };
        let is_taken = |draft: &Draft<'_>, name: &str| {
            let slot = shop.names.find(name);
            slot.is_some_and(|slot| draft.value(slot) != Value::Missing)
        };
        if !self.overwrites && is_taken(draft, &name) {
            name.push_str(COLLISION_SUFFIX);
        }
        if let Some(slot) = shop.names.find(&name) {
            let value = draft.keep(value.as_bytes());
            draft.set(slot, Value::Text(value));
        }
    }
}

/// Makes a key a label name: what cannot stand in one becomes `_`.
fn sanitized(key: &str) -> String {
    if key.is_empty() {
        return "_".into();
    }
    let fits = |index: usize, c: char| {
        c == '_' || c.is_ascii_alphabetic() || (c.is_ascii_digit() && index > 0)
    };
    let characters = key.char_indices();
    characters
        .map(|(index, c)| if fits(index, c) { c } else { '_' })
        .collect()
}
