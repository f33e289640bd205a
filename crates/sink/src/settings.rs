//! How a sink is configured.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::SinkParts;

/// The block of one sink in the configuration, as its crate defines it.
///
/// The type is strict (`deny_unknown_fields`), and its `Debug` shows no secret: equal text means equal
/// settings, which is how a reload tells that a sink has changed.
pub trait SinkSettings: DeserializeOwned + fmt::Debug {
    /// Batches that may be unanswered at once where the configuration does not say.
    const DEFAULT_MAX_IN_FLIGHT: usize;

    /// Checks the settings, reads the files they name, and makes the sink. Opens no connection.
    ///
    /// # Errors
    /// [`SettingsError`] names the key that is wrong.
    fn build(&self) -> Result<SinkParts, SettingsError>;

    /// Returns the files that the sink writes, which the agent must never tail.
    fn written_paths(&self) -> Vec<std::path::PathBuf> {
        Vec::new()
    }
}

/// Why a sink's settings were refused.
#[derive(Debug, thiserror::Error)]
#[error("invalid `{key}`: {reason}")]
pub struct SettingsError {
    /// The key within the sink's block, dotted: `tls.ca_file`.
    pub key: String,
    /// What is wrong and what to do. Holds no secret.
    pub reason: String,
}

impl SettingsError {
    /// Names a key and what is wrong with it.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            reason: reason.into(),
        }
    }
}

/// A value that never reaches a log, a status page or an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    /// Shows a hash, so that settings with different secrets differ and the secret stays unknown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::hash::{BuildHasher, RandomState};
        use std::sync::OnceLock;
        // Keyed anew in every process: a printed hash cannot be looked up or compared elsewhere.
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let hash = KEY.get_or_init(RandomState::new).hash_one(&self.0);
        write!(formatter, "Secret({hash:016x})")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed_but_a_changed_one_prints_differently() {
        let shown = format!("{:?}", Secret::new("hunter2"));
        assert!(!shown.contains("hunter2"));
        assert_eq!(shown, format!("{:?}", Secret::new("hunter2")));
        assert_ne!(shown, format!("{:?}", Secret::new("hunter3")));
    }
}
