//! Why a list of stages cannot be compiled.

/// Why a list of stages was refused, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use stage {path}: {problem}; {hint}")]
pub struct CompileError {
    path: String,
    problem: String,
    hint: String,
}

impl CompileError {
    /// Returns the place in the list, such as `[2].match.stages[0].regex.expression`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong, without the place.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

/// What is wrong with one setting, before its place is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) problem: String,
    pub(crate) hint: String,
}

impl Fault {
    pub(crate) fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn at(self, path: impl Into<String>) -> CompileError {
        CompileError {
            path: path.into(),
            problem: self.problem,
            hint: self.hint,
        }
    }
}
