//! The table of docs/presets.md is the presets' own.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::path::Path;

use serde::Deserialize;
use tailwater_presets::{Preset, all};
use tailwater_stages::{LevelConfig, Sources, StageConfig, TimestampConfig};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(rename = "summary")]
    _summary: String,
    #[serde(rename = "paths")]
    _paths: Vec<String>,
    #[serde(rename = "begins")]
    _begins: String,
    stages: Vec<StageConfig>,
}

/// What a preset's stages do, in the words of the table.
#[derive(Debug, Default)]
struct Row {
    entry: String,
    times: Vec<String>,
    zone: String,
    level: String,
    labels: Vec<String>,
    metadata: Vec<String>,
}

impl Row {
    fn of(stages: &[StageConfig]) -> Self {
        let mut row = Self {
            entry: "a line".to_owned(),
            ..Self::default()
        };
        for stage in stages {
            row.add(stage);
        }
        row
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the table tells of few stages"
    )]
    fn add(&mut self, stage: &StageConfig) {
        match stage {
            StageConfig::Multiline(multiline) => {
                self.entry = match multiline.max_lines {
                    Some(0) => "lines".to_owned(),
                    max_lines => format!("lines, up to {}", max_lines.unwrap_or(128)),
                };
            }
            StageConfig::Cri(_) => {
                self.entry = String::from("parts of a line");
                self.times.push("`RFC3339Nano`".to_owned());
                self.labels.push("`stream`".to_owned());
            }
            StageConfig::Timestamp(timestamp) => self.add_timestamp(timestamp),
            StageConfig::Level(level) => self.level = words(level.clone().unwrap_or_default()),
            StageConfig::Labels(labels) => self.labels.extend(quoted(labels)),
            StageConfig::StructuredMetadata(pairs) => self.metadata.extend(quoted(pairs)),
            _ => {}
        }
    }

    fn add_timestamp(&mut self, timestamp: &TimestampConfig) {
        let formats = [&timestamp.format]
            .into_iter()
            .chain(&timestamp.fallback_formats);
        self.times
            .extend(formats.map(|format| format!("`{format}`")));
        self.zone = match (&timestamp.location, &timestamp.location_source) {
            (_, Some(source)) => format!("by `{source}`"),
            (Some(location), None) => location.clone(),
            (None, None) => String::new(),
        };
    }
}

fn quoted(pairs: &Sources) -> impl Iterator<Item = String> {
    pairs.keys().map(|name| format!("`{name}`"))
}

/// What a level is read from.
fn words(level: LevelConfig) -> String {
    let from = level.from.unwrap_or_else(|| "word".to_owned());
    format!("{from} of `{}`", level.source.as_deref().unwrap_or("level"))
}

fn row(preset: &Preset) -> String {
    let tree = tailwater_yaml::read(preset.text).unwrap();
    let text: Text = tailwater_yaml::shape::read(&tree).unwrap();
    let row = Row::of(&text.stages);
    let none = |text: String| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text
        }
    };
    format!(
        "| `{}` | {} | {} | {} | {} | {} | {} |",
        preset.name,
        row.entry,
        none(row.times.join(", ")),
        none(row.zone),
        none(row.level),
        none(row.labels.join(", ")),
        none(row.metadata.join(", ")),
    )
}

#[test]
fn the_table_of_the_documentation_is_what_the_presets_do() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/presets.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let expected: Vec<String> = all().iter().map(row).collect();
    let found: Vec<&str> = docs
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert_eq!(
        found,
        expected,
        "the table should be:\n{}\n",
        expected.join("\n")
    );
}
