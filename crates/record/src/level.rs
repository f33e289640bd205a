//! How grave a record is.

mod detect;
mod severity;

use std::fmt;
use std::str::FromStr;

pub use severity::{Severity, UnknownSeverity};

/// How grave a record is, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// For whoever follows one run step by step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// What happens in the ordinary course.
    Info,
    /// What may become a fault.
    Warn,
    /// Something failed.
    Error,
    /// The program, or the system, cannot go on.
    Fatal,
}

/// A word that names no [`Level`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "unknown level `{}`: write trace, debug, info, warn, error or fatal",
            self.0
        )
    }
}

impl std::error::Error for UnknownLevel {}

/// Bytes of the longest word that names a level: `information`.
const MAX_WORD_BYTES: usize = 11;

impl Level {
    /// Returns the severity number of OpenTelemetry: the first of the four of its range.
    ///
    /// Source: OpenTelemetry, Logs Data Model, field `SeverityNumber`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Trace => 1,
            Self::Debug => 5,
            Self::Info => 9,
            Self::Warn => 13,
            Self::Error => 17,
            Self::Fatal => 21,
        }
    }

    /// Returns the name in lower case: `trace`, `debug`, `info`, `warn`, `error`, `fatal`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// Finds the level that a line says it has; `None` where it says none or it is not clear.
    ///
    /// Looks at the first 512 bytes, whatever they are, and allocates nothing. These are found:
    ///
    /// - at the start of the line, the header of klog and glog, `E0102 15:04:05`, and the priority of
    ///   systemd and syslog, `<3>`;
    /// - a key `level`, `lvl`, `severity`, `loglevel` or `log.level` with its value, as in JSON, logfmt
    ///   and YAML, and the numbers 10 to 60 of pino and bunyan in `"level":30`;
    /// - begun within 128 bytes, a word in brackets (`[error]`, `[core:error]`, `[W]`), in upper case
    ///   (` ERROR `, `WARNING:`), or before a colon (`error: `).
    ///
    /// `SEVERE` and `FINE:` of Java, `LOG:` of `PostgreSQL`, `[System]` of `MySQL` are known, too.
    ///
    /// A key with its value wins over words; of two of a kind the first one wins. A word in lower case
    /// within a sentence is none.
    pub fn detect(line: &[u8]) -> Option<Self> {
        detect::detect(line)
    }

    /// Returns what a word stands for, in any case.
    fn named(word: &[u8]) -> Option<Self> {
        let mut room = [0_u8; MAX_WORD_BYTES];
        let lower = room.get_mut(..word.len())?;
        lower.copy_from_slice(word);
        lower.make_ascii_lowercase();
        match &*lower {
            b"trace" => Some(Self::Trace),
            b"debug" | b"dbg" => Some(Self::Debug),
            b"info" | b"notice" | b"information" => Some(Self::Info),
            b"warn" | b"warning" => Some(Self::Warn),
            b"error" | b"err" => Some(Self::Error),
            b"fatal" | b"critical" | b"crit" | b"alert" | b"emerg" | b"panic" => Some(Self::Fatal),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Reads a level as it is usually spelled, in any case: `trace`; `debug`, `dbg`; `info`, `notice`,
    /// `information`; `warn`, `warning`; `error`, `err`; `fatal`, `critical`, `crit`, `alert`, `emerg`,
    /// `panic`.
    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        Self::named(word.as_bytes()).ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}

#[cfg(test)]
mod tests;
