//! Exit codes: docs/operating.md, section "Exit codes".

/// What is printed when the agent ends with an error, and the code it ends with.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something failed that the configuration cannot foresee: code 1.
    #[error("{0:#}")]
    Runtime(anyhow::Error),
    /// The command line is wrong: code 64 (`EX_USAGE`).
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong: code 78 (`EX_CONFIG`).
    #[error("{0}")]
    Config(#[from] crate::config::ConfigError),
}

impl Failure {
    /// Returns the exit code. Source of 64 and 78: `sysexits.h`.
    pub fn code(&self) -> u8 {
        match self {
            Self::Runtime(_) => 1,
            Self::Usage(_) => 64,
            Self::Config(_) => 78,
        }
    }

    /// Says what to do, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Runtime(error) => error.downcast_ref::<Hint>().map(|hint| hint.0.clone()),
            Self::Usage(_) => Some("see `tailwater --help`".to_owned()),
            Self::Config(error) => Some(error.hint.clone()),
        }
    }
}

/// What to do about a failure; put into its chain.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Hint(pub String);
