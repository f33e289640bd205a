//! Exit codes, all of them, and what is printed beside them.

use std::io;

/// The agent did what it was told to.
pub const CLEAN: u8 = 0;

/// Something failed that the configuration cannot foresee.
pub const RUNTIME: u8 = 1;

/// The command line is wrong. Source: `EX_USAGE` of `sysexits.h`.
pub const USAGE: u8 = 64;

/// The configuration is wrong. Source: `EX_CONFIG` of `sysexits.h`.
pub const CONFIG: u8 = 78;

/// What is printed when the agent ends with an error, and the code it ends with.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Ends with [`RUNTIME`].
    #[error("{}", causes(.0))]
    Runtime(anyhow::Error),
    /// Ends with [`USAGE`].
    #[error("{0}")]
    Usage(String),
    /// Ends with [`CONFIG`].
    #[error("{0}")]
    Config(#[from] crate::config::ConfigError),
}

impl Failure {
    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Runtime(_) => RUNTIME,
            Self::Usage(_) => USAGE,
            Self::Config(_) => CONFIG,
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

/// Writes an error with all its causes; what to do about it is printed apart.
fn causes(error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Hint>().map(ToString::to_string);
    let causes = error.chain().map(ToString::to_string);
    let causes: Vec<String> = causes
        .filter(|cause| hint.as_ref() != Some(cause))
        .collect();
    causes.join(": ")
}

/// Makes a failure of one of printing. Whoever closed the pipe, as `head` does, has read what it wanted to.
///
/// # Errors
/// [`Failure::Runtime`].
pub(crate) fn printed_whole(printed: io::Result<()>) -> Result<(), Failure> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = anyhow::Error::new(error).context("cannot print");
            Err(Failure::Runtime(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What to do about a failure; put into its chain.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Hint(pub String);
