//! The list of stages as Promtail writes it under `pipeline_stages`.
//!
//! Each element is a map with one key, the name of the stage. Nothing is checked here but the shape;
//! [`crate::Stages::compile`] checks the meaning. Unknown keys are refused, where Promtail ignores
//! them in silence.

mod weak;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::Visitor;

/// Names, each with the source of its value; none means the source of the same name.
pub type Sources = BTreeMap<String, Option<String>>;

/// One stage: an element of `pipeline_stages`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageConfig {
    /// Docker's `json-file` format: line, stream and time.
    Docker(Option<Empty>),
    /// The format of container runtimes: time, stream, flags and line; partial lines are joined.
    Cri(Option<CriConfig>),
    /// Named groups of a regular expression.
    Regex(RegexConfig),
    /// `JMESPath` expressions over a JSON object.
    Json(JsonConfig),
    /// Keys of a logfmt line.
    Logfmt(LogfmtConfig),
    /// Captured groups replaced by what a template makes of them.
    Replace(ReplaceConfig),
    /// A value made by a template.
    Template(TemplateConfig),
    /// The record's time.
    Timestamp(TimestampConfig),
    /// The record's line.
    Output(OutputConfig),
    /// Labels from extracted values.
    Labels(Sources),
    /// Labels that stay; all others go.
    LabelAllow(Vec<String>),
    /// Labels that go.
    LabelDrop(Vec<String>),
    /// Labels with fixed values.
    #[serde(rename = "static_labels")]
    StaticLabels(Sources),
    /// Structured metadata from extracted values or labels.
    #[serde(rename = "structured_metadata", alias = "non_indexed_labels")]
    StructuredMetadata(Sources),
    /// Counters, gauges and histograms, by name.
    Metrics(BTreeMap<String, MetricConfig>),
    /// The tenant.
    Tenant(TenantConfig),
    /// Stages for the lines that a selector chooses, or their end.
    Match(MatchConfig),
    /// Lines joined into one record.
    Multiline(MultilineConfig),
    /// Labels packed into the line.
    Pack(Option<PackConfig>),
    /// A rate limit.
    Limit(LimitConfig),
    /// A share of the lines.
    Sampling(SamplingConfig),
    /// Lines that end here.
    Drop(DropConfig),
    /// ANSI escapes removed from the line.
    Decolorize(Option<Empty>),
    /// Keys of a Windows event's message.
    EventLogMessage(Option<EventLogMessageConfig>),
    /// Labels from an address.
    GeoIp(GeoIpConfig),
    /// Long lines cut. Promtail has no such stage.
    Truncate(TruncateConfig),
    /// The record's severity. Promtail has no such stage.
    Level(Option<LevelConfig>),
}

/// A stage without settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Settings of `cri`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CriConfig {
    /// Streams with a partial line at once, in all files of a worker; 0 and none mean 100.
    pub max_partial_lines: Option<usize>,
    /// Bytes at which a joined line is cut, if it is to be cut at all.
    pub max_partial_line_size: u64,
    /// Whether a joined line is cut.
    pub max_partial_line_size_truncate: bool,
}

/// Settings of `regex`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegexConfig {
    /// RE2 syntax; not anchored.
    pub expression: String,
    /// The extracted value to match; none: the line.
    pub source: Option<String>,
}

/// Settings of `json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonConfig {
    /// `JMESPath` by the name of the extracted value.
    pub expressions: Sources,
    /// The extracted value to parse; none: the line.
    pub source: Option<String>,
    /// Whether a line that is no JSON object is dropped.
    #[serde(default)]
    pub drop_malformed: bool,
}

/// Settings of `logfmt`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogfmtConfig {
    /// Keys of the line by the name of the extracted value.
    pub mapping: Sources,
    /// The extracted value to parse; none: the line.
    pub source: Option<String>,
}

/// Settings of `replace`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceConfig {
    /// RE2 syntax; what its groups capture is replaced.
    pub expression: String,
    /// The extracted value to change; none: the line.
    pub source: Option<String>,
    /// A template; `.Value` is the captured text.
    #[serde(default)]
    pub replace: String,
}

