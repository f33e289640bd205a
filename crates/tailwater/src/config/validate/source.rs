//! Checking sources.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tailwater_engine::{ReadFrom, SEVERITY_LABEL, SEVERITY_METADATA, SeverityForm, SourceConfig};
use tailwater_record::LabelSet;
use tailwater_stages::{StageConfig, Stages};
use tailwater_tailer::{ArchiveRules, Compression, Encoding, FrameConfig, OverLimit, Patterns};
use tailwater_yaml::{Checker, KeyPath};

use super::super::raw::{
    Lasting, Named, RawCompression, RawEncoding, RawOverLimit, RawReadFrom, RawSeverity, RawSource,
};
use super::policy;
use crate::presets;
use crate::registry::RawSink;

/// Shortest limit of a line: the mark of a cut line must fit.
const MIN_LINE_BYTES: u64 = 64;

/// Longest limit of a line: each pipeline thread holds one such line.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Labels of a source. Loki takes 15 by default; this is for those who have raised it.
const MAX_LABELS: usize = 64;

/// Structured metadata of a source.
const MAX_METADATA: usize = 30;

/// Checks a source; what is wrong with it is in the checker.
pub(super) fn check(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    name: &str,
    raw: &RawSource,
    raw_sinks: &[(String, RawSink)],
) -> Option<SourceConfig> {
    check_labels(checker, path, raw);
    check_metadata(checker, path, raw);
    let severity = check_severity(checker, path, raw);
    check_waits(checker, path, raw);
    check_tenant(checker, path, raw);
    let frame = check_frame(checker, path, raw);
    let names: Vec<&str> = raw_sinks.iter().map(|(name, _)| name.as_str()).collect();
    let sinks = check_sinks(checker, path, raw, &names);
    let policy = policy::of_source(checker, path, raw, raw_sinks, &sinks);
    let rate_limit = raw
        .rate_limit
        .as_ref()
        .map(|limit| policy::rate_limit(checker, &path.key("rate_limit"), limit));
    let stages = check_stages(checker, path, raw);
    let patterns = check_patterns(checker, path, raw)?;
    Some(SourceConfig {
        name: name.into(),
        patterns,
        labels: raw.labels.0.clone(),
        path_label: Some(raw.path_label.clone()).filter(|label| !label.is_empty()),
        structured_metadata: raw.structured_metadata.0.clone(),
        offset_metadata: raw.offset_metadata.clone().filter(|name| !name.is_empty()),
        severity,
        tenant: raw.tenant.as_deref().map(Arc::from),
        read_from: match raw.read_from {
            RawReadFrom::Beginning => ReadFrom::Beginning,
            RawReadFrom::End => ReadFrom::End,
        },
        ignore_older: raw.ignore_older.map(|limit| limit.0),
        frame,
        partial_line_timeout: raw.partial_line_timeout.map(|timeout| timeout.0),
        archive: archive_rules(checker, path, raw),
        sinks,
        policy,
        rate_limit,
        stages,
    })
}

/// Compiles the stages, those of the preset first; `None` where each line is a record as it is, or they
/// cannot be compiled.
fn check_stages(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSource) -> Option<Arc<Stages>> {
    let mut all = preset_stages(checker, &path.key("preset"), raw.preset.as_deref());
    let of_preset = all.len();
    all.extend_from_slice(&raw.stages);
    let error = match Stages::compile(&all) {
        Ok(stages) => return Some(Arc::new(stages)).filter(|stages| !stages.is_empty()),
        Err(error) => error,
    };
    // A place is one in its own list.
    let alone = (of_preset > 0).then(|| Stages::compile(&raw.stages).err());
    let error = alone.flatten().unwrap_or(error);
    let at = path.key("stages").dotted(error.path());
    checker.fail(&at, error.problem().to_owned(), error.hint().to_owned());
    None
}

/// Returns the stages of a preset; none where there is none of the name.
fn preset_stages(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    name: Option<&str>,
) -> Vec<StageConfig> {
    let Some(name) = name else {
        return Vec::new();
    };
    if let Some(preset) = tailwater_presets::find(name) {
        return presets::read(preset).stages;
    }
    let written = checker.written(path).unwrap_or_default();
    let known: Vec<&str> = tailwater_presets::all()
        .iter()
        .map(|preset| preset.name)
        .collect();
    checker.fail_word(path, format!("there is no preset `{written}`"), &known);
    Vec::new()
}

fn archive_rules(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    raw: &RawSource,
) -> Option<ArchiveRules> {
    let Some(compression) = raw.decompression else {
        if raw.decompression_delay.is_some() {
            checker.fail(
                &path.key("decompression_delay"),
                "only archives are waited for, and this source reads none",
                "add `decompression: auto`, or the format of the archives, or remove the key",
            );
        }
        return None;
    };
    Some(ArchiveRules {
        compression: match compression {
            RawCompression::Gzip => Some(Compression::Gzip),
            RawCompression::Zlib => Some(Compression::Zlib),
            RawCompression::Bzip2 => Some(Compression::Bzip2),
            RawCompression::Zstd => Some(Compression::Zstd),
            RawCompression::Xz => Some(Compression::Xz),
            RawCompression::Auto => None,
        },
        delay: raw
            .decompression_delay
            .map_or(Duration::ZERO, |delay| delay.0),
    })
}

