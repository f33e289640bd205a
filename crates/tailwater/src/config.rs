//! The configuration: one strict YAML file.
//!
//! It is read once into [`raw`] and checked once into [`Config`]; after that nothing is left for
//! later. Only this module knows the syntax.

mod diagnostic;
pub mod raw;
mod validate;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tailwater_engine::EngineConfig;

pub use diagnostic::ConfigError;

/// Largest configuration that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The configuration that runs where none is given.
pub const DEFAULT: &str = include_str!("config/default.yaml");

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Where the positions are kept.
    pub data_dir: PathBuf,
    /// Where the admin server listens.
    pub listen: SocketAddr,
    /// How long stopping and draining may take.
    pub shutdown_timeout: Duration,
    /// How much the agent says.
    pub log: raw::RawLog,
    /// What runs.
    pub engine: EngineConfig,
}

/// Reads and checks a configuration file.
///
/// # Errors
/// [`ConfigError`] names the file, the place, what is wrong and what to do.
pub fn load(path: &Path, data_dir: Option<&Path>) -> Result<Config, ConfigError> {
    let text = read(path)?;
    parse(
        &text,
        &path.display().to_string(),
        data_dir,
        &std::env::vars().collect(),
    )
}

/// Checks the text of a configuration; `name` is what its errors call it.
///
/// # Errors
/// As [`load`].
#[expect(
    clippy::implicit_hasher,
    reason = "the YAML reader takes this very type"
)]
pub fn parse(
    text: &str,
    name: &str,
    data_dir: Option<&Path>,
    variables: &HashMap<String, String>,
) -> Result<Config, ConfigError> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Err(ConfigError::new(
            name,
            "the configuration is empty",
            "give it `sources` and `sinks`: see the examples",
        ));
    }
    let options = serde_saphyr::Options::default().with_properties(variables.clone());
    let raw: raw::RawConfig = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| diagnostic::of_yaml(name, text, &error))?;
    validate::check(raw, name, text, data_dir)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read as _;
    let name = path.display().to_string();
    let fail = |what: String, hint: &str| ConfigError::new(&name, &what, hint);
    let file = std::fs::File::open(path).map_err(|error| {
        fail(
            format!("cannot open it: {error}"),
            "name an existing file with `--config FILE`, readable by the agent's user",
        )
    })?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(fail(
            "it is a directory".to_owned(),
            "name a file with `--config FILE`",
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_CONFIG_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            fail(
                format!("cannot read it: {error}"),
                "check the file and its file system",
            )
        })?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(fail(
            format!("it is larger than {MAX_CONFIG_BYTES} bytes"),
            "is this a configuration?",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        fail(
            format!("line {line} is not UTF-8 text"),
            "save the file as UTF-8",
        )
    })
}
