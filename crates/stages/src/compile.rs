//! From the list of stages as it was written to a list of operations.

mod ops;

use std::ops::Range;
use std::sync::Arc;

use tailwater_record::TimestampNs;

use crate::config::{CriConfig, JsonConfig, MatchConfig, Sources, StageConfig, TimestampConfig};
use crate::error::{CompileError, Fault};
use crate::inspect::Inspector;
use crate::limits::Limits;
use crate::program::{Names, Op, Reason, ReasonId};
use crate::registry::Registry;
use crate::selector::Selector;
use crate::stage;
use crate::stage::labels::Rule;
use crate::stage::matching::{Action, Match};
use crate::worker::Worker;
use ops::{decolorize, label_names, relabel, static_labels, truncate};

/// Why records are dropped that [`Stages::within`] does not want.
pub const OUTSIDE_TIME_RANGE: &str = "outside_time_range";

/// Nested `match` stages.
const MAX_NESTING: usize = 16;

/// What all workers share, and what does not change.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) names: Arc<Names>,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) limits: Limits,
}

/// A list of stages that was checked and can be run.
#[derive(Debug)]
pub struct Stages {
    program: Arc<Program>,
    ops: Vec<Op>,
    registry: Arc<Registry>,
}

impl Stages {
    /// Compiles a list of stages, with the bounds of [`Limits::default`].
    ///
    /// # Errors
    /// [`CompileError`] for the first setting that cannot work.
    pub fn compile(stages: &[StageConfig]) -> Result<Self, CompileError> {
        Self::compile_within(stages, Limits::default())
    }

    /// Compiles a list of stages, with bounds.
    ///
    /// # Errors
    /// As [`Stages::compile`].
    pub fn compile_within(stages: &[StageConfig], limits: Limits) -> Result<Self, CompileError> {
        let mut compiler = Compiler {
            names: Names::default(),
            reasons: Vec::new(),
            ops: Vec::new(),
            registry: Registry::default(),
            limits,
        };
        if !stages.is_empty() {
            compiler.pipeline(stages, "", 0)?;
        }
        let registry = Arc::new(compiler.registry);
        let mut ops = compiler.ops;
        for op in &mut ops {
            op.share_registry(&registry);
        }
        Ok(Self {
            program: Arc::new(Program {
                names: Arc::new(compiler.names),
                reasons: compiler.reasons,
                limits,
            }),
            ops,
            registry,
        })
    }

    /// Makes the stages of one pipeline thread.
    pub fn worker(&self) -> Worker {
        Worker::new(Arc::clone(&self.program), self.ops.clone())
    }

    /// Returns the same stages, each of which tells what it does to a record. They share their metrics
    /// with these.
    #[must_use]
    pub fn inspected(&self, inspector: &Arc<dyn Inspector>) -> Self {
        let ops = self.ops.iter();
        Self {
            program: Arc::clone(&self.program),
            ops: ops.map(|op| op.inspected(inspector)).collect(),
            registry: Arc::clone(&self.registry),
        }
    }

    /// Returns the same stages, and behind them one that drops the records whose time is not within a
    /// range, for the reason [`OUTSIDE_TIME_RANGE`]. They share their metrics with these.
    #[must_use]
    pub fn within(&self, wanted: Range<TimestampNs>) -> Self {
        let mut reasons = self.program.reasons.clone();
        let reason = ReasonId(reasons.len());
        reasons.push(Reason {
            name: OUTSIDE_TIME_RANGE.into(),
            is_counted: false,
        });
        let last = Op::TimeRange(stage::range::TimeRange::new(wanted, reason));
        Self {
            program: Arc::new(Program {
                names: Arc::clone(&self.program.names),
                reasons,
                limits: self.program.limits,
            }),
            ops: self.ops.iter().cloned().chain([last]).collect(),
            registry: Arc::clone(&self.registry),
        }
    }

    /// Returns whether any stage can set the time of a record: `timestamp`, `docker` or `cri`, nested ones
    /// as well.
    pub fn sets_time(&self) -> bool {
        self.ops.iter().any(Op::sets_time)
    }

    /// Returns the metrics that the workers make of lines.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Returns how many lines `truncate` has cut, and how many bytes it has cut off.
    ///
    /// Promtail's `promtail_mutated_entries_total` and `promtail_mutated_bytes_total`, of the reason
    /// `line_too_long`.
    pub fn truncated(&self) -> (u64, u64) {
        self.registry.truncated()
    }

