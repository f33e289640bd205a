//! From the command line to a checked configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tailwater_yaml::{
    Checker, ConfigError, Diagnostic, Hidden, KeyPath, Node, NodeKind, Place, shape,
};

use crate::check;
use crate::envsubst::{self, BadVariable, Expanded};
use crate::flags::{self, Flags};
use crate::guide::GUIDE;
use crate::model::{Client, Config};
use crate::relabel::Rule;

/// What the errors of a configuration without a file call it.
const NO_FILE: &str = "command line";

/// What the machine says about itself.
#[derive(Clone, Default)]
pub struct Host {
    /// The environment.
    pub variables: HashMap<String, String>,
    /// The name of the machine, for `__host__`, where `HOSTNAME` is not set.
    pub name: String,
    /// Says what is wrong with a glob of files; without it, every glob is taken.
    pub glob_check: Option<GlobCheck>,
}

/// Says what is wrong with a glob of files, if anything is.
pub type GlobCheck = fn(&str) -> Result<(), String>;

impl std::fmt::Debug for Host {
    /// Shows no variable: any may be secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Host");
        shown.field("name", &self.name).finish_non_exhaustive()
    }
}

impl Host {
    /// Returns whether files can be found by a glob.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check_glob(&self, glob: &str) -> Result<(), String> {
        self.glob_check.map_or(Ok(()), |check| check(glob))
    }

    /// Returns the name that `__host__` is compared with.
    pub(crate) fn hostname(&self) -> &str {
        let variable = self.variables.get("HOSTNAME").map(String::as_str);
        variable
            .filter(|name| !name.is_empty())
            .unwrap_or(&self.name)
    }
}

/// A configuration of Promtail that was read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub(crate) path: Option<PathBuf>,
    pub(crate) tree: Node,
    pub(crate) config: Config,
    /// `clients` and after them `client`, the labels of that one in all.
    pub(crate) clients: Vec<Client>,
    /// The rules of each job.
    pub(crate) rules: Vec<Vec<Rule>>,
    pub(crate) flags: Flags,
    pub(crate) host: Host,
    pub(crate) notes: Vec<String>,
}

impl Loaded {
    /// Returns the file that was read; `None` where the flags are all there is.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns what the command line says.
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Returns what is known and has no effect here, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns whether lines come from the standard input: `-stdin` or `target_config.stdin`.
    pub fn is_stdin(&self) -> bool {
        self.config.target_config.stdin.unwrap_or(false)
    }

    /// Returns whether there is no HTTP server: `server.disable`.
    pub fn is_server_disabled(&self) -> bool {
        self.config.server.disable.unwrap_or(false)
    }
}

/// Returns whether a tree is a configuration of Promtail, by its top-level keys.
///
/// A key that both forms have, as `server`, tells nothing.
pub fn is_promtail(tree: &Node) -> bool {
    const OURS: [&str; 2] = ["sources", "sinks"];
    const PROMTAILS: [&str; 9] = [
        "scrape_configs",
        "clients",
        "client",
        "positions",
        "target_config",
        "limits_config",
        "global",
        "tracing",
        "wal",
    ];
    let NodeKind::Map(entries) = &tree.kind else {
        return false;
    };
    let has = |names: &[&str]| {
        entries
            .iter()
            .any(|entry| names.contains(&entry.name.as_str()))
    };
    has(&PROMTAILS) && !has(&OURS)
}

/// Reads the first file of `-config.file` that exists, and checks it with the flags over it. Without
/// that flag, the flags are all there is.
///
/// # Errors
/// [`ConfigError`] names the file, the place, what is wrong and what to do.
pub fn load(flags: &Flags, host: &Host) -> Result<Loaded, ConfigError> {
    if flags.config_files.is_empty() {
        return load_text("", None, flags, host);
    }
    let Some(path) = flags.config_files.iter().find(|path| path.exists()) else {
        let names = flags
            .config_files
            .iter()
            .map(|path| path.display().to_string());
        let names = names.collect::<Vec<_>>().join(", ");
        let hint = "name an existing file: `-config.file=/etc/promtail/config.yml`";
        return Err(ConfigError::new(&names, "there is no such file", hint));
    };
    let text = tailwater_yaml::read_file(path)?;
    load_text(&text, Some(path), flags, host)
}

/// Checks the text of a configuration; `path` is what its errors call it.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    text: &str,
    path: Option<&Path>,
    flags: &Flags,
    host: &Host,
) -> Result<Loaded, ConfigError> {
    let name = path.map_or_else(|| NO_FILE.to_owned(), |path| path.display().to_string());
    let hint =
        format!("correct the file, and try it with `promtail -check-syntax -config.file={name}`");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let expanded = if flags.expand_env {
        envsubst::expand(text, &host.variables)
            .map_err(|bad| ConfigError::of(&name, text, vec![explain(&bad, text)], &hint))?
    } else {
        Expanded::plain(text)
    };
    let fail = |found| ConfigError::of(&name, &expanded.shown, found, &hint);
    let mut tree = tailwater_yaml::read(&expanded.text).map_err(|found| fail(vec![found]))?;
    tree.take_old_booleans();
    let mut hidden = Hidden::default();
    for (value, written) in &expanded.hidden {
        hidden.add(value.clone(), written.clone());
    }
    let mut checker = Checker::new(&tree, &hidden, GUIDE);
    let read = match tree.kind {
        NodeKind::Null => Ok(Config::default()),
        NodeKind::Scalar(_) | NodeKind::List(_) | NodeKind::Map(_) => shape::read(&tree),
    };
    let mut config: Config = match read {
        Ok(config) => config,
        Err(error) => {
            checker.fail_shape(&error);
            return Err(fail(checker.into_found()));
        }
    };
    let ignored = flags::apply(flags, &mut config);
    let result = check::check(&mut checker, &tree, &config, flags, host);
    let found = checker.into_found();
    if !found.is_empty() {
        return Err(fail(found));
    }
    let ignored = ignored
        .iter()
        .map(|flag| format!("`-{flag}` has no effect here"));
    let notes = result.notes.iter().map(|note| hidden.hide(note));
    Ok(Loaded {
        path: path.map(Path::to_owned),
        notes: notes.chain(ignored).collect(),
        clients: result.clients,
        rules: result.rules,
        tree,
        config,
        flags: flags.clone(),
        host: host.clone(),
    })
}

fn explain(bad: &BadVariable, text: &str) -> Diagnostic {
    let before = text.get(..bad.at).unwrap_or_default();
    let last = before.rsplit('\n').next().unwrap_or_default();
    let place = Place {
        line: before.matches('\n').count() + 1,
        column: last.chars().count() + 1,
        width: 2,
        start: bad.at,
        end: bad.at + 2,
    };
    Diagnostic::new("this variable cannot be expanded", Some(place))
        .label(bad.reason)
        .note("write `${NAME}` or `${NAME:-default}`; `$$` stands for a dollar sign")
}

/// Returns the place of the key or value at a path, as a line.
pub(crate) fn line_of(tree: &Node, path: &KeyPath) -> Option<usize> {
    let place = tree.place_of(path, tailwater_yaml::Part::Key)?;
    Some(place.line).filter(|line| *line > 0)
}
