//! Promtail's command line.
//!
//! Go's rules: one dash or two, `-x=v` or `-x v`, a boolean alone is true and takes a value only with
//! `=`, and the last of a repeated flag counts.

mod apply;
mod table;

use std::path::PathBuf;

use crate::model::Pairs;
use crate::quantity;
use table::{KINDS, Kind};

pub(crate) use apply::apply;

/// Why a command line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlagError {
    /// No such flag is known.
    #[error("there is no flag `-{name}`{}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// The flag, without its dashes.
        name: String,
        /// The flag that may have been meant.
        nearest: Option<String>,
    },
    /// The flag stands last and has no value.
    #[error("the flag `-{name}` needs a value: write `-{name}={example}`")]
    NoValue {
        /// The flag, without its dashes.
        name: String,
        /// How its value is written.
        example: &'static str,
    },
    /// The value is not of the kind that the flag has.
    #[error("the flag `-{name}` cannot have this value: write it like `-{name}={example}`")]
    BadValue {
        /// The flag, without its dashes.
        name: String,
        /// How its value is written.
        example: &'static str,
    },
    /// What is no flag ends the flags, and Promtail takes nothing after them.
    #[error("`{argument}` is no flag: flags begin with `-`")]
    NoFlag {
        /// The argument.
        argument: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!(": did you mean `-{nearest}`?")
    })
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own, and any of them may stand beside any other"
)]
pub struct Flags {
    /// `-config.file`: the first of these that exists is read.
    pub config_files: Vec<PathBuf>,
    /// `-config.expand-env`: variables are put into the text before it is parsed.
    pub expand_env: bool,
    /// `-check-syntax`: nothing is run.
    pub check_syntax: bool,
    /// `-dry-run`: lines are printed and not sent, positions not written.
    pub dry_run: bool,
    /// `-inspect`: what each stage changes is printed.
    pub inspect: bool,
    /// `-print-config-stderr`: the effective configuration is printed.
    pub print_config_stderr: bool,
    /// `-log-config-reverse-order`: the effective configuration is logged, its last line first.
    pub log_config_reverse_order: bool,
    /// `-version`: the version is printed, and nothing is run.
    pub version: bool,
    /// `-h` or `-help`: the flags are printed, and nothing is run.
    pub help: bool,
    /// What overrides the configuration, in the order of the command line.
    overrides: Vec<(&'static str, Value)>,
}

/// The value of a flag.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Bool(bool),
    /// Checked for its kind; may be secret.
    Text(crate::model::Secret),
    Pairs(Pairs),
}

/// Returns whether an argument is one of Promtail's flags, with its dashes and with or without a value.
///
/// `-h` and `-help` are none: every program has them.
pub fn is_promtail_flag(argument: &str) -> bool {
    split(argument).is_some_and(|(name, _)| {
        !["h", "help", "version"].contains(&name) && table::find(name).is_some()
    })
}

/// Takes the dashes and the value from a flag.
fn split(argument: &str) -> Option<(&str, Option<&str>)> {
    let name = argument.strip_prefix('-')?;
    let name = name.strip_prefix('-').unwrap_or(name);
    if name.is_empty() || name.starts_with(['-', '=']) {
        return None;
    }
    Some(match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    })
}

impl Flags {
    /// Reads the arguments, without the name of the program.
    ///
    /// # Errors
    /// [`FlagError`] for the first argument that Promtail would not take. It holds no value of a flag.
    pub fn parse<I, S>(arguments: I) -> Result<Self, FlagError>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let mut flags = Self::default();
        let mut arguments = arguments.into_iter().map(Into::into);
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                break;
            }
            let Some((written, value)) = split(&argument) else {
                return Err(FlagError::NoFlag { argument });
            };
            let Some((name, kind)) = table::find(written) else {
                return Err(unknown(written));
            };
            let value = match (value, kind) {
                (Some(value), _) => value.to_owned(),
                (None, Kind::Bool) => "true".to_owned(),
                (None, _) => arguments.next().ok_or_else(|| FlagError::NoValue {
                    name: name.to_owned(),
                    example: kind.example(),
                })?,
            };
            flags.set(name, kind, value)?;
        }
        if let Some(rest) = arguments.next() {
            return Err(FlagError::NoFlag { argument: rest });
        }
        Ok(flags)
    }

    /// Returns all flags, a line each, with how their values are written.
    pub fn usage() -> String {
        let lines = KINDS.iter().flat_map(|(kind, names)| {
            names.iter().map(|name| match kind {
                Kind::Bool => format!("  -{name}"),
                Kind::Text
                | Kind::Duration
                | Kind::Size
                | Kind::Port
                | Kind::Count
                | Kind::Number
                | Kind::Pairs => format!("  -{name}={}", kind.example()),
            })
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines.join("\n") + "\n"
    }

    fn set(&mut self, name: &'static str, kind: Kind, value: String) -> Result<(), FlagError> {
        let value = typed(kind, value).ok_or_else(|| FlagError::BadValue {
            name: name.to_owned(),
            example: kind.example(),
        })?;
        let is_on = matches!(value, Value::Bool(true));
        match (name, &value) {
            ("config.file", Value::Text(files)) => {
                let files = files.0.split(',').map(str::trim);
                self.config_files = files
                    .filter(|file| !file.is_empty())
                    .map(PathBuf::from)
                    .collect();
            }
            ("config.expand-env", _) => self.expand_env = is_on,
            ("check-syntax", _) => self.check_syntax = is_on,
            ("dry-run", _) => self.dry_run = is_on,
            ("inspect", _) => self.inspect = is_on,
            ("print-config-stderr", _) => self.print_config_stderr = is_on,
            ("log-config-reverse-order", _) => self.log_config_reverse_order = is_on,
            ("version", _) => self.version = is_on,
            ("h" | "help", _) => self.help = is_on,
            _ => {
                self.overrides.retain(|(known, _)| *known != name);
                self.overrides.push((name, value));
            }
        }
        Ok(())
    }

    /// Returns what overrides the configuration.
    pub(crate) fn overrides(&self) -> &[(&'static str, Value)] {
        &self.overrides
    }
}

fn unknown(name: &str) -> FlagError {
    let known: Vec<&str> = KINDS
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    FlagError::Unknown {
        name: name.to_owned(),
        nearest: tailwater_yaml::nearest(name, &known).map(str::to_owned),
    }
}

/// Checks a value for its kind.
fn typed(kind: Kind, value: String) -> Option<Value> {
    let is_good = match kind {
        Kind::Bool => return bool_of(&value).map(Value::Bool),
        Kind::Pairs => return pairs_of(&value).map(Value::Pairs),
        Kind::Text => true,
        Kind::Duration => quantity::parse_duration(&value).is_ok(),
        Kind::Size => quantity::parse_size(&value).is_ok(),
        Kind::Port => value.parse::<u16>().is_ok(),
        Kind::Count => value.parse::<u32>().is_ok(),
        Kind::Number => value.parse::<f64>().is_ok_and(f64::is_finite),
    };
    is_good.then_some(Value::Text(crate::model::Secret(value)))
}

/// Reads a boolean as Go's `strconv.ParseBool` does.
fn bool_of(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn pairs_of(text: &str) -> Option<Pairs> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    pairs.map(pair).collect::<Option<Vec<_>>>().map(Pairs)
}