    /// Returns whether a record always is its line as it was read.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Returns whether any stage can hold lines: `multiline` or `cri`, nested ones as well.
    pub fn is_grouping(&self) -> bool {
        self.ops.iter().any(|op| op.groups().is_some())
    }

    /// Returns the reasons that lines can be dropped for.
    pub fn drop_reasons(&self) -> impl Iterator<Item = &str> {
        self.program.reasons.iter().map(|reason| &*reason.name)
    }
}

struct Compiler {
    names: Names,
    reasons: Vec<Reason>,
    ops: Vec<Op>,
    registry: Registry,
    limits: Limits,
}

impl Compiler {
    /// Compiles a list; each starts with all labels as extracted values.
    fn pipeline(
        &mut self,
        stages: &[StageConfig],
        prefix: &str,
        depth: usize,
    ) -> Result<(), CompileError> {
        self.ops.push(Op::Seed);
        for (index, stage) in stages.iter().enumerate() {
            self.stage(stage, &format!("{prefix}[{index}]"), depth)?;
        }
        Ok(())
    }

    fn stage(&mut self, stage: &StageConfig, at: &str, depth: usize) -> Result<(), CompileError> {
        let place = &format!("{at}.{}", name(stage));
        let op = match stage {
            StageConfig::Docker(_) => return self.docker(place),
            StageConfig::Cri(config) => {
                return self.cri(config.as_ref().unwrap_or(&CriConfig::default()), place);
            }
            StageConfig::Match(config) => return self.matching(config, place, depth),
            StageConfig::Regex(config) => self.regex(config, place)?,
            StageConfig::Json(config) => self.json(config, place)?,
            StageConfig::Logfmt(config) => self.logfmt(config, place)?,
            StageConfig::Replace(config) => self.replace(config, place)?,
            StageConfig::Template(config) => self.template(config, place)?,
            StageConfig::Timestamp(config) => self.timestamp(config, place)?,
            StageConfig::Output(config) => self.output(config, place)?,
            StageConfig::Labels(labels) => self.labels(labels, place)?,
            StageConfig::LabelAllow(names) => relabel(Rule::Keep(label_names(names, place)?)),
            StageConfig::LabelDrop(names) => relabel(Rule::Remove(label_names(names, place)?)),
            StageConfig::StaticLabels(labels) => static_labels(labels, place)?,
            StageConfig::StructuredMetadata(pairs) => self.structured_metadata(pairs, place)?,
            StageConfig::Metrics(metrics) => self.metrics(metrics, place)?,
            StageConfig::Tenant(config) => self.tenant(config, place)?,
            StageConfig::Multiline(config) => self.multiline(config, place)?,
            StageConfig::Pack(config) => self.pack(config.as_ref()),
            StageConfig::Limit(config) => self.limit(config, place)?,
            StageConfig::Sampling(config) => self.sampling(config, place)?,
            StageConfig::Drop(config) => self.drop(config, place)?,
            StageConfig::Decolorize(_) => decolorize(place)?,
            StageConfig::EventLogMessage(config) => self.eventlogmessage(config.as_ref(), place)?,
            StageConfig::GeoIp(config) => self.geoip(config, place)?,
            StageConfig::Truncate(config) => truncate(config, place)?,
            StageConfig::Level(config) => self.level(config.as_ref(), place)?,
        };
        self.ops.push(op);
        Ok(())
    }

    fn docker(&mut self, place: &str) -> Result<(), CompileError> {
        self.ops.push(Op::Seed);
        let expressions = [
            ("output", "log"),
            ("stream", "stream"),
            ("timestamp", "time"),
        ];
        let json = JsonConfig {
            expressions: expressions
                .into_iter()
                .map(|(name, key)| (name.to_owned(), Some(key.to_owned())))
                .collect(),
            source: None,
            drop_malformed: false,
        };
        let json = self.json(&json, place)?;
        self.ops.push(json);
        self.container_record("timestamp", "output", place)
    }

    fn cri(&mut self, config: &CriConfig, place: &str) -> Result<(), CompileError> {
        self.ops.push(Op::Seed);
        let fields = stage::cri::CriFields::new(&mut self.names);
        self.ops.push(Op::CriFields(fields));
        self.container_record("time", "content", place)?;
        let join = stage::cri::CriJoin::new(config, &mut self.names, self.limits);
        self.ops.push(Op::CriJoin(join));
        Ok(())
    }