/// Settings of `template`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateConfig {
    /// The extracted value to set.
    pub source: String,
    /// The used subset of Go's templates.
    pub template: String,
}

/// Settings of `timestamp`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampConfig {
    /// The extracted value that holds the time.
    pub source: String,
    /// A name that Promtail knows, or a Go layout.
    pub format: String,
    /// Formats that are tried after the first.
    #[serde(default)]
    pub fallback_formats: Vec<String>,
    /// The IANA name of the zone of times without one, or `Local` for that of the host; only for
    /// layouts.
    pub location: Option<String>,
    /// The extracted value that names the zone as IANA does, instead of `location`, which counts where
    /// there is none or an unknown one; only for layouts. Promtail has no such key.
    pub location_source: Option<String>,
    /// The year of a time without one: `nearest` (the default) to that of reading, or `past`, the last one
    /// with which the time is not in the future. Promtail has no such key.
    pub year: Option<String>,
    /// `fudge` (the default) or `skip`.
    pub action_on_failure: Option<String>,
}

/// Settings of `output`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// The extracted value that becomes the line.
    pub source: String,
}

/// Settings of one metric.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricConfig {
    /// `counter`, `gauge` or `histogram`, in any case.
    #[serde(rename = "type")]
    pub kind: String,
    /// The help text.
    #[serde(default)]
    pub description: String,
    /// The extracted value; none: that of the metric's name.
    pub source: Option<String>,
    /// What stands before the name; none and empty mean `promtail_custom_`.
    #[serde(default)]
    pub prefix: String,
    /// A Go duration of a second or more; none: 5 minutes.
    pub max_idle_duration: Option<String>,
    /// What is counted, and how.
    #[serde(default)]
    pub config: MetricSettings,
}

/// What is counted, and how: the keys of all three types.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricSettings {
    /// Counters: every line counts.
    pub match_all: Option<bool>,
    /// Counters: the line's bytes are added.
    pub count_entry_bytes: Option<bool>,
    /// Only lines with exactly this value count.
    pub value: Option<String>,
    /// `inc`, `add`, and for gauges also `set`, `dec`, `sub`.
    pub action: Option<String>,
    /// Histograms: upper bounds of the buckets; none: 0.005 to 10, as Prometheus' clients have them.
    pub buckets: Option<Vec<f64>>,
}

/// Settings of `tenant`: exactly one is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantConfig {
    /// The label that holds the tenant.
    pub label: Option<String>,
    /// The extracted value that holds the tenant.
    pub source: Option<String>,
    /// The tenant.
    pub value: Option<String>,
}

/// Settings of `match`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchConfig {
    /// A `LogQL` stream selector with line filters.
    pub selector: String,
    /// The stages of the chosen lines.
    #[serde(default)]
    pub stages: Vec<StageConfig>,
    /// `keep` (the default) or `drop`.
    #[serde(default)]
    pub action: String,
    /// A name for logs; none, but not empty.
    pub pipeline_name: Option<String>,
    /// The reason that dropped lines are counted under; none: `match_stage`.
    pub drop_counter_reason: Option<String>,
}

/// Settings of `multiline`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultilineConfig {
    /// RE2 syntax; a line that it matches starts a group.
    pub firstline: String,
    /// RE2 syntax; a line that it matches starts a group too, and a first line right behind it goes on
    /// with that group: for entries whose usual first line may have one above it. Promtail has no such
    /// key.
    pub heading: Option<String>,
    /// A Go duration; none: 3 s.
    pub max_wait_time: Option<String>,
    /// Lines of a group; none: 128; 0: no limit but that of [`crate::Limits`].
    #[serde(default, deserialize_with = "weak::optional_number")]
    pub max_lines: Option<u64>,
}

/// Settings of `pack`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackConfig {
    /// Extracted values, labels among them, that go into the line.
    #[serde(deserialize_with = "weak::names")]
    pub labels: Vec<String>,
    /// Whether the time becomes that of reading; none: yes.
    #[serde(deserialize_with = "weak::optional_truth")]
    pub ingest_timestamp: Option<bool>,
}