fn check_labels(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSource) {
    let labels = path.key("labels");
    check_pair_names(checker, &labels, &raw.labels);
    if raw.labels.0.len() > MAX_LABELS {
        let message = format!("`{labels}` has more than {MAX_LABELS} labels");
        checker.fail_key(&labels, message, "each set of labels is a stream: use few");
    }
    let path_label = path.key("path_label");
    if !raw.path_label.is_empty() && !is_name(&raw.path_label) {
        checker.fail(&path_label, "this is not the name of a label", NAME_HELP);
    }
    if raw.labels.0.iter().any(|(name, _)| *name == raw.path_label) {
        let message = format!("`{labels}` and `path_label` both set this label");
        let help = "rename one of them, or set `path_label: \"\"` for no label with the path";
        checker.fail_key(&labels.key(&raw.path_label), message, help);
    }
    if raw.labels.0.is_empty() && raw.path_label.is_empty() {
        checker.fail_key(
            path,
            format!("`{path}` has no label at all"),
            "add `labels: { job: nginx }`",
        );
    }
}

/// What names of labels and of metadata may be.
const NAME_HELP: &str = "use letters, digits and `_`, not starting with a digit";

fn is_name(name: &str) -> bool {
    LabelSet::new([(name, "")]).is_ok()
}

pub(super) fn check_pair_names(checker: &mut Checker<'_>, path: &KeyPath, pairs: &Named<String>) {
    for (name, _) in pairs.0.iter().filter(|(name, _)| !is_name(name)) {
        checker.fail_key(
            &path.key(name),
            format!("`{name}` cannot be a name here"),
            NAME_HELP,
        );
    }
}

/// A tenant is sent in a header.
fn check_tenant(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSource) {
    let Some(tenant) = &raw.tenant else {
        return;
    };
    let at = path.key("tenant");
    if tenant.is_empty() {
        let help = "remove the key for the sink's tenant";
        checker.fail(&at, "the tenant is empty", help);
    } else if tenant.chars().any(char::is_control) {
        let help = "write it as Loki knows it";
        checker.fail(&at, "a control character stands in the tenant", help);
    }
}

fn check_metadata(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSource) {
    let metadata = path.key("structured_metadata");
    check_pair_names(checker, &metadata, &raw.structured_metadata);
    if raw.structured_metadata.0.len() > MAX_METADATA {
        let message = format!("`{metadata}` has more than {MAX_METADATA} entries");
        checker.fail_key(&metadata, message, "it is sent with every line: use little");
    }
    let Some(offset) = raw.offset_metadata.as_ref().filter(|name| !name.is_empty()) else {
        return;
    };
    let at = path.key("offset_metadata");
    if !is_name(offset) {
        checker.fail(
            &at,
            "this is not the name of structured metadata",
            NAME_HELP,
        );
    }
    if raw
        .structured_metadata
        .0
        .iter()
        .any(|(name, _)| name == offset)
    {
        let message = format!("`{metadata}` and `offset_metadata` both set this name");
        checker.fail_key(&metadata.key(offset), message, "rename one of them");
    }
}

/// Checks that what the severity is sent as is free for it.
fn check_severity(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSource) -> SeverityForm {
    let form = match raw.severity {
        // A preset reads the severity, so that it is sent.
        None if raw.preset.is_some() => SeverityForm::StructuredMetadata,
        None | Some(RawSeverity::None) => SeverityForm::None,
        Some(RawSeverity::StructuredMetadata) => SeverityForm::StructuredMetadata,
        Some(RawSeverity::Label) => SeverityForm::Label,
    };
    let labels = path.key("labels");
    let given_labels = raw
        .labels
        .0
        .iter()
        .map(|(name, _)| (name, labels.key(name)));
    let path_label = (&raw.path_label, path.key("path_label"));
    let metadata = path.key("structured_metadata");
    let pairs = raw.structured_metadata.0.iter();
    let given_metadata = pairs.map(|(name, _)| (name, metadata.key(name)));
    let offset = raw.offset_metadata.iter();
    let offset = offset.map(|name| (name, path.key("offset_metadata")));
    let given: Vec<(&String, KeyPath)> = match form {
        SeverityForm::None => Vec::new(),
        SeverityForm::Label => given_labels.chain([path_label]).collect(),
        SeverityForm::StructuredMetadata => given_metadata.chain(offset).collect(),
    };
    let is_taken = |name: &str| match form {
        SeverityForm::Label => name == SEVERITY_LABEL,
        SeverityForm::None | SeverityForm::StructuredMetadata => SEVERITY_METADATA.contains(&name),
    };
    for (name, at) in given.iter().filter(|(name, _)| is_taken(name)) {
        let message = format!("`{name}` is what `severity` is sent as here");
        checker.fail_key(at, message, "give it another name, or set `severity: none`");
    }
    form
}

