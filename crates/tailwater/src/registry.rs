//! The sinks that this binary holds: one line each.

use serde::Deserialize;
use tailwater_sink::{SettingsError, SinkParts, SinkSettings};

macro_rules! sinks {
    ($($kind:ident => $settings:ty),* $(,)?) => {
        /// The kinds of sinks, as keys of a sink's block; exactly one stands in each.
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct RawSink {
            $(
                #[doc = concat!("The `", stringify!($kind), "` sink.")]
                pub $kind: Option<$settings>,
            )*
            /// When batches are sealed.
            #[serde(default)]
            pub batch: super::config::raw::RawBatch,
            /// Batches that may be unanswered at once.
            pub max_in_flight: Option<usize>,
            /// What may wait in memory.
            #[serde(default)]
            pub queue: super::config::raw::RawQueue,
            /// The waits between attempts.
            #[serde(default)]
            pub retry: super::config::raw::RawRetry,
            /// What happens when the queue is full.
            #[serde(default)]
            pub when_full: super::config::raw::RawWhenFull,
        }

        impl RawSink {
            /// The keys that choose a kind.
            pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

            /// Returns the kinds that were given.
            pub fn given(&self) -> Vec<&'static str> {
                let mut given = Vec::new();
                $( if self.$kind.is_some() { given.push(stringify!($kind)); } )*
                given
            }

            /// Makes the sink of the kind that was given; `None` where none was.
            ///
            /// # Errors
            /// What is wrong with its settings.
            pub fn build(&self) -> Option<Result<Built, SettingsError>> {
                $( if let Some(settings) = &self.$kind {
                    return Some(settings.build().map(|parts| Built {
                        parts,
                        default_max_in_flight: <$settings as SinkSettings>::DEFAULT_MAX_IN_FLIGHT,
                        written_paths: settings.written_paths(),
                    }));
                } )*
                None
            }
        }
    };
}

sinks! {
    loki => tailwater_sink_loki::LokiSettings,
    file => tailwater_sink_file::FileSettings,
}

/// A sink that was made.
#[derive(Debug)]
pub struct Built {
    /// Its encoder and sender.
    pub parts: SinkParts,
    /// Batches that may be unanswered at once where the configuration does not say.
    pub default_max_in_flight: usize,
    /// Files that it writes, which are never tailed.
    pub written_paths: Vec<std::path::PathBuf>,
}
