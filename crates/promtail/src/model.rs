//! Promtail's configuration as it is written, all of it.
//!
//! Values that may be left out are `Option`: what Promtail takes then is said where it is used, for
//! the native form has defaults of its own. What has no meaning here is [`Ignored`], so that its key is
//! known and its presence can be told.

mod client;
mod scrape;
mod server;

pub(crate) use client::{Client, Secret, TlsConfig};
pub(crate) use scrape::{Decompression, RelabelConfig, ScrapeConfig, StaticConfig};
pub(crate) use server::Server;

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::quantity::{ByteSize, GoDuration};

/// A block of which only the presence counts.
pub(crate) type Ignored = Option<IgnoredAny>;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "the names are those of the keys")]
pub(crate) struct Config {
    pub(crate) global: Global,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) clients: Vec<Client>,
    pub(crate) positions: Positions,
    pub(crate) scrape_configs: Vec<ScrapeConfig>,
    pub(crate) target_config: TargetConfig,
    pub(crate) limits_config: Limits,
    pub(crate) options: Options,
    pub(crate) tracing: Tracing,
    pub(crate) wal: Wal,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Global {
    pub(crate) file_watch_config: FileWatch,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileWatch {
    pub(crate) min_poll_frequency: Option<GoDuration>,
    pub(crate) max_poll_frequency: Option<GoDuration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Positions {
    pub(crate) filename: Option<String>,
    pub(crate) sync_period: Option<GoDuration>,
    pub(crate) ignore_invalid_yaml: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TargetConfig {
    pub(crate) sync_period: Option<GoDuration>,
    pub(crate) stdin: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    pub(crate) readline_rate: Option<f64>,
    pub(crate) readline_burst: Option<u32>,
    pub(crate) readline_rate_enabled: Option<bool>,
    pub(crate) readline_rate_drop: Option<bool>,
    pub(crate) max_streams: Option<u64>,
    pub(crate) max_line_size: Option<ByteSize>,
    pub(crate) max_line_size_truncate: Option<bool>,
}

/// Has no keys any more.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tracing {
    pub(crate) enabled: Option<bool>,
    /// Keys of Loki's tracing, which Promtail shares.
    pub(crate) use_otel: Ignored,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Wal {
    pub(crate) enabled: Option<bool>,
    pub(crate) dir: Ignored,
    pub(crate) clean_segments_older_than: Ignored,
    pub(crate) watch_config: Ignored,
}

/// A map of names to texts, in the order of the file; a name without a value has an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl Pairs {
    /// Returns the value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Adds the pairs of `other` whose names are not here.
    pub(crate) fn add_missing(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            if self.get(name).is_none() {
                self.0.push((name.clone(), value.clone()));
            }
        }
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Option<String>>()? {
            pairs.push((name, value.unwrap_or_default()));
        }
        Ok(Pairs(pairs))
    }
}
