//! `template`: a value made by a template.

use crate::TemplateConfig;
use crate::draft::{Draft, Slot, Value, reuse};
use crate::error::Fault;
use crate::program::Names;
use crate::template::{Data, Template as Compiled};

#[derive(Clone, Debug)]
pub(crate) struct Template {
    target: Slot,
    compiled: Compiled,
    out: Vec<u8>,
}

impl Template {
    pub(crate) fn new(config: &TemplateConfig, names: &mut Names) -> Result<Self, Fault> {
        Ok(Self {
            target: names.slot(&config.source),
            compiled: Compiled::new(&config.template, names)?,
            out: Vec::new(),
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) {
        let value = draft.text(self.target);
        let fields = self.compiled.read_fields(draft);
        let data = Data {
            draft,
            fields: &fields,
            value: value.map(|text| draft.bytes(text)),
            entry: Some(draft.line_bytes()),
        };
        reuse(&mut self.out);
        if self.compiled.run(&data, &mut self.out).is_err() {
            return;
        }
        // An empty result takes the value away.
        let result = if self.out.is_empty() {
            Value::Missing
        } else {
            Value::Text(draft.keep(&self.out))
        };
        draft.set(self.target, result);
    }
}
