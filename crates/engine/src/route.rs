//! What a pipeline thread keeps beside each cursor, and the sources as it uses them.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tailwater_batcher::BatchLimits;
use tailwater_position_store::FileKey;
use tailwater_record::{CursorId, LabelSet, Level};
use tailwater_sink::EncoderFactory;
use tailwater_stages::Stages;
use tailwater_tailer::{AllowedRoots, FrameConfig, SourceFiles, TailerLimits};

use crate::books::RouteIndex;
use crate::config::{EngineConfig, ReadFrom, SEVERITY_LABEL, SeverityForm, SourceConfig};
use crate::ledger::Progress;
use crate::outlet::{LaneKey, Outlet};
use crate::rate::SourceLimiter;

/// Structured metadata pairs of a record, the offset and the severity included.
pub(crate) const MAX_METADATA: usize = 34;

/// One cursor's way to its sink.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) cursor: CursorId,
    /// The name that its position is stored under.
    pub(crate) name: Arc<str>,
    pub(crate) labels: LabelSet,
    pub(crate) leveled: LeveledLabels,
    pub(crate) book: RouteIndex,
    pub(crate) key: FileKey,
    /// The number under which its content was found, or a later one.
    pub(crate) content_number: u64,
    pub(crate) progress: Arc<Progress>,
    /// Index of the open batch that its lines go to.
    pub(crate) batch: usize,
    /// Index of the stages that its lines go through, if they go through any.
    pub(crate) workshop: Option<usize>,
}

/// A lane as a pipeline thread sees it.
#[derive(Clone, Debug)]
pub(crate) struct SinkEnd {
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) encoder: Arc<dyn EncoderFactory>,
    pub(crate) batch: BatchLimits,
    /// Labels that its records get where they have none of the name.
    pub(crate) labels: Arc<[(String, String)]>,
}

/// Labels that records get where they have none of the name, and that of their level.
#[derive(Debug)]
pub(crate) struct ExtraLabels {
    extra: Arc<[(String, String)]>,
    known: HashMap<(LabelSet, Option<Level>), LabelSet>,
}

/// Label sets whose form with further labels is remembered.
const MAX_KNOWN_SETS: usize = 4096;

impl ExtraLabels {
    pub(crate) fn new(extra: Arc<[(String, String)]>) -> Self {
        Self {
            extra,
            known: HashMap::new(),
        }
    }

    /// Returns a set with them, and with the label of a level where there is one.
    pub(crate) fn with<'s>(
        &'s mut self,
        labels: &'s LabelSet,
        level: Option<Level>,
    ) -> &'s LabelSet {
        if self.extra.is_empty() && level.is_none() {
            return labels;
        }
        let key = (labels.clone(), level);
        if self.known.len() >= MAX_KNOWN_SETS && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let extra = &self.extra;
        self.known.entry(key).or_insert_with(|| {
            let with_extra = with_labels(labels, extra);
            level.map_or_else(
                || with_extra.clone(),
                |level| with_label(&with_extra, SEVERITY_LABEL, level.as_str()),
            )
        })
    }
}

/// Sets one label.
pub(crate) fn with_label(labels: &LabelSet, name: &str, value: &str) -> LabelSet {
    let others = labels.iter().filter(|(known, _)| *known != name);
    // One name more, which none of the others has.
    LabelSet::new(others.chain([(name, value)])).unwrap_or_else(|_| labels.clone())
}

/// Adds the labels that a set has no label of the name of.
pub(crate) fn with_labels(labels: &LabelSet, extra: &[(String, String)]) -> LabelSet {
    let mut lacking = extra
        .iter()
        .filter(|(name, _)| labels.get(name).is_none())
        .peekable();
    if lacking.peek().is_none() {
        return labels.clone();
    }
    let lacking = lacking.map(|(name, value)| (name.as_str(), value.as_str()));
    // Names were checked with the configuration, and none stands twice.
    LabelSet::new(labels.iter().chain(lacking)).unwrap_or_else(|_| labels.clone())
}

/// The labels of a file with those of each level, made when they are first needed: most files never do, and
/// there may be many.
#[derive(Debug, Default)]
pub(crate) struct LeveledLabels(OnceCell<Box<[OnceCell<LabelSet>; 6]>>);

