//! `regex`: named groups of an expression.

use crate::RegexConfig;
use crate::draft::{Draft, Slot, Value};
use crate::error::Fault;
use crate::pattern::{Locations, Pattern};
use crate::program::Names;

#[derive(Clone, Debug)]
pub(crate) struct Regex {
    source: Option<Slot>,
    pattern: Pattern,
    /// The named groups.
    groups: Vec<(usize, Slot)>,
    locations: Locations,
}

impl Regex {
    pub(crate) fn new(config: &RegexConfig, names: &mut Names) -> Result<Self, Fault> {
        let pattern = Pattern::new(&config.expression)?;
        let groups = named_groups(&pattern, names);
        let locations = pattern.locations();
        Ok(Self {
            source: config.source.as_deref().map(|name| names.slot(name)),
            pattern,
            groups,
            locations,
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) {
        let Some(text) = draft.source(self.source) else {
            return;
        };
        let bytes = draft.bytes(text);
        let reading = self.pattern.reading(bytes);
        if !self
            .pattern
            .captures(&mut self.locations, bytes, reading, 0)
        {
            return;
        }
        for (group, slot) in &self.groups {
            // A group that took no part gives the empty text.
            let (start, end) = self.locations.get(*group).unwrap_or((0, 0));
            draft.set(*slot, Value::Text(text.part(start, end)));
        }
    }
}

/// The groups of a pattern that have a name, with the slots of their names.
pub(crate) fn named_groups(pattern: &Pattern, names: &mut Names) -> Vec<(usize, Slot)> {
    let groups = pattern.group_names().enumerate();
    groups
        .filter_map(|(index, name)| Some((index, names.slot(name?))))
        .collect()
}
