//! Promtail's command line: the agent under its name, with its flags and its configuration.
//!
//! What Promtail's file says is converted, and only the native text is run.

mod dry_run;
mod inspect;
pub(crate) mod modes;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tailwater_promtail::{Flags, Host, Loaded, Native, Targets};

use tailwater_tailer::Patterns;

use crate::config::{self, Config, ConfigError};
use crate::exit::Failure;
use crate::run::Origin;

/// Where the kernel tells the name of the machine.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// Files of targets are not read again more often.
const MIN_REFRESH: Duration = Duration::from_secs(1);

/// Returns whether a command line is Promtail's: by the name of the program or by its first flag.
pub fn is_asked(arguments: &[OsString]) -> bool {
    let program = arguments.first().map(Path::new).and_then(Path::file_name);
    let first = arguments.get(1).and_then(|first| first.to_str());
    program == Some(OsStr::new("promtail"))
        || first.is_some_and(tailwater_promtail::is_promtail_flag)
}

/// Does what Promtail does with these arguments, the name of the program left out.
///
/// # Errors
/// [`Failure`].
pub fn main(arguments: &[OsString]) -> Result<(), Failure> {
    let arguments = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned());
    let flags = Flags::parse(arguments).map_err(|error| Failure::Usage(error.to_string()))?;
    if flags.help {
        return print(&format!("Usage of promtail:\n{}", Flags::usage()));
    }
    if flags.version {
        return print(concat!(
            "promtail, version ",
            env!("CARGO_PKG_VERSION"),
            " (tailwater)\n"
        ));
    }
    let loaded = tailwater_promtail::load(&flags, &host())?;
    if flags.check_syntax {
        if loaded.path().is_none() {
            return Err(Failure::Usage(
                "`-check-syntax` needs `-config.file`".to_owned(),
            ));
        }
        return print("Valid config file! No syntax issues found\n");
    }
    if flags.print_config_stderr {
        let shown = tailwater_promtail::effective_config(&loaded);
        // Nothing is left to tell where the terminal is gone.
        std::io::stderr().lock().write_all(shown.as_bytes()).ok();
    }
    crate::run::run_from(Origin::Promtail(flags), None)
}

fn print(text: &str) -> Result<(), Failure> {
    let printed = std::io::stdout().lock().write_all(text.as_bytes());
    printed.context("cannot print").map_err(Failure::Runtime)
}

/// Returns what Promtail's configuration may ask of the machine.
pub(crate) fn host() -> Host {
    let name = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
    Host {
        variables: config::environment(),
        name: name.trim().to_owned(),
        glob_check: Some(check_glob),
    }
}

fn check_glob(glob: &str) -> Result<(), String> {
    let checked = Patterns::new(&[glob.to_owned()], &[]);
    checked.map(drop).map_err(|error| error.to_string())
}

/// `tailwater convert`: prints the native text of Promtail's configuration.
///
/// `arguments` are a file, or Promtail's flags.
///
/// # Errors
/// [`Failure`].
pub fn convert(config: Option<&Path>, arguments: &[String]) -> Result<(), Failure> {
    let mut flags = Flags::parse(arguments).map_err(|error| Failure::Usage(error.to_string()))?;
    flags.config_files.extend(config.map(Path::to_owned));
    if flags.config_files.is_empty() {
        let message = "nothing to convert: name a file, `tailwater convert --config FILE`";
        return Err(Failure::Usage(message.to_owned()));
    }
    let loaded = tailwater_promtail::load(&flags, &host())?;
    let targets = loaded.targets();
    let mut errors = std::io::stderr().lock();
    for warning in warnings(&targets) {
        writeln!(errors, "tailwater: {warning}").ok();
    }
    print(&tailwater_promtail::convert(&loaded, &targets).text)
}

/// What is to be said about targets that are not followed, a line each.
pub(crate) fn warnings(targets: &Targets) -> Vec<String> {
    let dropped = targets.dropped.iter().map(|dropped| {
        format!(
            "a target of job {} is not followed: {}",
            dropped.job_name,
            dropped.reason.as_str()
        )
    });
    dropped.chain(targets.unreadable.iter().cloned()).collect()
}

/// Says in the log what of a configuration is not as its author may think.
pub(crate) fn announce(loaded: &Loaded) {
    for note in loaded.notes() {
        tracing::info!(note, "a key of the configuration has no effect");
    }
    let targets = loaded.targets();
    for dropped in &targets.dropped {
        let reason = dropped.reason.as_str();
        let path = dropped.label("__path__");
        tracing::warn!(job = dropped.job_name, path, reason, "target not followed");
    }
    for error in &targets.unreadable {
        tracing::error!(error, "file of targets cannot be used");
    }
    if targets.targets.is_empty() {
        tracing::warn!("no target is followed: nothing is read until there is one");
    }
}

/// What becomes of a configuration where a file of targets cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The others count: better some lines than none.
    IsLeftOut,
    /// It is refused, so that what was read before goes on.
    IsRefused,
}

/// Makes the configuration that runs of Promtail's, with the targets there are now.
pub(crate) fn config_of(
    loaded: &Loaded,
    data_dir: Option<&Path>,
    unusable: Unusable,
) -> Result<Config, ConfigError> {
    let name = loaded.path().map_or_else(
        || "command line".to_owned(),
        |path| path.display().to_string(),
    );
    let targets = loaded.targets();
    if unusable == Unusable::IsRefused && !targets.unreadable.is_empty() {
        let what = format!(
            "a file of targets cannot be used\n{}",
            targets.unreadable.join("\n")
        );
        return Err(ConfigError::new(&name, &what, "correct that file"));
    }
    let Native { text, .. } = tailwater_promtail::convert(loaded, &targets);
    // Variables were expanded before, if at all, and dollar signs are written so that none is left.
    let variables = std::collections::HashMap::new();
    let mut config = config::parse(&text, &format!("{name}, converted"), data_dir, &variables)?;
    if loaded.flags().inspect {
        inspect::inspect(&mut config);
    }
    Ok(config)
}

/// Writes control characters, but for tabs and newlines, so that they do nothing to a terminal.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !"\t\n".contains(character) {
            harmless.extend(character.escape_default());
        } else {
            harmless.push(character);
        }
    }
    harmless
}

/// Waits until the files of targets say something else.
#[derive(Debug)]
pub(crate) struct Refresh {
    loaded: Loaded,
    known: Targets,
    interval: Duration,
}

impl Refresh {
    /// Watches what a configuration names; `None` where it has no files of targets.
    pub(crate) fn of(loaded: Loaded) -> Option<Self> {
        let watched = loaded.watched();
        let interval = watched
            .iter()
            .map(|watched| watched.refresh_interval)
            .min()?;
        Some(Self {
            known: loaded.targets(),
            loaded,
            interval: interval.max(MIN_REFRESH),
        })
    }

    /// Returns when the targets are others than before. Files that cannot be read change nothing.
    ///
    /// # Cancel safety
    /// Nothing is lost: the time that has passed is waited again.
    pub(crate) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(self.interval).await;
            let now = self.loaded.targets();
            if now.unreadable.is_empty() && now.targets != self.known.targets {
                self.known = now;
                return;
            }
        }
    }
}
