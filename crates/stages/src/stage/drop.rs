//! `drop`: lines that end here, where all that is given holds.

use crate::DropConfig;
use crate::draft::{Draft, Slot, Text, Value, reuse};
use crate::error::Fault;
use crate::go::duration::{parse_bytes, parse_ns};
use crate::pattern::Pattern;
use crate::program::{Flow, Names, ReasonId};

#[derive(Clone, Debug)]
pub(crate) struct Drop {
    sources: Vec<Slot>,
    separator: Box<str>,
    test: Test,
    older_than_ns: Option<u64>,
    longer_than: Option<usize>,
    reason: ReasonId,
    /// Several values, joined.
    joined: Vec<u8>,
}

/// What is asked of the source, or of the line.
#[derive(Clone, Debug)]
enum Test {
    None,
    IsPresent,
    Equals(Box<str>),
    Matches(Pattern),
}

impl Drop {
    /// Checks the conditions; a fault comes with the name of its key.
    pub(crate) fn new(
        config: &DropConfig,
        names: &mut Names,
        reason: ReasonId,
    ) -> Result<Self, (&'static str, Fault)> {
        let sources = config.source.as_deref().unwrap_or_default();
        Ok(Self {
            sources: sources.iter().map(|name| names.slot(name)).collect(),
            separator: config.separator.as_deref().unwrap_or(";").into(),
            test: test(config)?,
            older_than_ns: older_than(config)?,
            longer_than: longer_than(config)?,
            reason,
            joined: Vec::new(),
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) -> Flow {
        if self.is_long(draft) && self.is_old(draft) && self.passes_test(draft) {
            Flow::Drop(self.reason)
        } else {
            Flow::Next
        }
    }

    fn is_long(&self, draft: &Draft<'_>) -> bool {
        self.longer_than
            .is_none_or(|max| draft.line_bytes().len() > max)
    }

    fn is_old(&self, draft: &Draft<'_>) -> bool {
        self.older_than_ns
            .is_none_or(|age| draft.timestamp.0 < draft.now.0.saturating_sub(age))
    }

    fn passes_test(&mut self, draft: &mut Draft<'_>) -> bool {
        let text = match &self.test {
            Test::None => return true,
            Test::IsPresent => {
                let is_present = |slot: &Slot| draft.value(*slot) != Value::Missing;
                return self.sources.iter().all(is_present);
            }
            Test::Matches(_) if self.sources.is_empty() => Some(draft.line),
            Test::Equals(_) | Test::Matches(_) => self.source_text(draft),
        };
        let Some(text) = text else {
            return false;
        };
        match &self.test {
            Test::Equals(value) => draft.bytes(text) == value.as_bytes(),
            Test::Matches(pattern) => pattern.is_match(draft.bytes(text)),
            Test::None | Test::IsPresent => true,
        }
    }

    /// The text of the source; of several, those that are there, joined.
    fn source_text(&mut self, draft: &mut Draft<'_>) -> Option<Text> {
        if let [slot] = self.sources.as_slice() {
            return draft.text(*slot);
        }
        reuse(&mut self.joined);
        let mut found = 0;
        for slot in &self.sources {
            let Some(text) = draft.text(*slot) else {
                continue;
            };
            if found > 0 {
                self.joined.extend_from_slice(self.separator.as_bytes());
            }
            self.joined.extend_from_slice(draft.bytes(text));
            found += 1;
        }
        (found > 0).then(|| draft.keep(&self.joined))
    }
}

fn test(config: &DropConfig) -> Result<Test, (&'static str, Fault)> {
    match (&config.source, &config.value, &config.expression) {
        (_, Some(_), Some(_)) => Err((
            "expression",
            Fault::new(
                "`value` and `expression` are given both",
                "keep one of them",
            ),
        )),
        (None, Some(_), None) => Err((
            "value",
            Fault::new(
                "`value` is compared with a source, and none is given",
                "add `source`",
            ),
        )),
        (_, None, Some(expression)) => {
            let pattern = Pattern::new(expression).map_err(|fault| ("expression", fault))?;
            Ok(Test::Matches(pattern))
        }
        (Some(_), Some(value), None) => Ok(Test::Equals(value.as_str().into())),
        (Some(_), None, None) => Ok(Test::IsPresent),
        (None, None, None) => Ok(Test::None),
    }
}

fn older_than(config: &DropConfig) -> Result<Option<u64>, (&'static str, Fault)> {
    let Some(text) = &config.older_than else {
        return Ok(None);
    };
    let age = parse_ns(text).ok_or_else(|| {
        let fault = Fault::new(
            format!("`{text}` is no duration"),
            "write one such as `24h` or `90m`",
        );
        ("older_than", fault)
    })?;
    Ok(Some(age))
}

fn longer_than(config: &DropConfig) -> Result<Option<usize>, (&'static str, Fault)> {
    let Some(text) = &config.longer_than else {
        return Ok(None);
    };
    let bytes = parse_bytes(text).ok_or_else(|| {
        let fault = Fault::new(
            format!("`{text}` is no size"),
            "write bytes, or one such as `8kb`",
        );
        ("longer_than", fault)
    })?;
    Ok(Some(usize::try_from(bytes).unwrap_or(usize::MAX)))
}
