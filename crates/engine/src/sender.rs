//! Delivering the batches of one lane, on the async runtime.
//!
//! Batches leave in order, several may be unanswered at once. While one is being retried no further
//! batch leaves. Of a batch that is refused the records are taken out that the backend names; where it
//! names none, it is halved until the offending record is alone.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tailwater_failpoint::failpoint;
use tailwater_record::EncodedBatch;
use tailwater_sink::{Backoff, DeliverError, Ignored, SplitError};

use crate::config::GIVEN_UP;
use crate::desk::{Desk, GivenUp, Lost};
use crate::outlet::Outlet;
use crate::queue::Taken;

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
            taken = outlet.queue.pop(), if may_send => {
                in_flight.push(deliver_and_resolve(taken, &outlet, &desk));
            }
        }
    }
}

/// Sends a batch until every record of it is delivered, rejected or given up, and settles it.
async fn deliver_and_resolve(taken: Taken, outlet: &Outlet, desk: &Desk) {
    let batch = &*taken.batch;
    let in_flight = &outlet.counts.in_flight_batches;
    Outlet::count(in_flight, 1);
    // Before it leaves: once its copy in the spill is durable, its files may be let go.
    let origins = desk.origins(&taken);
    if taken.spilled.is_none() {
        desk.intend(batch, outlet);
    }
    failpoint("send");
    let undelivered = deliver_whole(batch, outlet).await;
    failpoint("ack");
    if undelivered.given_up.is_empty() {
        Outlet::count(&outlet.counts.delivered_batches, 1);
        Outlet::count(&outlet.counts.delivered_bytes, batch.body.len() as u64);
        // One without a record was not sent, and says nothing of the sink.
        if !batch.record_ends.is_empty() {
            outlet.recover();
        }
    }
    let rejected = crate::dead_letters::keep(undelivered.refused, &origins, &taken, outlet).await;
    let lost = Lost {
        rejected,
        given_up: undelivered.given_up,
    };
    desk.settle(&taken, &origins, &lost, outlet);
    in_flight.fetch_sub(1, Ordering::Release);
    outlet.changed.notify_waiters();
}

/// Times that records of a batch are taken out by what its backend says of them. Each is a request, and what
/// a backend takes by its age changes while it is asked.
const MAX_CUTS: u32 = 64;

/// Some of a batch's records, sent by themselves.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) batch: EncodedBatch,
    /// Which they are, in runs: indexes of the batch, rising.
    records: Vec<Range<u32>>,
}

impl Piece {
    /// Returns the indexes of its records in the batch, rising.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.records.iter().cloned().flatten()
    }

    /// Returns the records that are chosen by their places in this piece, with a body that holds them.
    fn part(&self, body: Bytes, chosen: impl Fn(u32) -> bool) -> Self {
        let mut records: Vec<Range<u32>> = Vec::new();
        let mut record_ends = Vec::new();
        let all = self.indexes().zip(&self.batch.record_ends);
        for ((index, end), _) in all.zip(0..).filter(|(_, place)| chosen(*place)) {
            record_ends.push(*end);
            match records.last_mut() {
                Some(run) if run.end == index => run.end += 1,
                _ => records.push(index..index.saturating_add(1)),
            }
        }
        Self {
            batch: EncodedBatch {
                id: self.batch.id,
                body,
                tenant: self.batch.tenant.clone(),
                spans: Vec::new(),
                record_ends,
            },
            records,
        }
    }
}

/// Records that were refused for good.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) piece: Piece,
    pub(crate) reason: &'static str,
}

/// What was not delivered of a batch.
#[derive(Debug, Default)]
struct Undelivered {
    refused: Vec<Refused>,
    given_up: Vec<GivenUp>,
}

/// What one send came to.
enum Sent {
    Delivered,
    GivenUp {
        reason: &'static str,
    },
    Refused {
        reason: &'static str,
        ignored: Option<Ignored>,
        records: Vec<u32>,
    },
}