/// Settings of `limit`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// Lines per second.
    #[serde(deserialize_with = "weak::number")]
    pub rate: f64,
    /// Lines at once.
    #[serde(deserialize_with = "weak::number")]
    pub burst: u32,
    /// Whether lines above the rate are dropped, instead of waited with.
    #[serde(default, deserialize_with = "weak::truth")]
    pub drop: bool,
    /// The label whose values have a limit each.
    #[serde(default)]
    pub by_label_name: String,
    /// Values of the label that are known at once; raised to 10,000.
    #[serde(default, deserialize_with = "weak::number")]
    pub max_distinct_labels: usize,
}

/// Settings of `sampling`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingConfig {
    /// The share of lines that stay, 0 to 1.
    #[serde(deserialize_with = "weak::number")]
    pub rate: f64,
    /// The reason that dropped lines are counted under; none: `sampling_stage`.
    pub drop_counter_reason: Option<String>,
    /// Lines that stay whatever their place. Promtail has no such key.
    pub keep: Option<SamplingKeep>,
}

/// Lines that `sampling` keeps all of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingKeep {
    /// Those of this level, as [`tailwater_record::Level`] spells it, and graver ones: by the severity that
    /// a stage has set, or by what the line says.
    pub level: String,
}

/// Settings of `drop`: a line is dropped where all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DropConfig {
    /// One extracted value, or several.
    #[serde(deserialize_with = "weak::optional_names")]
    pub source: Option<Vec<String>>,
    /// What joins several values; none: `;`.
    pub separator: Option<String>,
    /// The value that the source must have.
    pub value: Option<String>,
    /// RE2 syntax, not anchored, on the source or on the line.
    pub expression: Option<String>,
    /// A Go duration: lines with an older time.
    pub older_than: Option<String>,
    /// Bytes, with a unit or without: longer lines.
    pub longer_than: Option<String>,
    /// The reason that dropped lines are counted under; none: `drop_stage`.
    pub drop_counter_reason: Option<String>,
}

/// Settings of `eventlogmessage`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventLogMessageConfig {
    /// The extracted value that holds the message; none: `message`.
    pub source: Option<String>,
    /// Whether keys that are no label names are left out, instead of made some.
    pub drop_invalid_labels: bool,
    /// Whether an extracted value of the same name is replaced.
    pub overwrite_existing: bool,
}

/// Settings of `geoip`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeoIpConfig {
    /// The database file; it is read when the stages are compiled, and not again.
    pub db: Option<String>,
    /// The extracted value that holds the address.
    pub source: Option<String>,
    /// `city` or `asn`.
    pub db_type: Option<String>,
}

/// Settings of `truncate`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncateConfig {
    /// Bytes of a line, alone or with `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`. A longer one is cut
    /// behind its last character within them.
    pub max_bytes: String,
}

/// Settings of `level`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevelConfig {
    /// The extracted value that says how grave the line is; none: `level`.
    pub source: Option<String>,
    /// What the value is: `word` (the default), `syslog`, `http_status` or `pino`.
    pub from: Option<String>,
    /// Severities by the words that mean them, in any case; asked before what `from` knows.
    pub map: BTreeMap<String, SeverityWord>,
    /// The severity of a line whose value says nothing, and which says none itself; none: none.
    pub default: Option<SeverityWord>,
}

/// A severity as it is written: a text such as `WARN` or `INFO2`, or a number from 1 to 24.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeverityWord(pub String);

impl<'de> Deserialize<'de> for SeverityWord {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = SeverityWord;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a severity such as `WARN`, or a number from 1 to 24")
            }

            fn visit_str<E>(self, text: &str) -> Result<SeverityWord, E> {
                Ok(SeverityWord(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<SeverityWord, E> {
                Ok(SeverityWord(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<SeverityWord, E> {
                Ok(SeverityWord(number.to_string()))
            }
        }

        deserializer.deserialize_any(Word)
    }
}
