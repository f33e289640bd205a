//! The configuration of a run: a source and its sinks out of a file, or what the command line says.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailwater_engine::{GiveUp, Policy, RateLimit, ReadFrom, SourceConfig, WhenExceeded};
use tailwater_record::{LabelSet, TimestampNs};
use tailwater_stages::Stages;
use tailwater_tailer::Patterns;

use super::arguments::BackfillArguments;
use super::moment;
use crate::config::{self, Config};
use crate::exit::Failure;
use crate::presets;

/// Below the data directory: all that a backfill keeps.
const STATE_DIRECTORY: &str = "backfill";

/// The source where there is no configuration.
const SOURCE: &str = "backfill";

/// What runs, and where it keeps how far it is.
#[derive(Debug)]
pub(super) struct Setup {
    /// With one source, and the sinks that it feeds.
    pub(super) config: Config,
    /// The data directory, which may be a running agent's.
    pub(super) data_dir: PathBuf,
    /// The directory that one backfill has for itself.
    pub(super) lock_dir: PathBuf,
    /// Where positions are: `lock_dir`, or below it where only a range of times is wanted.
    pub(super) state_dir: PathBuf,
    /// Why the stages of the source drop lines.
    pub(super) stage_reasons: BTreeSet<String>,
}

impl Setup {
    /// Makes it of the arguments.
    ///
    /// # Errors
    /// [`Failure::Usage`] and [`Failure::Config`].
    pub(super) fn of(arguments: &BackfillArguments, now_ns: u64) -> Result<Self, Failure> {
        let range = moment::range(arguments.since, arguments.until, now_ns);
        let range = range.map_err(Failure::Usage)?;
        let mut config = match (&arguments.config, &arguments.to) {
            (Some(path), _) => config::load(path, arguments.data_dir.as_deref())?,
            (None, Some(url)) => of_command_line(arguments, url)?,
            (None, None) => {
                let message = "say where lines go: `--config FILE` or `--to URL`";
                return Err(Failure::Usage(message.to_owned()));
            }
        };
        choose_source(&mut config, arguments.source.as_deref())?;
        let lock_dir = config.data_dir.join(STATE_DIRECTORY);
        let state_dir = match range {
            Some(_) => lock_dir.join(range_name(arguments)),
            None => lock_dir.clone(),
        };
        let source = the_source(&mut config)?;
        let stage_reasons = source.stages.iter();
        let stage_reasons = stage_reasons.flat_map(|stages| stages.drop_reasons());
        let stage_reasons = stage_reasons.map(str::to_owned).collect();
        if let Some(range) = range {
            source.stages = Some(Arc::new(within(source, range)?));
        }
        if !arguments.no_stream_label {
            check_stream_label(source, &arguments.stream_label.0)?;
        }
        adapt(&mut config, arguments, &state_dir);
        Ok(Self {
            data_dir: config.data_dir.clone(),
            config,
            lock_dir,
            state_dir,
            stage_reasons,
        })
    }

    /// Returns the source.
    pub(super) fn source(&self) -> Option<&SourceConfig> {
        self.config.engine.sources.first()
    }

    /// Returns the names of the sinks.
    pub(super) fn sinks(&self) -> Vec<Arc<str>> {
        let sinks = self.config.engine.sinks.iter();
        sinks.map(|sink| Arc::clone(&sink.name)).collect()
    }

    /// The files of the source are those that match.
    pub(super) fn set_patterns(&mut self, patterns: &Patterns) {
        for source in &mut self.config.engine.sources {
            source.patterns = patterns.clone();
        }
    }
}

/// Writes the arguments as a configuration, so that both are checked alike.
fn of_command_line(arguments: &BackfillArguments, url: &str) -> Result<Config, Failure> {
    let labels = arguments.labels.iter();
    let labels: serde_json::Map<String, serde_json::Value> = labels
        .map(|(name, value)| (name.clone(), literal(value).into()))
        .collect();
    // A preset is none of the text, where the name would be shown amid words that nobody has written.
    let preset = arguments.preset.as_deref().map(presets::named);
    let preset = preset.transpose()?.map(|preset| preset.name);
    let tenant = arguments.tenant.as_deref();
    let sink = sink_name(url, tenant);
    let text = serde_json::json!({
        // The files are named apart.
        "sources": { SOURCE: { "include": ["/backfill"], "labels": labels, "preset": preset } },
        "sinks": { sink: { "loki": { "url": literal(url), "tenant": tenant.map(literal) } } },
    });
    let data_dir = match &arguments.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => config::load_default(None)?.data_dir,
    };
    config::parse(
        &text.to_string(),
        "command line",
        Some(&data_dir),
        &HashMap::new(),
    )
    .map_err(|error| Failure::Usage(error.to_string()))
}

/// Writes a value as a configuration has it: the shell has put variables in, and what is left of them is text.
fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

