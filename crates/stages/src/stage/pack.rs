//! `pack`: labels packed into the line.

use crate::PackConfig;
use crate::draft::{Draft, Slot, reuse};
use crate::json::write_string;
use crate::program::{Names, Shop};

/// The key of the line.
const ENTRY_KEY: &[u8] = b"\"_entry\":";

#[derive(Clone, Debug)]
pub(crate) struct Pack {
    /// Names in their order, each once.
    names: Vec<(Box<str>, Slot)>,
    takes_ingest_time: bool,
    out: Vec<u8>,
}

impl Pack {
    pub(crate) fn new(config: &PackConfig, names: &mut Names) -> Self {
        let mut sorted: Vec<&str> = config.labels.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self {
            names: sorted
                .into_iter()
                .map(|name| (name.into(), names.slot(name)))
                .collect(),
            takes_ingest_time: config.ingest_timestamp.unwrap_or(true),
            out: Vec::new(),
        }
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>, shop: &mut Shop) {
        reuse(&mut self.out);
        self.out.push(b'{');
        for (name, slot) in &self.names {
            let Some(value) = draft.text(*slot) else {
                continue;
            };
            write_string(name.as_bytes(), &mut self.out);
            self.out.push(b':');
            write_string(draft.bytes(value), &mut self.out);
            self.out.push(b',');
        }
        self.out.extend_from_slice(ENTRY_KEY);
        write_string(draft.line_bytes(), &mut self.out);
        self.out.push(b'}');
        draft.line = draft.keep(&self.out);
        for (name, slot) in &self.names {
            if draft.text(*slot).is_some() {
                draft.retain_labels(&mut shop.interner, |label| *label != **name);
            }
        }
        if self.takes_ingest_time {
            draft.timestamp = draft.now;
        }
    }
}