fn check_waits(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSource) {
    let is_zero = |wait: Option<Lasting>| wait.is_some_and(|wait| wait.0.is_zero());
    if is_zero(raw.ignore_older) {
        let help = "remove the key to read files of any age";
        checker.fail(
            &path.key("ignore_older"),
            "with 0, every file would be ignored",
            help,
        );
    }
    if is_zero(raw.partial_line_timeout) {
        let help = "remove the key to wait for the end of each line";
        checker.fail(
            &path.key("partial_line_timeout"),
            "with 0, lines would be cut at any point",
            help,
        );
    }
}

fn check_patterns(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSource) -> Option<Patterns> {
    if raw.include.is_empty() {
        checker.fail(
            &path.key("include"),
            format!("`{path}` includes no file"),
            "name at least one",
        );
    }
    let include = check_globs(checker, &path.key("include"), &raw.include)?;
    let exclude = check_globs(checker, &path.key("exclude"), &raw.exclude)?;
    Patterns::new(&include, &exclude).ok()
}

/// Tries each glob alone, so that an error points at the one it is about.
fn check_globs(checker: &mut Checker<'_>, path: &KeyPath, globs: &[String]) -> Option<Vec<String>> {
    let mut compiled = Vec::new();
    for (index, glob) in globs.iter().enumerate() {
        let absolute = absolute_glob(glob);
        match Patterns::new(std::slice::from_ref(&absolute), &[]) {
            Ok(_) => compiled.push(absolute),
            Err(error) => {
                let reason = checker.without_variables(&error.reason);
                let help = "globs know `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`, `\\` and, for any directories, `**`";
                checker.fail(
                    &path.index(index),
                    format!("this glob cannot be used: {reason}"),
                    help,
                );
            }
        }
    }
    (compiled.len() == globs.len()).then_some(compiled)
}

/// A relative glob begins at the current directory, as on the command line.
pub(crate) fn absolute_glob(glob: &str) -> String {
    if glob.starts_with('/') || glob.is_empty() {
        return glob.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_else(|_gone| PathBuf::from("/"));
    let here = here.to_string_lossy();
    let literal: String = here.chars().flat_map(escaped).collect();
    format!(
        "{}/{}",
        literal.trim_end_matches('/'),
        glob.strip_prefix("./").unwrap_or(glob)
    )
}

/// The current directory is no glob, whatever is in its name.
pub(crate) fn escaped(letter: char) -> impl Iterator<Item = char> {
    let escape = "*?[]{}\\".contains(letter).then_some('\\');
    escape.into_iter().chain([letter])
}

fn check_sinks(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    raw: &RawSource,
    sinks: &[&str],
) -> Vec<u32> {
    let known = sinks.join(", ");
    let at = path.key("sinks");
    let Some(wanted) = &raw.sinks else {
        if sinks.len() > 1 {
            let message = format!("`{path}` does not say which sinks it feeds");
            checker.fail_key(
                path,
                message,
                format!("there are several: add `sinks: […]` with some of: {known}"),
            );
        }
        return sinks.first().map(|_| 0).into_iter().collect();
    };
    if wanted.is_empty() {
        checker.fail(
            &at,
            format!("`{path}` feeds no sink"),
            format!("name some of: {known}"),
        );
    }
    let mut indexes = Vec::new();
    for (position, name) in wanted.iter().enumerate() {
        let at = at.index(position);
        let written = checker.written(&at).unwrap_or_default();
        let index = sinks.iter().position(|known| known == name);
        match index.and_then(|index| u32::try_from(index).ok()) {
            Some(index) if indexes.contains(&index) => {
                checker.fail(
                    &at,
                    format!("the sink `{written}` stands here twice"),
                    "each line is sent once",
                );
            }
            Some(index) => indexes.push(index),
            None => checker.fail_word(&at, format!("there is no sink `{written}`"), sinks),
        }
    }
    indexes
}

fn check_frame(checker: &mut Checker<'_>, path: &KeyPath, raw: &RawSource) -> FrameConfig {
    let max_line_bytes = raw.max_line_bytes.0;
    if !(MIN_LINE_BYTES..=MAX_LINE_BYTES).contains(&max_line_bytes) {
        let message = "`max_line_bytes` must be 64 bytes to 64MiB";
        checker.fail(
            &path.key("max_line_bytes"),
            message,
            "Loki takes lines of up to 256KiB by default",
        );
    }
    FrameConfig {
        max_line_bytes: usize::try_from(max_line_bytes).unwrap_or(usize::MAX),
        over_limit: match raw.over_limit {
            RawOverLimit::Truncate => OverLimit::Truncate,
            RawOverLimit::Split => OverLimit::Split,
        },
        encoding: match raw.encoding {
            RawEncoding::Auto => Encoding::Auto,
            RawEncoding::Utf8 => Encoding::Utf8,
            RawEncoding::Utf16Le => Encoding::Utf16Le,
            RawEncoding::Utf16Be => Encoding::Utf16Be,
        },
    }
}
