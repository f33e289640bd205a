//! The run itself: reading and delivering until all is done, or until it is to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tailwater_durable::Storage;
use tailwater_engine::{
    Backfill, BackfillPlan, Engine, EngineHandle, FileReport, RouteBooks, SinkStatus, stored_books,
};
use tailwater_position_store::{Journal, PositionStore};

use super::left::{Counting, Left};
use super::progress::Display;
use super::report::Ended;
use crate::admin::Site;
use crate::config::Config;
use crate::exit::Failure;
use crate::run::{self, Signals};

/// How often the display and the wait for acknowledgements are looked at.
const TICK: Duration = Duration::from_millis(200);

/// What runs.
pub(super) struct Run {
    pub(super) config: Config,
    pub(super) plan: BackfillPlan,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) store: PositionStore,
    pub(super) journal: Journal,
    pub(super) give_up_after: Option<Duration>,
    pub(super) display: Display,
}

/// How it was when everything had ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) ended: Ended,
    pub(super) ended_at: Instant,
    pub(super) files: Vec<FileReport>,
    pub(super) books_before: Vec<RouteBooks>,
    pub(super) books: Vec<RouteBooks>,
}

/// Runs until everything is delivered, until SIGTERM or SIGINT, or until it gives up, and counts what is left then.
pub(super) async fn execute(
    run: Run,
    counting: Counting,
) -> anyhow::Result<(Done, Result<Left, Failure>)> {
    let mut signals = Signals::new()?;
    // Stored are those of earlier runs for other sources and sinks as well.
    let routes = Routes::of(&run.config);
    let books_before = routes.only(stored_books(&run.store));
    let listener = run::listen(run.config.server.listen, &*run.storage).await?;
    let (engine, backfill) = Engine::start_backfill(
        &run.config.engine,
        run.store,
        run.journal,
        Some(run.storage),
        run.plan,
    )
    .context("cannot begin")?;
    let handle = engine.handle();
    let admin = listener.map(|listener| {
        let (site, _reloads) = Site::new(&run.config);
        tokio::spawn(crate::admin::serve(
            listener,
            handle.clone(),
            Arc::new(site),
        ))
    });
    let mut watch = Watch {
        backfill: backfill.clone(),
        handle: handle.clone(),
        display: run.display,
        patience: Patience::new(run.give_up_after, now()),
    };
    let ended = tokio::select! {
        () = all_of(&engine, &backfill) => Ended::Finished,
        () = signals.stop() => Ended::Interrupted,
        () = watch.run() => Ended::GaveUp,
    };
    watch.display.end();
    if ended == Ended::Interrupted {
        tracing::warn!("told to stop: what was read is delivered, and no more");
    }
    let shutdown = engine.shutdown(run.config.shutdown_timeout);
    // For as long as it is not told twice, nothing is left in the dark.
    let is_stopped = AtomicBool::new(false);
    tokio::select! {
        _ = shutdown => {}
        () = signals.stop() => {
            is_stopped.store(true, Ordering::Relaxed);
            tracing::warn!("told twice to stop: what was not acknowledged is sent again by the next run");
        }
    }
    if let Some(admin) = admin {
        admin.abort();
    }
    let done = Done {
        ended,
        ended_at: now(),
        files: backfill.files(),
        books_before,
        books: routes.only(handle.status().books),
    };
    count(done, counting, is_stopped, &mut signals).await
}

/// Counts on a thread, for as long as nobody says stop: files may be large and many.
async fn count(
    done: Done,
    counting: Counting,
    is_stopped: AtomicBool,
    signals: &mut Signals,
) -> anyhow::Result<(Done, Result<Left, Failure>)> {
    let is_stopped = Arc::new(is_stopped);
    let asked = Arc::clone(&is_stopped);
    let mut counted = tokio::task::spawn_blocking(move || {
        let left = counting.of(&done, &|| asked.load(Ordering::Relaxed));
        (done, left)
    });
    tokio::select! {
        counted = &mut counted => return Ok(counted?),
        () = signals.stop() => is_stopped.store(true, Ordering::Relaxed),
    }
    Ok(counted.await?)
}

/// Where lines of this run come from and go to.
struct Routes {
    sources: Vec<Arc<str>>,
    sinks: Vec<Arc<str>>,
}

impl Routes {
    fn of(config: &Config) -> Self {
        let sources = config.engine.sources.iter();
        let sinks = config.engine.sinks.iter();
        Self {
            sources: sources.map(|source| Arc::clone(&source.name)).collect(),
            sinks: sinks.map(|sink| Arc::clone(&sink.name)).collect(),
        }
    }

    fn only(&self, mut books: Vec<RouteBooks>) -> Vec<RouteBooks> {
        books.retain(|books| {
            self.sources.contains(&books.source) && self.sinks.contains(&books.sink)
        });
        books
    }
}

async fn all_of(engine: &Engine, backfill: &Backfill) {
    backfill.read_all().await;
    engine.delivered().await;
}

/// Shows how far it is, and waits for the sinks to answer.
struct Watch {
    backfill: Backfill,
    handle: EngineHandle,
    display: Display,
    patience: Patience,
}

impl Watch {
    /// Returns when it is to give up.
    async fn run(&mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = now();
            let status = self.handle.status();
            let routes = status.books.iter();
            let unacknowledged = routes.map(|route| route.in_flight_records).sum();
            let answered = status.sinks.iter().map(answers).sum();
            self.display
                .show(&self.backfill.progress(), unacknowledged, now);
            if self.patience.is_over(answered, unacknowledged, now) {
                return;
            }
        }
    }
}

/// Counts the answers that brought a sink on. A batch of which nothing is taken is halved down to its records, which may
/// take longer than anybody is patient.
fn answers(sink: &SinkStatus) -> u64 {
    sink.delivered_batches.saturating_add(sink.splits)
}

/// How long it waits for an acknowledgement.
#[derive(Debug)]
struct Patience {
    limit: Option<Duration>,
    answered: u64,
    since: Instant,
}

impl Patience {
    fn new(limit: Option<Duration>, now: Instant) -> Self {
        Self {
            limit,
            answered: 0,
            since: now,
        }
    }

    /// Takes note of how many batches were answered for by now, and of how many records wait; returns whether
    /// some have waited for too long.
    fn is_over(&mut self, answered: u64, waiting: u64, now: Instant) -> bool {
        if answered != self.answered || waiting == 0 {
            self.answered = answered;
            self.since = now;
        }
        let waited = now.saturating_duration_since(self.since);
        self.limit.is_some_and(|limit| waited >= limit)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the run, which is shown and waited by"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_where_nothing_is_answered_for_so_long_while_something_waits() {
        let start = now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut patience = Patience::new(Some(Duration::from_secs(10)), start);
        assert!(!patience.is_over(0, 5, at(9)));
        assert!(!patience.is_over(1, 5, at(10)), "one was answered");
        assert!(!patience.is_over(1, 0, at(30)), "nothing waits");
        assert!(!patience.is_over(1, 3, at(39)));
        assert!(patience.is_over(1, 3, at(40)));
        let mut endless = Patience::new(None, start);
        assert!(!endless.is_over(0, 5, at(1 << 30)));
    }
}
