//! `decolorize`: ANSI escapes removed from the line.

use crate::draft::Draft;
use crate::error::Fault;
use crate::pattern::Pattern;

/// Control sequences, and the escapes of two characters and more.
const ANSI: &str = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])";

#[derive(Clone, Debug)]
pub(crate) struct Decolorize {
    ansi: Pattern,
}

impl Decolorize {
    pub(crate) fn new() -> Result<Self, Fault> {
        Ok(Self {
            ansi: Pattern::new(ANSI)?,
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &mut Draft<'_>) {
        if memchr::memchr(0x1b, draft.line_bytes()).is_none() {
            return;
        }
        let plain = self
            .ansi
            .replace_all_literally(draft.line_bytes(), b"", usize::MAX);
        if let Some(plain) = plain {
            draft.line = draft.keep(&plain);
        }
    }
}