/// Delivers all that can be delivered of a batch; returns the rest.
async fn deliver_whole(batch: &EncodedBatch, outlet: &Outlet) -> Undelivered {
    let mut undelivered = Undelivered::default();
    // It stands for bytes that were skipped or lines that were dropped: a backend refuses an empty push.
    if batch.record_ends.is_empty() {
        return undelivered;
    }
    let body_bytes = batch.body.len() as u64;
    outlet
        .tally
        .change(batch, |counts| counts.encoded_bytes += body_bytes);
    let mut refused_records = 0_u64;
    // Where the backend says how many it refused and that it stored the others, the search ends
    // when as many are found.
    let mut refused_in_all: Option<u64> = None;
    let mut pieces = vec![Piece {
        batch: batch.clone(),
        records: std::iter::once(0..batch.records()).collect(),
    }];
    let mut cuts_left = MAX_CUTS;
    while let Some(piece) = pieces.pop() {
        if refused_in_all.is_some_and(|in_all| refused_records >= in_all) {
            // Stored with the others, when it was first sent.
            let sent = &piece.batch;
            outlet.tally.change(sent, |counts| counts.send(sent));
            continue;
        }
        let (reason, ignored, named) = match send_until_answered(&piece.batch, outlet).await {
            Sent::Delivered => {
                let sent = &piece.batch;
                outlet.tally.change(sent, |counts| counts.send(sent));
                continue;
            }
            Sent::GivenUp { reason } => {
                let runs = piece.records.into_iter();
                let given_up = runs.map(|records| GivenUp { records, reason });
                undelivered.given_up.extend(given_up);
                continue;
            }
            Sent::Refused {
                reason,
                ignored,
                records,
            } => (reason, ignored, records),
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
        let named = Some(&*named).filter(|named| !named.is_empty() && cuts_left > 0);
        cuts_left -= u32::from(named.is_some());
        let (refused, others) = take_apart(piece, named, is_all_refused, outlet);
        pieces.extend(others);
        let Some(refused) = refused else {
            continue;
        };
        let lost = &refused.batch;
        refused_records += u64::from(lost.records());
        outlet
            .tally
            .change(lost, |counts| counts.lose(lost, GIVEN_UP));
        undelivered.refused.push(Refused {
            piece: refused,
            reason,
        });
    }
    undelivered
}

/// Sends one body until the backend takes or refuses it, or until it is given up.
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
                records,
            }) => {
                tracing::debug!(
                    sink = &*outlet.name,
                    reason,
                    detail,
                    named_records = records.len(),
                    "batch refused, looking for the record"
                );
                return Sent::Refused {
                    reason,
                    ignored,
                    records,
                };
            }
            Err(DeliverError::Retryable {
                reason,
                detail,
                status,
                retry_after,
            }) => {
                let wait = backoff.next_wait(retry_after);
                let given_up = outlet.give_up.reason(backoff.attempts(), status);
                let retry_in = given_up.is_none().then_some(wait);
                outlet.fail(reason, &detail, backoff.attempts(), retry_in);
                if let Some(reason) = given_up {
                    outlet.give_up(batch, reason);
                    return Sent::GivenUp { reason };
                }
                outlet.tally.change(batch, |counts| counts.retries += 1);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Takes a refused piece apart: returns what of it is refused for good, and what is sent again, the last
/// first.
fn take_apart(
    piece: Piece,
    named: Option<&[u32]>,
    is_all_refused: bool,
    outlet: &Outlet,
) -> (Option<Piece>, Vec<Piece>) {
    if let Some((refused, rest)) = named.and_then(|named| cut(&piece, named, outlet)) {
        return (Some(refused), rest.into_iter().collect());
    }
    match halve(&piece, outlet) {
        Some((first, second)) if !is_all_refused => (None, vec![second, first]),
        _ => (Some(piece), Vec::new()),
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
            say_uncut(outlet, &error);
            return None;
        }
    };
    outlet.counts.splits.fetch_add(1, Ordering::Relaxed);
    Some((
        piece.part(first, |place| place < at),
        piece.part(second, |place| place >= at),
    ))
}

/// Takes the records out of a piece that its backend has named, by their places in it; returns them, and
/// the others if there are any. `None` where its body cannot be cut.
fn cut(piece: &Piece, named: &[u32], outlet: &Outlet) -> Option<(Piece, Option<Piece>)> {
    let is_named = |place: u32| named.binary_search(&place).is_ok();
    let retain = |keep: &mut dyn FnMut(u32) -> bool| {
        let retained = outlet.deliver.retain(&piece.batch.body, keep);
        retained.inspect_err(|error| say_uncut(outlet, error)).ok()
    };
    let refused = retain(&mut |place| is_named(place))??;
    let rest = retain(&mut |place| !is_named(place))?;
    if rest.is_some() {
        outlet.counts.splits.fetch_add(1, Ordering::Relaxed);
    }
    Some((
        piece.part(refused, is_named),
        rest.map(|rest| piece.part(rest, |place| !is_named(place))),
    ))
}

fn say_uncut(outlet: &Outlet, error: &SplitError) {
    tracing::error!(
        sink = &*outlet.name,
        error = error as &dyn std::error::Error,
        "cannot split a refused batch"
    );
}

/// A seed that differs between hosts, sinks and batches.
fn seed(outlet: &Outlet, batch: &EncodedBatch) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one((&outlet.name, batch.id))
}
