//! `file_sd_configs`: targets from YAML and JSON files.

use std::path::{Path, PathBuf};

use globset::Glob;
use tailwater_yaml::{ConfigError, Diagnostic, Node, NodeKind, shape};

use super::Group;
use crate::model::StaticConfig;
use crate::relabel::is_label_name;

/// Files that one pattern may match.
const MAX_FILES: usize = 1000;

const HINT: &str =
    "write a list: `[{ targets: [localhost], labels: { __path__: /var/log/*.log } }]`";

/// Returns whether a text can name files of targets: a star in the last component only, and the end of
/// a YAML or JSON file.
pub(crate) fn is_file_pattern(pattern: &str) -> bool {
    let lower = pattern.to_ascii_lowercase();
    let has_end = [".json", ".yml", ".yaml"]
        .iter()
        .any(|end| lower.ends_with(end));
    let directory = pattern
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    has_end && !directory.contains('*')
}

/// Reads the files that a pattern names now; what is wrong with one is added to `unreadable`.
pub(super) fn read(pattern: &str, unreadable: &mut Vec<String>) -> Vec<Group> {
    let paths = match paths_of(pattern) {
        Ok(paths) => paths,
        Err(reason) => {
            unreadable.push(format!("{pattern}: {reason}"));
            return Vec::new();
        }
    };
    let mut groups = Vec::new();
    for path in paths {
        match read_file(&path) {
            Ok(read) => groups.extend(read),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    groups
}

/// Returns the files that match, by name. A file named without a star need not be there yet.
fn paths_of(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = Path::new(pattern);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if !name.contains(['*', '?', '[']) {
        return Ok(Some(path)
            .filter(|path| path.exists())
            .map(Path::to_owned)
            .into_iter()
            .collect());
    }
    let glob = Glob::new(name).map_err(|error| error.kind().to_string())?;
    let glob = glob.compile_matcher();
    let directory = path.parent().unwrap_or(Path::new(""));
    let listed = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let entries = match std::fs::read_dir(listed) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut found: Vec<PathBuf> = names
        .filter(|name| glob.is_match(name))
        .map(|name| directory.join(name))
        .take(MAX_FILES)
        .collect();
    found.sort();
    Ok(found)
}

/// JSON is read as the YAML it is.
fn read_file(path: &Path) -> Result<Vec<Group>, ConfigError> {
    let text = tailwater_yaml::read_file(path)?;
    let name = path.display().to_string();
    let fail = |found: Diagnostic| ConfigError::of(&name, &text, vec![found], HINT);
    let tree = tailwater_yaml::read(&text).map_err(fail)?;
    if matches!(tree.kind, NodeKind::Null) {
        return Ok(Vec::new());
    }
    let configs: Vec<StaticConfig> = shape::read(&tree).map_err(|error| {
        let place = tree.place_of(&error.path(), error.part);
        fail(Diagnostic::new(error.to_string(), place))
    })?;
    check_labels(&tree, &configs).map_err(fail)?;
    let group = |config: StaticConfig| {
        let mut labels = config.labels;
        labels.0.retain(|(label, _)| label != "__meta_filepath");
        labels.0.push(("__meta_filepath".to_owned(), name.clone()));
        Group {
            labels,
            addresses: config.targets,
        }
    };
    Ok(configs.into_iter().map(group).collect())
}

fn check_labels(tree: &Node, configs: &[StaticConfig]) -> Result<(), Diagnostic> {
    for (index, config) in configs.iter().enumerate() {
        let path = tailwater_yaml::KeyPath::default()
            .index(index)
            .key("labels");
        for (label, _) in &config.labels.0 {
            if !is_label_name(label) {
                let place = tree.place_of(&path.key(label), tailwater_yaml::Part::Key);
                return Err(Diagnostic::new("this is not the name of a label", place));
            }
        }
    }
    Ok(())
}
