//! Promtail's pipeline stages: what becomes of a line between reading and encoding.
//!
//! [`StageConfig`] is the list that Promtail's users write under `pipeline_stages`.
//! [`Stages::compile`] checks all of it at once: expressions, layouts, templates and selectors that
//! cannot work are refused there, by their place, and never at a line. A [`Worker`] belongs to one
//! pipeline thread; it takes an [`Entry`] and gives an [`Outcome`] for every line that leaves it, be
//! it as a record or dropped for a named reason. Lines of an open group are *held*: [`Worker::held_from`]
//! says where the position of their file must stay.
//!
//! # Invariants
//! - Every line that goes in comes out once: in a record, alone or in a group, or dropped.
//! - The same lines with the same timestamps give the same records, however they are chunked.
//! - In steady state a line costs no allocation in `cri`, `docker`, `json` with plain paths, `logfmt`,
//!   `regex`, `labels`, `timestamp`, `output`, `drop` `match` and `level`.
//! - Everything that is kept from line to line is bounded by [`Limits`].
//!
//! This crate knows neither files, but for the database of a `geoip`, nor sinks nor the syntax of a configuration, and it takes no time:
//! `now` is the timestamp that the reader gave to the line.

mod compile;
mod config;
mod draft;
mod error;
mod expression;
mod go;
mod group;
mod inspect;
mod interner;
mod json;
mod limits;
mod pattern;
mod program;
mod registry;
mod selector;
mod stage;
mod template;
mod worker;

pub use compile::{OUTSIDE_TIME_RANGE, Stages};
pub use config::{
    CriConfig, DropConfig, Empty, EventLogMessageConfig, GeoIpConfig, JsonConfig, LevelConfig,
    LimitConfig, LogfmtConfig, MatchConfig, MetricConfig, MetricSettings, MultilineConfig,
    OutputConfig, PackConfig, RegexConfig, ReplaceConfig, SamplingConfig, SamplingKeep,
    SeverityWord, Sources, StageConfig, TemplateConfig, TenantConfig, TimestampConfig,
    TruncateConfig,
};
pub use error::CompileError;
pub use expression::Expression;
pub use inspect::{Change, Fate, Inspector};
pub use limits::Limits;
pub use pattern::rewrite as go_regex;
pub use registry::{Registry, Sample, SampleValue, Series};
pub use worker::{Dropped, Entry, Held, Outcome, Part, Processed, Worker};
