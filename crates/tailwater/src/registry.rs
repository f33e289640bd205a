//! The sinks that this binary holds: one line each.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tailwater_sink::{Deliver, SettingsError, SinkParts, SinkSettings};

use crate::config::raw::{
    Named, RawBatch, RawDeadLetters, RawLevel, RawQueue, RawRetry, RawSpill, RawWhenFull,
};

macro_rules! sinks {
    ($($kind:ident => $settings:ty),* $(,)?) => {
        /// A sink as it is written: its kind, as a key, and what all kinds have in common.
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct RawSink {
            $(
                #[doc = concat!("The `", stringify!($kind), "` sink.")]
                pub $kind: Option<$settings>,
            )*
            /// Labels that records get where they have none of the name.
            #[serde(default)]
            pub labels: Named<String>,
            /// When batches are sealed.
            #[serde(default)]
            pub batch: RawBatch,
            /// Batches that may be unanswered at once; without it, what suits the kind.
            pub max_in_flight: Option<usize>,
            /// What may wait in memory.
            #[serde(default)]
            pub queue: RawQueue,
            /// The waits between attempts.
            #[serde(default)]
            pub retry: RawRetry,
            /// What gives when the queue is full.
            pub when_full: Option<RawWhenFull>,
            /// What goes to disk where that is a spill.
            #[serde(default)]
            pub spill: RawSpill,
            /// Levels whose records are dropped last.
            #[serde(default)]
            pub keep: Vec<RawLevel>,
            /// Where records go that were refused for good.
            #[serde(default)]
            pub dead_letters: RawDeadLetters,
        }

        impl RawSink {
            /// The keys that choose a kind; exactly one stands in each sink.
            pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

            /// Returns the kinds that were given, with their settings.
            pub fn given(&self) -> Vec<(&'static str, &dyn AnySettings)> {
                let mut given: Vec<(&'static str, &dyn AnySettings)> = Vec::new();
                $(given.extend(self.$kind.as_ref().map(|settings| (stringify!($kind), settings as _)));)*
                given
            }
        }
    };
}

sinks! {
    loki => tailwater_sink_loki::LokiSettings,
    file => tailwater_sink_file::FileSettings,
}

/// Makes a sink that takes bodies of one wire format apart.
type MakeDecoder = fn() -> Option<SinkParts>;

/// Every wire format that a sink of this binary has ever written. What the settings name is not opened.
const WIRES: &[(&str, MakeDecoder)] = &[
    ("loki-protobuf-snappy", || {
        parts::<tailwater_sink_loki::LokiSettings>(r#"{"url":"http://localhost","proxy_url":""}"#)
    }),
    ("loki-json-gzip", || {
        parts::<tailwater_sink_loki::LokiSettings>(
            r#"{"url":"http://localhost","proxy_url":"","encoding":"json"}"#,
        )
    }),
    ("ndjson", || {
        parts::<tailwater_sink_file::FileSettings>(r#"{"path":"none"}"#)
    }),
    ("text", text),
    // Only lines are told apart, and these are lines too.
    ("text-escaped", text),
];

fn text() -> Option<SinkParts> {
    parts::<tailwater_sink_file::FileSettings>(r#"{"path":"none","format":"text"}"#)
}

fn parts<S: SinkSettings>(settings: &str) -> Option<SinkParts> {
    let settings: S = serde_json::from_str(settings).ok()?;
    SinkSettings::build(&settings).ok()
}

/// Returns what takes bodies of a wire format apart, without the settings of any sink; `None` where no sink
/// of this binary knows the format. For [`Deliver::decode`] and no delivery.
pub fn decoder(wire: &str) -> Option<Arc<dyn Deliver>> {
    let (_, make) = WIRES.iter().find(|(known, _)| *known == wire)?;
    make().map(|parts| parts.deliver)
}

/// The settings of a sink of any kind.
pub trait AnySettings: fmt::Debug {
    /// Makes the sink.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn build(&self) -> Result<SinkParts, SettingsError>;

    /// Returns how many batches may be unanswered at once where the configuration does not say.
    fn default_max_in_flight(&self) -> usize;

    /// Returns the files that the sink writes, which are never tailed.
    fn written_paths(&self) -> Vec<PathBuf>;
}

impl<S: SinkSettings> AnySettings for S {
    fn build(&self) -> Result<SinkParts, SettingsError> {
        SinkSettings::build(self)
    }

    fn default_max_in_flight(&self) -> usize {
        S::DEFAULT_MAX_IN_FLIGHT
    }

    fn written_paths(&self) -> Vec<PathBuf> {
        SinkSettings::written_paths(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_format_is_taken_apart_by_the_sink_that_writes_it() {
        for (wire, _) in WIRES {
            let decoder = decoder(wire).unwrap();
            let written = wire.strip_suffix("-escaped").unwrap_or(wire);
            assert_eq!(decoder.wire(), written);
        }
        assert!(decoder("smoke-signals").is_none());
    }
}
