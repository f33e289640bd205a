//! Targets become sources.

use tailwater_yaml::KeyPath;

use super::{native_texts, unique_name};
use crate::check::{archive_of, encoding_of};
use crate::emit::{Doc, Map, Purpose};
use crate::load::Loaded;
use crate::model::{Limits, ScrapeConfig};
use crate::targets::{Target, Targets};

/// Promtail has no bound for a line and holds it in memory; Loki refuses lines of more than 256 KiB
/// unless it is told otherwise. Four of these fill the queue of a sink.
const MAX_LINE: &str = "4MiB";

/// The label that Promtail gives the path of a file.
const PATH_LABEL: &str = "filename";

/// Makes the sources: one per target, in their order.
pub(super) fn sources(
    loaded: &Loaded,
    targets: &Targets,
    sinks: &[String],
    notes: &mut Vec<String>,
) -> Doc {
    let mut names: Vec<String> = Vec::new();
    let mut all = Map::default();
    // The standard input needs none.
    let no_job = ScrapeConfig::default();
    if !targets.targets.is_empty() {
        notes.push(format!(
            "lines of more than {MAX_LINE} are cut there; Promtail has no bound, and holds any line in memory"
        ));
    }
    for target in &targets.targets {
        let job = loaded.config.scrape_configs.get(target.job);
        let job = job.unwrap_or(&no_job);
        let name = unique_name(&target.job_name, &names);
        names.push(name.clone());
        let source = source(loaded, target, job, sinks, &mut |note| {
            notes.push(format!("source {name}: {note}"));
        });
        all.put(&name, source);
    }
    all.into_doc()
}

fn source(
    loaded: &Loaded,
    target: &Target,
    job: &ScrapeConfig,
    sinks: &[String],
    note: &mut dyn FnMut(&str),
) -> Doc {
    if loaded.is_stdin() {
        note(
            "it is the standard input, which the native form does not read: `promtail -stdin` does",
        );
        return stdin(loaded, target, sinks);
    }
    let mut source = Map::default();
    source.put("include", native_texts([target.path.as_str()]));
    if !target.exclude.is_empty() {
        source.put("exclude", native_texts([target.exclude.as_str()]));
    }
    if target.labels.iter().any(|(name, _)| name == PATH_LABEL) {
        note(
            "its label `filename` is the path of the file, as with Promtail, whatever else it is set to",
        );
    }
    let labels = target.labels.iter().filter(|(name, _)| name != PATH_LABEL);
    let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
    source.put("labels", Doc::pairs(labels, Purpose::Native));
    source.plain("path_label", PATH_LABEL);
    source.plain("read_from", "beginning");
    source.plain("max_line_bytes", MAX_LINE);
    if let Some(encoding) = job.encoding.as_deref().and_then(encoding_of) {
        source.plain("encoding", encoding);
    }
    put_decompression(&mut source, job);
    put_way(&mut source, loaded, target, sinks);
    source.into_doc()
}

/// Lines of the standard input have no path, and what is said about files does not hold for them.
fn stdin(loaded: &Loaded, target: &Target, sinks: &[String]) -> Doc {
    let mut source = Map::default();
    source.put("include", native_texts([target.path.as_str()]));
    let labels = target.labels.iter();
    let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
    source.put("labels", Doc::pairs(labels, Purpose::Native));
    source.text("path_label", "");
    source.plain("max_line_bytes", MAX_LINE);
    put_way(&mut source, loaded, target, sinks);
    source.into_doc()
}

/// Puts what becomes of the lines, and where they go.
fn put_way(source: &mut Map, loaded: &Loaded, target: &Target, sinks: &[String]) {
    if let Some(stages) = stages(loaded, target.job) {
        source.put("stages", stages);
    }
    if sinks.len() > 1 {
        source.put("sinks", native_texts(sinks.iter().map(String::as_str)));
    }
}

fn put_decompression(source: &mut Map, job: &ScrapeConfig) {
    let raw = job.decompression.as_ref();
    let Some(raw) = raw.filter(|raw| raw.enabled == Some(true)) else {
        return;
    };
    let Some(archive) = archive_of(raw) else {
        return;
    };
    source.comment("Each file is an archive, and read once.");
    source.plain("decompression", archive);
    let delay = raw.initial_delay.filter(|delay| !delay.0.is_zero());
    source.plain_if("decompression_delay", delay);
}

/// The stages as they were written, and what the limit of lines adds; `None` for none at all.
fn stages(loaded: &Loaded, job: usize) -> Option<Doc> {
    let path = KeyPath::default()
        .key("scrape_configs")
        .index(job)
        .key("pipeline_stages");
    let written = loaded.tree.at(&path);
    let mut stages = match written.map(|node| Doc::of(node, Purpose::Native)) {
        Some(Doc::List(stages)) => stages,
        Some(Doc::Scalar(_) | Doc::Null | Doc::Map(_)) | None => Vec::new(),
    };
    stages.extend(line_limit(&loaded.config.limits_config));
    (!stages.is_empty()).then_some(Doc::List(stages))
}

fn line_limit(limits: &Limits) -> Option<Doc> {
    let size = limits.max_line_size.filter(|size| size.0 > 0)?;
    let mut stage = Map::default();
    let mut settings = Map::default();
    stage.comment("`limits_config.max_line_size`");
    if limits.max_line_size_truncate == Some(true) {
        settings.plain("max_bytes", size.0);
        stage.put("truncate", settings.into_doc());
    } else {
        settings.plain("longer_than", size.0);
        settings.plain("drop_counter_reason", "line_too_long");
        stage.put("drop", settings.into_doc());
    }
    Some(stage.into_doc())
}
