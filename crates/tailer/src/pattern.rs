//! Include and exclude globs of one source.

/// Compiled globs of one source.
#[derive(Clone, Debug)]
pub struct Patterns;

/// Why a glob was refused.
#[derive(Debug, thiserror::Error)]
#[error("invalid glob `{glob}`: {reason}")]
pub struct PatternError {
    /// The glob as it was written.
    pub glob: String,
    /// What is wrong with it.
    pub reason: String,
}
