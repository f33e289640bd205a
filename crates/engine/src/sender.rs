//! Delivering the batches of one sink, on the async runtime.
//!
//! Batches leave in order, several may be unanswered at once. While one is being retried no further
//! batch leaves. A batch that is refused is halved until the offending record is alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tailwater_record::EncodedBatch;
use tailwater_sink::{Backoff, BackoffLimits, Deliver, DeliverError, Ignored};

use crate::books::Books;
use crate::checkpoint::Positions;
use crate::ledger::Ledger;
use crate::queue::Queue;

/// Refusals of one batch that are logged one by one.
const MAX_LOGGED_REFUSALS: usize = 10;

/// A failing sink is logged at the first attempt and then every so many.
const LOG_EVERY_ATTEMPTS: u32 = 10;

/// What all senders share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) books: Books,
    pub(crate) ledger: Ledger,
    pub(crate) positions: Arc<Positions>,
}

/// One running sink.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    pub(crate) revision: u64,
    pub(crate) deliver: Arc<dyn Deliver>,
    pub(crate) queue: Queue,
    pub(crate) max_in_flight: usize,
    pub(crate) backoff: BackoffLimits,
    pub(crate) counts: OutletCounts,
    failure: Mutex<Option<Failure>>,
    /// Told whenever a batch is resolved or an attempt fails.
    pub(crate) changed: tokio::sync::Notify,
}

/// The last failed attempt of a sink that has not recovered.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    pub(crate) attempts: u32,
}

/// What a sink has done since the agent started.
#[derive(Debug, Default)]
pub(crate) struct OutletCounts {
    pub(crate) requests: AtomicU64,
    pub(crate) failures: Mutex<std::collections::BTreeMap<&'static str, u64>>,
    pub(crate) delivered_batches: AtomicU64,
    pub(crate) delivered_bytes: AtomicU64,
    pub(crate) splits: AtomicU64,
    pub(crate) in_flight_batches: AtomicU64,
}

impl Outlet {
    pub(crate) fn new(
        id: u32,
        config: &crate::SinkConfig,
        budget: Arc<crate::queue::Budget>,
    ) -> Self {
        Self {
            id,
            name: Arc::clone(&config.name),
            revision: config.revision,
            deliver: Arc::clone(&config.parts.deliver),
            queue: Queue::new(config.queue_max_bytes, budget),
            max_in_flight: config.max_in_flight.max(1),
            backoff: config.backoff,
            counts: OutletCounts::default(),
            failure: Mutex::new(None),
            changed: tokio::sync::Notify::new(),
        }
    }

    /// Returns the failure that the sink has not recovered from.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn fail(&self, reason: &'static str, detail: &str, attempts: u32, retry_in: Duration) {
        let mut failures = self
            .counts
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *failures.entry(reason).or_default() += 1;
        drop(failures);
        let failure = Failure {
            reason,
            detail: detail.to_owned(),
            attempts,
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        if attempts == 1 || attempts.is_multiple_of(LOG_EVERY_ATTEMPTS) {
            let retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                sink = &*self.name,
                target = self.deliver.target(),
                reason,
                detail,
                attempts,
                retry_in_ms,
                "delivery failed, will retry"
            );
        }
        self.changed.notify_waiters();
    }

    fn recover(&self) {
        let failure = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(failure) = failure {
            tracing::info!(
                sink = &*self.name,
                attempts = failure.attempts,
                "delivering again"
            );
        }
    }
}

/// Delivers what is queued, for ever; ends when its task is aborted.
pub(crate) async fn run(outlet: Arc<Outlet>, desk: Arc<Desk>) {
    let mut in_flight = FuturesUnordered::new();
    loop {
        let may_send = in_flight.len() < outlet.max_in_flight
            && (in_flight.is_empty() || outlet.failure().is_none());
        tokio::select! {
            biased;
            Some(()) = in_flight.next(), if !in_flight.is_empty() => {}
            // A failure changes whether another batch may leave.
            () = outlet.changed.notified(), if may_send && !in_flight.is_empty() => {}
            batch = outlet.queue.pop(), if may_send => {
                in_flight.push(deliver_and_resolve(batch, &outlet, &desk));
            }
        }
    }
}

/// Sends a batch until every record of it is delivered or rejected, and settles it.
async fn deliver_and_resolve(batch: EncodedBatch, outlet: &Outlet, desk: &Desk) {
    outlet
        .counts
        .in_flight_batches
        .fetch_add(1, Ordering::Relaxed);
    let rejected = deliver_whole(&batch, outlet).await;
    outlet
        .counts
        .in_flight_batches
        .fetch_sub(1, Ordering::Relaxed);
    outlet
        .counts
        .delivered_batches
        .fetch_add(1, Ordering::Relaxed);
    outlet
        .counts
        .delivered_bytes
        .fetch_add(batch.body.len() as u64, Ordering::Relaxed);
    outlet.recover();
    settle(&batch, &rejected, outlet, desk);
    outlet.queue.resolved(batch.memory_bytes());
    outlet.changed.notify_waiters();
}

/// A record that was refused for good.
#[derive(Debug)]
struct Rejected {
    record_index: u32,
    reason: &'static str,
}

/// A run of a batch's records, sent by itself.
struct Piece {
    batch: EncodedBatch,
    first_record: u32,
}

/// What one send came to.
enum Sent {
    Delivered,
    Refused {
        reason: &'static str,
        ignored: Option<Ignored>,
    },
}

