//! `replace`: captured groups replaced by what a template makes of them.

use crate::ReplaceConfig;
use crate::draft::{Draft, Slot, Text, Value, reuse};
use crate::error::Fault;
use crate::pattern::{Locations, Pattern};
use crate::program::Names;
use crate::stage::regex::named_groups;
use crate::template::{Data, MAX_RESULT_BYTES, Template};

#[derive(Clone, Debug)]
pub(crate) struct Replace {
    source: Option<Slot>,
    pattern: Pattern,
    template: Template,
    groups: Vec<(usize, Slot)>,
    locations: Locations,
    out: Vec<u8>,
    /// What replaces the groups of the first match, one after the other.
    replaced: Vec<u8>,
    /// Group and range of `replaced`.
    ranges: Vec<(usize, usize, usize)>,
}

/// Where a pass over the text is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The text before was written.
    written: usize,
    /// Where the next match is looked for.
    next: usize,
    last_match_end: Option<usize>,
    is_found: bool,
}

impl Replace {
    /// Compiles the settings; a fault comes with the name of its key.
    pub(crate) fn new(
        config: &ReplaceConfig,
        names: &mut Names,
    ) -> Result<Self, (&'static str, Fault)> {
        let pattern = Pattern::new(&config.expression).map_err(|fault| ("expression", fault))?;
        let template = Template::new(&config.replace, names).map_err(|fault| ("replace", fault))?;
        let groups = named_groups(&pattern, names);
        let locations = pattern.locations();
        Ok(Self {
            source: config.source.as_deref().map(|name| names.slot(name)),
            pattern,
            template,
            groups,
            locations,
            out: Vec::new(),
            replaced: Vec::new(),
            ranges: Vec::new(),
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) {
        let Some(text) = draft.source(self.source) else {
            return;
        };
        let fields = self.template.read_fields(draft);
        if !self.replace(text, draft, &fields) {
            return;
        }
        let result = draft.keep(&self.out);
        match self.source {
            Some(slot) => draft.set(slot, Value::Text(result)),
            None => draft.line = result,
        }
        let replaced = draft.keep(&self.replaced);
        for (group, slot) in &self.groups {
            let range = self.ranges.iter().find(|(known, _, _)| known == group);
            if let Some((_, start, end)) = range {
                draft.set(*slot, Value::Text(replaced.part(*start, *end)));
            }
        }
    }

    /// Writes the text with its groups replaced; false where nothing matched or a template failed.
    fn replace(&mut self, text: Text, draft: &Draft<'_>, fields: &[Option<Text>]) -> bool {
        reuse(&mut self.out);
        reuse(&mut self.replaced);
        self.ranges.clear();
        let input = draft.bytes(text);
        let mut progress = Progress::default();
        let reading = self.pattern.reading(input);
        while self
            .pattern
            .captures(&mut self.locations, input, reading, progress.next)
        {
            let (start, end) = self.locations.get(0).unwrap_or((0, 0));
            progress.next = if end > start { end } else { end + 1 };
            // As Go: no empty match right behind another match.
            if start == end && progress.last_match_end == Some(start) {
                continue;
            }
            progress.last_match_end = Some(end);
            if self
                .replace_groups(input, draft, fields, &mut progress)
                .is_none()
            {
                return false;
            }
            progress.is_found = true;
        }
        self.out
            .extend_from_slice(input.get(progress.written..).unwrap_or_default());
        progress.is_found
    }

    /// Replaces the groups of one match.
    fn replace_groups(
        &mut self,
        input: &[u8],
        draft: &Draft<'_>,
        fields: &[Option<Text>],
        progress: &mut Progress,
    ) -> Option<()> {
        for group in 1..self.locations.len() {
            let Some((start, end)) = self.locations.get(group) else {
                continue;
            };
            let data = Data {
                draft,
                fields,
                value: input.get(start..end),
                entry: None,
            };
            let from = self.replaced.len();
            self.template.run(&data, &mut self.replaced).ok()?;
            // A group within one that was replaced stays as that one made it, and so does one that
            // starts right behind it: Promtail's rule.
            if progress.written == 0 || progress.written < start {
                self.out
                    .extend_from_slice(input.get(progress.written..start).unwrap_or_default());
                self.out
                    .extend_from_slice(self.replaced.get(from..).unwrap_or_default());
                progress.written = end;
            }
            if self.out.len() > MAX_RESULT_BYTES {
                return None;
            }
            if progress.is_found {
                self.replaced.truncate(from);
            } else {
                self.ranges.push((group, from, self.replaced.len()));
            }
        }
        Some(())
    }
}
