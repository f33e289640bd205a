//! One batch into a sink, until every record of it is taken or refused.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;

use bytes::Bytes;
use tailwater_engine::SinkConfig;
use tailwater_engine::envelope::Envelope;
use tailwater_record::EncodedBatch;
use tailwater_sink::{Backoff, DeliverError, Ignored};

use super::origins;

/// A failing sink is told of at the first attempt and then every so many.
const TELL_EVERY_ATTEMPTS: u32 = 10;

/// Times that records of a batch are taken out by what the sink says of them; each is a request.
const MAX_CUTS: u32 = 64;

/// Records of a batch that the sink has refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// Their indexes within the batch, rising.
    pub(super) records: Vec<usize>,
    pub(super) body: Bytes,
    pub(super) reason: &'static str,
}

impl Refused {
    /// Returns what stands before the body on disk.
    pub(super) fn envelope(&self, of: &Envelope) -> Vec<u8> {
        let mut envelope = Envelope {
            reason: self.reason.to_owned(),
            ..of.clone()
        };
        if self.records.len() != of.record_ends.len() {
            let origins = origins::of_records(of);
            let origins = self.records.iter().filter_map(|index| origins.get(*index));
            envelope.spans = origins.clone().map(origins::alone).collect();
            let lens = origins.map(|origin| origin.span.len());
            envelope.record_ends = lens
                .map(|len| u32::try_from(len).unwrap_or(u32::MAX))
                .collect();
        }
        let mut head = Vec::new();
        envelope.encode(&mut head);
        head
    }
}

/// What one send came to.
enum Answer {
    Taken,
    Refused {
        reason: &'static str,
        ignored: Option<Ignored>,
        named: Vec<u32>,
    },
}

/// Delivers all of a batch that the sink takes, with the retries of the sink; returns what it refuses, as
/// few records at a time as can be.
pub(super) async fn deliver(batch: &EncodedBatch, sink: &SinkConfig) -> Vec<Refused> {
    let mut refused: Vec<Refused> = Vec::new();
    let mut refused_records = 0_u64;
    // Where the backend says how many it refused and that it stored the others, the search ends when as
    // many are found.
    let mut refused_in_all: Option<u64> = None;
    let all: Vec<usize> = (0..batch.record_ends.len()).collect();
    let mut pieces = vec![(all, batch.body.clone())];
    let mut cuts_left = MAX_CUTS;
    while let Some((records, body)) = pieces.pop() {
        if refused_in_all.is_some_and(|in_all| refused_records >= in_all) {
            break;
        }
        let piece = piece_of(batch, &records, body);
        let answer = send_until_answered(&piece, sink).await;
        let Answer::Refused {
            reason,
            ignored,
            named,
        } = answer
        else {
            continue;
        };
        let count = records.len() as u64;
        let of_all = ignored.filter(|ignored| ignored.out_of == count && ignored.ignored > 0);
        if records.len() == batch.record_ends.len() {
            refused_in_all = of_all.map(|ignored| ignored.ignored);
        }
        let is_all_refused = of_all.is_some_and(|ignored| ignored.ignored == count);
        if cuts_left > 0
            && let Some(((records, body), rest)) = cut(&piece.body, &records, &named, sink)
        {
            cuts_left -= 1;
            pieces.extend(rest);
            refused_records += records.len() as u64;
            refused.push(Refused {
                records,
                body,
                reason,
            });
            continue;
        }
        match halve(&piece.body, &records, sink) {
            Some((first, second)) if !is_all_refused => pieces.extend([second, first]),
            Some(_) | None => {
                refused_records += count;
                refused.push(Refused {
                    records,
                    body: piece.body,
                    reason,
                });
            }
        }
    }
    refused
}

fn piece_of(batch: &EncodedBatch, records: &[usize], body: Bytes) -> EncodedBatch {
    let ends = records
        .iter()
        .filter_map(|index| batch.record_ends.get(*index));
    EncodedBatch {
        id: batch.id,
        body,
        tenant: batch.tenant.clone(),
        spans: Vec::new(),
        record_ends: ends.copied().collect(),
    }
}

/// Records of a batch, with a body that holds them.
type Part = (Vec<usize>, Bytes);

/// Cuts a piece in two; `None` where it is one record or its body cannot be cut.
fn halve(body: &Bytes, records: &[usize], sink: &SinkConfig) -> Option<(Part, Part)> {
    let half = records.len() / 2;
    let at = u32::try_from(half).ok().filter(|at| *at > 0)?;
    let (first, second) = sink.parts.deliver.split(body, at).ok()?;
    let (before, behind) = records.split_at_checked(half)?;
    Some(((before.to_vec(), first), (behind.to_vec(), second)))
}

/// Takes the records out of a piece that the sink has named, by their places in it; returns them, and the
/// others if there are any. `None` where it has named none, or the body cannot be cut.
fn cut(
    body: &Bytes,
    records: &[usize],
    named: &[u32],
    sink: &SinkConfig,
) -> Option<(Part, Option<Part>)> {
    let part = |is_chosen: &dyn Fn(u32) -> bool| {
        let mut keep = |place: u32| is_chosen(place);
        let body = sink.parts.deliver.retain(body, &mut keep).ok()?;
        let chosen = records
            .iter()
            .zip(0..)
            .filter(|(_, place)| is_chosen(*place));
        Some(body.map(|body| (chosen.map(|(index, _)| *index).collect(), body)))
    };
    let is_named = |place: u32| named.binary_search(&place).is_ok();
    let refused: Part = part(&is_named)??;
    Some((refused, part(&|place| !is_named(place))?))
}

async fn send_until_answered(batch: &EncodedBatch, sink: &SinkConfig) -> Answer {
    let seed = RandomState::new().hash_one((&sink.name, batch.id));
    let mut backoff = Backoff::new(sink.backoff, seed);
    loop {
        match sink.parts.deliver.deliver(batch).await {
            Ok(_) => return Answer::Taken,
            Err(DeliverError::Refused {
                reason,
                ignored,
                records: named,
                ..
            }) => {
                return Answer::Refused {
                    reason,
                    ignored,
                    named,
                };
            }
            Err(DeliverError::Retryable {
                reason,
                detail,
                retry_after,
                ..
            }) => {
                let attempts = backoff.attempts();
                let wait = backoff.next_wait(retry_after);
                if attempts.is_multiple_of(TELL_EVERY_ATTEMPTS) {
                    let name = &sink.name;
                    // Who does not listen is not told.
                    writeln!(
                        std::io::stderr(),
                        "tailwater: {name} fails ({reason}), it is tried again until it answers: {detail}"
                    )
                    .ok();
                }
                tokio::time::sleep(wait).await;
            }
        }
    }
}