impl LeveledLabels {
    /// Returns the labels of a file, with that of a level where there is one.
    pub(crate) fn get<'s>(&'s self, labels: &'s LabelSet, level: Option<Level>) -> &'s LabelSet {
        let place = |level| {
            let index = match level {
                Level::Trace => 0,
                Level::Debug => 1,
                Level::Info => 2,
                Level::Warn => 3,
                Level::Error => 4,
                Level::Fatal => 5,
            };
            let Self(places) = self;
            Some((places.get_or_init(Box::default).get(index)?, level))
        };
        level.and_then(place).map_or(labels, |(leveled, level)| {
            leveled.get_or_init(|| with_label(labels, SEVERITY_LABEL, level.as_str()))
        })
    }
}

/// A source as a pipeline thread sees it.
#[derive(Clone, Debug)]
pub(crate) struct SourceEnd {
    pub(crate) name: Arc<str>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) path_label: Option<String>,
    pub(crate) structured_metadata: Vec<(String, String)>,
    pub(crate) offset_metadata: Option<String>,
    pub(crate) severity: SeverityForm,
    pub(crate) rate_limiter: Option<Arc<SourceLimiter>>,
    pub(crate) read_from: ReadFrom,
    pub(crate) frame: FrameConfig,
    pub(crate) files: SourceFiles,
    pub(crate) stages: Option<Arc<Stages>>,
    /// The lanes it feeds.
    pub(crate) feeds: Vec<Feed>,
}

/// One source's way to one lane, the same for all files.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    /// The number of the lane's outlet.
    pub(crate) lane: u32,
    /// The name that positions are stored under.
    pub(crate) name: Arc<str>,
}

/// Returns the name that positions of a source for a sink are stored under. Neither name holds a `/`.
pub(crate) fn position_name(sink: &str, source: &str) -> Arc<str> {
    format!("{sink}/{source}").into()
}

/// Everything a pipeline thread runs with.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) sources: Vec<SourceEnd>,
    pub(crate) lanes: Vec<SinkEnd>,
    pub(crate) limits: TailerLimits,
    pub(crate) roots: AllowedRoots,
    pub(crate) max_line_bytes: usize,
    /// How fast all sources together may be read.
    pub(crate) shared_limiter: Option<Arc<SourceLimiter>>,
}

impl Plan {
    pub(crate) fn lane(&self, id: u32) -> Option<&SinkEnd> {
        self.lanes.iter().find(|lane| lane.outlet.id == id)
    }

    /// Makes the plan of the first thread; [`Plan::for_shard`] makes the others'.
    pub(crate) fn new(config: &EngineConfig, lanes: Vec<SinkEnd>) -> Self {
        let sources: Vec<SourceEnd> = config
            .sources
            .iter()
            .map(|source| source_end(source, config, &lanes))
            .collect();
        let tailing = &config.tailing;
        let roots: Vec<&Path> = sources
            .iter()
            .flat_map(|source| source.files.patterns.roots())
            .map(|root| root.dir.as_path())
            .chain(
                tailing
                    .allowed_roots
                    .iter()
                    .map(std::path::PathBuf::as_path),
            )
            .collect();
        Self {
            roots: AllowedRoots::new(roots),
            max_line_bytes: sources
                .iter()
                .map(|source| source.frame.max_line_bytes)
                .max()
                .unwrap_or(0),
            sources,
            lanes,
            shared_limiter: config
                .rate_limit
                .as_ref()
                .map(|limit| Arc::new(SourceLimiter::new(limit))),
            limits: TailerLimits {
                watch: tailing.watch,
                poll_interval: tailing.poll_interval,
                rescan_interval: tailing.rescan_interval,
                rotate_wait: tailing.rotate_wait,
                close_idle: tailing.close_idle,
                max_open_files: (tailing.max_open_files / config.workers.max(1)).max(1),
                max_files: (tailing.max_files / config.workers.max(1)).max(1),
                excluded_paths: tailing.excluded_paths.clone(),
                shard: 0,
                shards: u32::try_from(config.workers.max(1)).unwrap_or(1),
                is_for_remote: false,
            },
        }
    }

