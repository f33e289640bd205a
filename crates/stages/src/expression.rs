//! A regular expression as the stages read it, for those who look at lines beside them.

use crate::error::CompileError;
use crate::pattern::Pattern;

/// A regular expression in RE2 syntax, on any bytes, with the meaning that it has in a stage.
#[derive(Clone, Debug)]
pub struct Expression(Pattern);

impl Expression {
    /// Compiles an expression; `place` is what an error calls it.
    ///
    /// # Errors
    /// [`CompileError`] where it is none.
    pub fn new(expression: &str, place: &str) -> Result<Self, CompileError> {
        let compiled = Pattern::new(expression).map_err(|fault| fault.at(place))?;
        Ok(Self(compiled))
    }

    /// Returns whether it matches anywhere in the text.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}
