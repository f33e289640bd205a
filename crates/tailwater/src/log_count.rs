//! How many lines the agent has logged, by level.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// One counter per level, from the most severe. A process has one log.
static COUNTS: [(Level, &str, AtomicU64); 4] = [
    (Level::ERROR, "error", AtomicU64::new(0)),
    (Level::WARN, "warn", AtomicU64::new(0)),
    (Level::INFO, "info", AtomicU64::new(0)),
    (Level::DEBUG, "debug", AtomicU64::new(0)),
];

/// Counts the lines that the filter of the log lets through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogCount;

impl<S: Subscriber> Layer<S> for LogCount {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = event.metadata().level();
        if let Some((.., count)) = COUNTS.iter().find(|(known, ..)| known == level) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Returns the words of the levels and how many lines were logged at them.
pub(crate) fn counts() -> impl Iterator<Item = (&'static str, u64)> {
    COUNTS
        .iter()
        .map(|(_, word, count)| (*word, count.load(Ordering::Relaxed)))
}