    /// Returns whether a pattern begins on a network file system.
    pub(crate) fn has_remote_roots(&self) -> bool {
        let mounts = tailwater_tailer::mount_table();
        let mut roots = self
            .sources
            .iter()
            .flat_map(|source| source.files.patterns.roots());
        roots.any(|root| tailwater_tailer::is_remote(&root.dir, &mounts))
    }

    pub(crate) fn for_shard(&self, shard: u32) -> Self {
        let mut plan = self.clone();
        plan.limits.shard = shard;
        plan
    }

    /// The plan of the thread that follows network file systems.
    pub(crate) fn for_remote(&self) -> Self {
        let mut plan = self.for_shard(self.limits.shards);
        plan.limits.is_for_remote = true;
        plan
    }
}

/// Returns the keys of the lanes that a source feeds, in the order of its sinks.
pub(crate) fn lane_keys(source: &SourceConfig, config: &EngineConfig) -> Vec<LaneKey> {
    let sinks = source.sinks.iter();
    sinks
        .filter_map(|index| config.sinks.get(usize::try_from(*index).ok()?))
        .map(|sink| LaneKey {
            sink: Arc::clone(&sink.name),
            tenant: source.tenant.clone(),
            policy: source.policy.clone().unwrap_or_else(|| sink.policy.clone()),
            spilled_as: None,
        })
        .collect()
}

fn source_end(source: &SourceConfig, config: &EngineConfig, lanes: &[SinkEnd]) -> SourceEnd {
    SourceEnd {
        name: Arc::clone(&source.name),
        labels: source.labels.clone(),
        path_label: source.path_label.clone(),
        structured_metadata: source.structured_metadata.clone(),
        offset_metadata: source.offset_metadata.clone(),
        severity: source.severity,
        rate_limiter: source
            .rate_limit
            .as_ref()
            .map(|limit| Arc::new(SourceLimiter::new(limit))),
        read_from: source.read_from,
        frame: source.frame,
        files: SourceFiles {
            patterns: source.patterns.clone(),
            ignore_older: source.ignore_older,
            partial_line_timeout: source.partial_line_timeout,
            archive: source.archive,
        },
        stages: source.stages.clone(),
        feeds: lane_keys(source, config)
            .iter()
            .filter_map(|key| lanes.iter().find(|lane| lane.outlet.key == *key))
            .map(|lane| Feed {
                lane: lane.outlet.id,
                name: position_name(&lane.outlet.name, &source.name),
            })
            .collect(),
    }
}

/// Makes the labels of a file's lines; control characters in its path are escaped.
pub(crate) fn labels_of(source: &SourceEnd, path: &Path) -> LabelSet {
    let path: String = String::from_utf8_lossy(path.as_os_str().as_encoded_bytes())
        .chars()
        .flat_map(|char| {
            if char.is_control() {
                char.escape_default().collect()
            } else {
                vec![char]
            }
        })
        .collect();
    let own = source
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let path_label = source
        .path_label
        .as_deref()
        .filter(|name| source.labels.iter().all(|(own, _)| own != name));
    let pairs = own.chain(path_label.map(|name| (name, path.as_str())));
    // The configuration was checked: names are valid, and the path's name is not given twice.
    LabelSet::new(pairs).unwrap_or_else(|_| {
        LabelSet::new([("filename", path.as_str())]).expect("a single valid name is a label set")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_level_are_made_once_and_replace_one_of_the_name() {
        let labels = LabelSet::new([("job", "a"), ("level", "x")]).unwrap();
        let leveled = LeveledLabels::default();
        assert!(leveled.get(&labels, None).is_same(&labels));
        let warn = leveled.get(&labels, Some(Level::Warn));
        assert_eq!(warn.get("level"), Some("warn"));
        assert_eq!(warn.get("job"), Some("a"));
        assert!(leveled.get(&labels, Some(Level::Warn)).is_same(warn));
        let fatal = leveled.get(&labels, Some(Level::Fatal));
        assert_eq!(fatal.get("level"), Some("fatal"));
    }
}