/// Delivers all that can be delivered of a batch; returns what was refused.
async fn deliver_whole(batch: &EncodedBatch, outlet: &Outlet) -> Vec<Rejected> {
    let mut rejected: Vec<Rejected> = Vec::new();
    // Where the backend says how many it refused and that it stored the others, the search ends
    // when as many are found.
    let mut refused_in_all: Option<u64> = None;
    let mut pieces = vec![Piece {
        batch: batch.clone(),
        first_record: 0,
    }];
    while let Some(piece) = pieces.pop() {
        if refused_in_all.is_some_and(|refused| rejected.len() as u64 >= refused) {
            break;
        }
        let (reason, ignored) = match send_until_answered(&piece.batch, outlet).await {
            Sent::Delivered => continue,
            Sent::Refused { reason, ignored } => (reason, ignored),
        };
        let records = piece.batch.records();
        let is_all_refused = ignored.is_some_and(|ignored| {
            ignored.ignored == ignored.out_of && ignored.out_of == u64::from(records)
        });
        if records == batch.records() {
            // A count that does not speak of every record of the batch says nothing of the others.
            refused_in_all = ignored
                .filter(|ignored| ignored.out_of == u64::from(records) && ignored.ignored > 0)
                .map(|ignored| ignored.ignored);
        }
        match halve(&piece, outlet) {
            Some((first, second)) if !is_all_refused => pieces.extend([second, first]),
            _ => {
                let indexes = piece.first_record..piece.first_record.saturating_add(records);
                rejected.extend(indexes.map(|record_index| Rejected {
                    record_index,
                    reason,
                }));
            }
        }
    }
    rejected
}

/// Sends one body until the backend takes or refuses it.
async fn send_until_answered(batch: &EncodedBatch, outlet: &Outlet) -> Sent {
    let mut backoff = Backoff::new(outlet.backoff, seed(outlet, batch));
    loop {
        outlet.counts.requests.fetch_add(1, Ordering::Relaxed);
        match outlet.deliver.deliver(batch).await {
            Ok(_) => return Sent::Delivered,
            Err(DeliverError::Refused {
                reason,
                detail,
                ignored,
            }) => {
                tracing::debug!(
                    sink = &*outlet.name,
                    reason,
                    detail,
                    "batch refused, looking for the record"
                );
                return Sent::Refused { reason, ignored };
            }
            Err(DeliverError::Retryable {
                reason,
                detail,
                retry_after,
            }) => {
                let wait = backoff.next_wait(retry_after);
                outlet.fail(reason, &detail, backoff.attempts(), wait);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Cuts a piece in two; `None` where it is one record or its body cannot be cut.
fn halve(piece: &Piece, outlet: &Outlet) -> Option<(Piece, Piece)> {
    let records = piece.batch.records();
    if records < 2 {
        return None;
    }
    let at = records / 2;
    let (first, second) = match outlet.deliver.split(&piece.batch.body, at) {
        Ok(halves) => halves,
        Err(error) => {
            tracing::error!(
                sink = &*outlet.name,
                error = &error as &dyn std::error::Error,
                "cannot split a refused batch"
            );
            return None;
        }
    };
    outlet.counts.splits.fetch_add(1, Ordering::Relaxed);
    let (first_ends, second_ends) = piece
        .batch
        .record_ends
        .split_at_checked(usize::try_from(at).ok()?)?;
    let part = |body, record_ends: &[u32], first_record| Piece {
        batch: EncodedBatch {
            id: piece.batch.id,
            body,
            tenant: piece.batch.tenant.clone(),
            spans: Vec::new(),
            record_ends: record_ends.to_vec(),
        },
        first_record,
    };
    Some((
        part(first, first_ends, piece.first_record),
        part(second, second_ends, piece.first_record.saturating_add(at)),
    ))
}

/// Enters what became of a batch into the books, and moves the positions.
fn settle(batch: &EncodedBatch, rejected: &[Rejected], outlet: &Outlet, desk: &Desk) {
    let mut first_record = 0_u32;
    for span in &batch.spans {
        let records = first_record..first_record.saturating_add(span.records);
        first_record = records.end;
        let Some(account) = desk.ledger.account(span.cursor) else {
            continue;
        };
        let mut refused: Vec<&Rejected> = rejected
            .iter()
            .filter(|rejected| records.contains(&rejected.record_index))
            .collect();
        refused.sort_unstable_by_key(|rejected| rejected.record_index);
        desk.books.change(account.route, |books| {
            books.in_flight_records -= u64::from(span.records);
            books.acked_records += u64::from(span.records) - refused.len() as u64;
            books.acked_bytes += if refused.is_empty() {
                span.line_bytes
            } else {
                0
            };
            for rejected in &refused {
                *books.rejected_records.entry(rejected.reason).or_default() += 1;
            }
        });
        report(batch, &refused, &account.path, outlet);
    }
    desk.positions.advance(desk.ledger.resolve(&batch.spans));
}

/// Names the refused records by file and offset, never by content.
fn report(batch: &EncodedBatch, refused: &[&Rejected], path: &std::path::Path, outlet: &Outlet) {
    for rejected in refused.iter().take(MAX_LOGGED_REFUSALS) {
        let offset = batch
            .origin(rejected.record_index)
            .map(|origin| origin.span.start);
        tracing::error!(
            sink = &*outlet.name, path = %path.display(), offset, reason = rejected.reason,
            "record rejected by the sink for good"
        );
    }
    let suppressed = refused.len().saturating_sub(MAX_LOGGED_REFUSALS);
    if suppressed > 0 {
        tracing::error!(sink = &*outlet.name, path = %path.display(), suppressed, "more records rejected");
    }
}

/// A seed that differs between hosts, sinks and batches.
fn seed(outlet: &Outlet, batch: &EncodedBatch) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one((&outlet.name, batch.id))
}