    /// What the formats of container runtimes have in common: stream, time and line.
    fn container_record(
        &mut self,
        time: &str,
        output: &str,
        place: &str,
    ) -> Result<(), CompileError> {
        let stream = Sources::from([("stream".to_owned(), None)]);
        let labels = stage::labels::Labels::new(&stream, &mut self.names);
        self.ops.push(Op::Labels(labels));
        let timestamp = TimestampConfig {
            source: time.to_owned(),
            format: "RFC3339Nano".to_owned(),
            fallback_formats: Vec::new(),
            location: None,
            location_source: None,
            year: None,
            action_on_failure: None,
        };
        let timestamp = self.timestamp(&timestamp, place)?;
        self.ops.push(timestamp);
        self.ops.push(Op::Output(self.names.slot(output)));
        Ok(())
    }

    fn matching(
        &mut self,
        config: &MatchConfig,
        place: &str,
        depth: usize,
    ) -> Result<(), CompileError> {
        let fault = |key: &str, problem: &str, hint: &str| {
            Err(Fault::new(problem, hint).at(format!("{place}.{key}")))
        };
        if depth >= MAX_NESTING {
            return fault(
                "stages",
                "stages are nested too deep",
                "nest 16 `match` at most",
            );
        }
        if config.pipeline_name.as_deref() == Some("") {
            return fault(
                "pipeline_name",
                "a name is not empty",
                "remove the key, or name it",
            );
        }
        let selector = Selector::new(&config.selector)
            .map_err(|fault| fault.at(format!("{place}.selector")))?;
        match (config.action.as_str(), config.stages.is_empty()) {
            ("" | "keep", false) => {}
            ("drop", true) => {
                let reason = config.drop_counter_reason.as_deref();
                let reason = self.reason(reason, "match_stage", Counted::Yes);
                let action = Action::Drop(reason);
                self.ops.push(Op::Match(Match { selector, action }));
                return Ok(());
            }
            ("" | "keep", true) => {
                return fault(
                    "stages",
                    "lines are kept for no stage",
                    "add `stages`, or drop them",
                );
            }
            ("drop", false) => {
                return fault("stages", "dropped lines pass no stage", "remove `stages`");
            }
            _ => return fault("action", "the action is unknown", "write `keep` or `drop`"),
        }
        let index = self.ops.len();
        let action = Action::Nested { behind: index };
        self.ops.push(Op::Match(Match { selector, action }));
        self.pipeline(&config.stages, &format!("{place}.stages"), depth + 1)?;
        let behind = self.ops.len();
        if let Some(Op::Match(stage)) = self.ops.get_mut(index) {
            stage.action = Action::Nested { behind };
        }
        Ok(())
    }

    /// Finds or makes a reason; an empty one means the default.
    fn reason(&mut self, given: Option<&str>, default: &str, counted: Counted) -> ReasonId {
        let name = given.filter(|name| !name.is_empty()).unwrap_or(default);
        let reason = Reason {
            name: name.into(),
            is_counted: counted == Counted::Yes,
        };
        let known = self.reasons.iter().position(|known| *known == reason);
        ReasonId(known.unwrap_or_else(|| {
            self.reasons.push(reason);
            self.reasons.len() - 1
        }))
    }
}

/// Whether Promtail counts the lines that are dropped for a reason.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Yes,
    No,
}

/// The name that a stage is written with.
fn name(stage: &StageConfig) -> &'static str {
    match stage {
        StageConfig::Docker(_) => "docker",
        StageConfig::Cri(_) => "cri",
        StageConfig::Regex(_) => "regex",
        StageConfig::Json(_) => "json",
        StageConfig::Logfmt(_) => "logfmt",
        StageConfig::Replace(_) => "replace",
        StageConfig::Template(_) => "template",
        StageConfig::Timestamp(_) => "timestamp",
        StageConfig::Output(_) => "output",
        StageConfig::Labels(_) => "labels",
        StageConfig::LabelAllow(_) => "labelallow",
        StageConfig::LabelDrop(_) => "labeldrop",
        StageConfig::StaticLabels(_) => "static_labels",
        StageConfig::StructuredMetadata(_) => "structured_metadata",
        StageConfig::Metrics(_) => "metrics",
        StageConfig::Tenant(_) => "tenant",
        StageConfig::Match(_) => "match",
        StageConfig::Multiline(_) => "multiline",
        StageConfig::Pack(_) => "pack",
        StageConfig::Limit(_) => "limit",
        StageConfig::Sampling(_) => "sampling",
        StageConfig::Drop(_) => "drop",
        StageConfig::Decolorize(_) => "decolorize",
        StageConfig::EventLogMessage(_) => "eventlogmessage",
        StageConfig::GeoIp(_) => "geoip",
        StageConfig::Truncate(_) => "truncate",
        StageConfig::Level(_) => "level",
    }
}
