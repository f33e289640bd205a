//! The configuration: one strict YAML file.
//!
//! It is read once and checked once into a [`Config`]; after that nothing is left for later. The way
//! of a text: `tailwater_yaml` makes a tree in which every value has its place, `expand` puts in the
//! variables, `shape` reads [`raw`] out of the tree, `validate` makes the [`Config`]. What is wrong on
//! the way becomes a diagnostic with its line, the secrets of that line masked.

mod expand;
mod keys;
pub mod raw;
mod shown;
mod validate;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tailwater_engine::EngineConfig;
use tailwater_position_store::promtail::OnInvalid;
use tailwater_promtail::{Flags, Loaded};
pub use tailwater_yaml::ConfigError;
use tailwater_yaml::{Checker, shape};

use crate::promtail::Unusable;
pub(crate) use validate::{absolute_glob, escaped};

/// The configuration that runs where none is given.
pub const DEFAULT: &str = include_str!("config/default.yaml");

/// What the errors of [`DEFAULT`] call it.
const DEFAULT_NAME: &str = "default.yaml (embedded)";

/// The variable that tells [`DEFAULT`] where its own files go.
const DATA_DIR_VARIABLE: &str = "TAILWATER_DATA_DIR";

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Where the positions are kept.
    pub data_dir: PathBuf,
    /// The admin server.
    pub server: ServerConfig,
    /// How long stopping and draining may take.
    pub shutdown_timeout: Duration,
    /// How much the agent says.
    pub log: raw::RawLog,
    /// The positions of another agent to begin with.
    pub import_positions: Option<ImportConfig>,
    /// What runs.
    pub engine: EngineConfig,
    /// The text that all of it was made from.
    pub written: Written,
}

/// The admin server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it listens; `None` for no server.
    pub listen: Option<SocketAddr>,
    /// What stands before every path: empty, or `/a/b`.
    pub path_prefix: String,
    /// Whether it answers as Promtail does.
    pub promtail: bool,
    /// Whether it reloads on request.
    pub reload: bool,
    /// Whether it is ready without a file, where it answers as Promtail does.
    pub ready_without_targets: bool,
}

/// A configuration as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The text as it may be shown: in YAML, without comments and secrets.
    pub shown: String,
    /// Equal for equal texts, within one process.
    pub hash: u64,
}

impl Written {
    fn new(text: &str, tree: &tailwater_yaml::Node) -> Self {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self {
            shown: shown::show(tree),
            hash: hasher.finish(),
        }
    }
}

/// The positions file of a Promtail, read at the first start with a data directory and never written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportConfig {
    /// The file.
    pub path: PathBuf,
    /// What is done where it is no positions file.
    pub on_invalid: OnInvalid,
}

/// Reads and checks a configuration file, at most 1 MiB. `data_dir` overrides the file's.
///
/// # Errors
/// [`ConfigError`] names the file, the place, what is wrong and what to do.
pub fn load(path: &Path, data_dir: Option<&Path>) -> Result<Config, ConfigError> {
    let text = tailwater_yaml::read_file(path)?;
    if let Some(loaded) = promtails(&text, path) {
        return crate::promtail::config_of(&loaded?, data_dir, Unusable::IsRefused);
    }
    parse(&text, &path.display().to_string(), data_dir, &environment())
}

/// Reads a text that is Promtail's; `None` where it is none.
fn promtails(text: &str, path: &Path) -> Option<Result<Loaded, ConfigError>> {
    let tree = tailwater_yaml::read(text.strip_prefix('\u{feff}').unwrap_or(text)).ok()?;
    let is_promtail = tailwater_promtail::is_promtail(&tree);
    let load = || {
        tailwater_promtail::load_text(
            text,
            Some(path),
            &Flags::default(),
            &crate::promtail::host(),
        )
    };
    is_promtail.then(load)
}

/// Reads a file that is Promtail's; `None` where it is none, or cannot be read.
pub(crate) fn load_promtail(path: &Path) -> Option<Result<Loaded, ConfigError>> {
    let text = tailwater_yaml::read_file(path).ok()?;
    promtails(&text, path)
}

/// Checks the embedded configuration. What it writes goes below `data_dir`, where that is given.
///
/// # Errors
/// As [`load`].
pub fn load_default(data_dir: Option<&Path>) -> Result<Config, ConfigError> {
    let mut variables = environment();
    if let Some(data_dir) = data_dir {
        variables.insert(DATA_DIR_VARIABLE.to_owned(), data_dir.display().to_string());
    }
    parse(DEFAULT, DEFAULT_NAME, data_dir, &variables)
}

/// Checks the text of a configuration; `name` is what its errors call it.
///
/// # Errors
/// As [`load`].
#[expect(
    clippy::implicit_hasher,
    reason = "the environment is the only caller's, and has one hasher"
)]
pub fn parse(
    text: &str,
    name: &str,
    data_dir: Option<&Path>,
    variables: &HashMap<String, String>,
) -> Result<Config, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_blank = |line: &str| line.is_empty() || line.starts_with('#');
    if text.lines().all(|line| is_blank(line.trim())) {
        let hint = "give it `sources` and `sinks`: see `examples/`, or run without `--config`";
        return Err(ConfigError::new(name, "the configuration is empty", hint));
    }
    let hint = format!("correct the file, and try it with `tailwater check --config {name}`");
    let fail = |found| ConfigError::of(name, text, found, &hint);
    let mut tree = tailwater_yaml::read(text).map_err(|found| fail(vec![found]))?;
    let hidden = expand::expand(&mut tree, text, variables).map_err(fail)?;
    let mut checker = Checker::new(&tree, &hidden, keys::GUIDE);
    let config = match shape::read(&tree) {
        Ok(raw) => {
            let written = Written::new(text, &tree);
            validate::check(&mut checker, raw, data_dir, written)
        }
        Err(error) => {
            checker.fail_shape(&error);
            None
        }
    };
    let found = checker.into_found();
    match config {
        Some(config) if found.is_empty() => Ok(config),
        Some(_) | None => Err(fail(found)),
    }
}

/// Returns the environment. Variables that are not UTF-8 are as ones that are not set.
pub fn environment() -> HashMap<String, String> {
    let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(utf8).collect()
}