/// Names a sink by where it sends: positions are kept under the name, and those of another server say nothing.
fn sink_name(url: &str, tenant: Option<&str>) -> String {
    let place = format!("{url}\n{}", tenant.unwrap_or_default());
    format!("loki-{:016x}", stable_hash(place.as_bytes()))
}

/// Positions of one range of times say nothing about another. Relative times are the same in each run.
fn range_name(arguments: &BackfillArguments) -> String {
    let mut range = String::new();
    for moment in [arguments.since, arguments.until] {
        writeln!(range, "{moment:?}").ok();
    }
    format!("range-{:016x}", stable_hash(range.as_bytes()))
}

/// FNV-1a: the same in every version of the agent.
fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Leaves one source, and the sinks that it feeds.
fn choose_source(config: &mut Config, wanted: Option<&str>) -> Result<(), Failure> {
    let engine = &mut config.engine;
    let names: Vec<String> = engine
        .sources
        .iter()
        .map(|source| source.name.to_string())
        .collect();
    let names = names.join(", ");
    match wanted {
        Some(wanted) => engine.sources.retain(|source| &*source.name == wanted),
        None if engine.sources.len() > 1 => {
            let message =
                format!("there are several sources: choose one with `--source NAME`, of: {names}");
            return Err(Failure::Usage(message));
        }
        None => {}
    }
    if engine.sources.is_empty() {
        let wanted = wanted.unwrap_or_default().escape_debug();
        let message = format!("there is no source `{wanted}`: choose one of: {names}");
        return Err(Failure::Usage(message));
    }
    engine.sources.truncate(1);
    let Some(source) = engine.sources.first_mut() else {
        return Ok(());
    };
    let fed = std::mem::take(&mut source.sinks);
    source.sinks = (0..).take(fed.len()).collect();
    let mut sinks: Vec<Option<_>> = std::mem::take(&mut engine.sinks)
        .into_iter()
        .map(Some)
        .collect();
    engine.sinks = fed
        .iter()
        .filter_map(|index| sinks.get_mut(usize::try_from(*index).ok()?)?.take())
        .collect();
    Ok(())
}

fn the_source(config: &mut Config) -> Result<&mut SourceConfig, Failure> {
    let none = || Failure::Usage("the configuration has no source".to_owned());
    config.engine.sources.first_mut().ok_or_else(none)
}

/// Adds the stage that drops what is outside of a range.
fn within(source: &SourceConfig, range: Range<TimestampNs>) -> Result<Stages, Failure> {
    let stages = source.stages.as_ref().filter(|stages| stages.sets_time());
    let Some(stages) = stages else {
        let message = format!(
            "`--since` and `--until` need the times of the lines, and nothing reads them from the lines of source \
             `{}`: give it a `preset` or a `timestamp` stage",
            source.name
        );
        return Err(Failure::Usage(message));
    };
    Ok(stages.within(range))
}

/// A label that is none, or that the source sets to something else, keeps no line in a stream of its own.
fn check_stream_label(source: &SourceConfig, name: &str) -> Result<(), Failure> {
    if let Err(error) = LabelSet::new([(name, "")]) {
        return Err(Failure::Usage(format!("`--stream-label`: {error}")));
    }
    let mut own = source.labels.iter().map(|(own, _)| own);
    if own.any(|own| own == name) || source.path_label.as_deref() == Some(name) {
        let message = format!(
            "the lines have a label `{name}` of their own: choose another with `--stream-label`, or \
             `--no-stream-label` for no further label"
        );
        return Err(Failure::Usage(message));
    }
    Ok(())
}

/// From a configuration that follows files for ever to one that reads them once.
fn adapt(config: &mut Config, arguments: &BackfillArguments, state_dir: &Path) {
    config.server.listen = arguments.listen;
    config.server.reload = false;
    config.server.promtail = false;
    config.import_positions = None;
    let engine = &mut config.engine;
    engine.data_dir = Some(state_dir.to_owned());
    let slower = |limit: Option<RateLimit>| {
        limit.map(|limit| RateLimit {
            when_exceeded: WhenExceeded::Block,
            ..limit
        })
    };
    engine.rate_limit = match arguments.rate {
        Some(bytes) => Some(RateLimit {
            bytes_per_second: Some(bytes),
            lines_per_second: None,
            burst_lines: None,
            when_exceeded: WhenExceeded::Block,
        }),
        None => slower(engine.rate_limit),
    };
    for source in &mut engine.sources {
        source.read_from = ReadFrom::Beginning;
        source.ignore_older = None;
        source.archive = None;
        source.policy = None;
        source.rate_limit = slower(source.rate_limit);
    }
    for sink in &mut engine.sinks {
        // Whoever wants to give up says so on the command line.
        sink.give_up = GiveUp::default();
        sink.policy = Policy::default();
        let (name, value) = &arguments.stream_label;
        if !arguments.no_stream_label {
            sink.labels.retain(|(known, _)| known != name);
            sink.labels.push((name.clone(), value.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
