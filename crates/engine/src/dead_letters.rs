//! Records that a sink has refused for good: kept on disk, bounded, with reason and origin.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_durable::{Disk, Storage};
use tailwater_record::EncodedBatch;
use tailwater_spill_buffer::{AppendError, Limits, Seq, SpillBuffer};

use crate::desk::{Origin, Rejected, record_at};
use crate::envelope::Envelope;
use crate::outlet::Outlet;
use crate::queue::Taken;
use crate::sender::Refused;

/// A segment is a sixteenth of all, so that the oldest letters go in small parts.
const SEGMENTS: u64 = 16;

/// Bytes of the smallest segment.
const MIN_SEGMENT_BYTES: u64 = 64 << 10;

/// What a sink has refused.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    /// `None` where nothing is kept.
    directory: Option<PathBuf>,
    max_bytes: u64,
    buffer: Mutex<Option<SpillBuffer>>,
    pub(crate) counts: DeadLetterCounts,
}

/// What became of refused records, beside being counted.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterCounts {
    /// Records written.
    pub(crate) records: AtomicU64,
    /// Frames that went to make room.
    pub(crate) evicted: AtomicU64,
    /// Writes that failed: the records are gone.
    pub(crate) failures: AtomicU64,
    /// Bytes on disk.
    pub(crate) bytes: AtomicU64,
}

/// A refused piece of a batch, as it is written.
#[derive(Debug)]
struct Letter {
    head: Vec<u8>,
    body: bytes::Bytes,
    records: u64,
}

impl DeadLetters {
    pub(crate) fn new(directory: Option<PathBuf>, max_bytes: u64) -> Self {
        Self {
            directory: directory.filter(|_| max_bytes > 0),
            max_bytes,
            buffer: Mutex::new(None),
            counts: DeadLetterCounts::default(),
        }
    }

    /// Writes letters and makes them durable; the oldest go where there is no room. Blocks.
    fn write(&self, letters: &[Letter]) {
        let Some(directory) = &self.directory else {
            return;
        };
        let mut slot = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write_into(&mut slot, directory, letters);
        let status = slot.as_ref().map(SpillBuffer::status);
        let bytes = status.map_or(0, |status| status.bytes);
        self.counts.bytes.store(bytes, Ordering::Relaxed);
        match written {
            Ok(()) => {
                let records = letters.iter().map(|letter| letter.records).sum();
                Outlet::count(&self.counts.records, records);
            }
            Err(error) => {
                Outlet::count(&self.counts.failures, 1);
                tracing::error!(
                    directory = %directory.display(),
                    error = &*error,
                    "cannot keep records that the sink refused: they are gone"
                );
                *slot = None;
            }
        }
    }

    fn write_into(
        &self,
        slot: &mut Option<SpillBuffer>,
        directory: &Path,
        letters: &[Letter],
    ) -> Result<(), Box<dyn std::error::Error>> {
        if slot.is_none() {
            *slot = Some(open(directory, self.max_bytes)?);
        }
        let Some(buffer) = slot else {
            return Ok(());
        };
        for letter in letters {
            while let Err(error) = buffer.append(&[&letter.head, &letter.body]) {
                let is_full = matches!(
                    error,
                    AppendError::Full { .. } | AppendError::DiskFull { .. }
                );
                if !is_full || !self.evict(buffer)? {
                    return Err(error.into());
                }
            }
        }
        buffer.sync()?;
        Ok(())
    }

    /// Gives up the oldest segment; returns whether there was one.
    fn evict(&self, buffer: &mut SpillBuffer) -> Result<bool, Box<dyn std::error::Error>> {
        let Some(oldest) = buffer.oldest_segment() else {
            return Ok(false);
        };
        let (Seq(first), Seq(next)) = (oldest.start, oldest.end);
        buffer.release(oldest.end)?;
        Outlet::count(&self.counts.evicted, next.saturating_sub(first));
        Ok(true)
    }
}

fn open(directory: &Path, max_bytes: u64) -> Result<SpillBuffer, Box<dyn std::error::Error>> {
    let storage: Arc<dyn Storage> = Arc::new(Disk::open(directory)?);
    let limits = Limits {
        segment_bytes: (max_bytes / SEGMENTS).max(MIN_SEGMENT_BYTES),
        ..Limits::new(max_bytes)
    };
    // Letters stay until they are sent again or make room.
    let (buffer, _) = tailwater_spill_buffer::open(storage, limits, Seq::FIRST)?;
    Ok(buffer)
}

/// Keeps what was refused of a batch, and lists the records.
pub(crate) async fn keep(
    refused: Vec<Refused>,
    origins: &[Origin],
    taken: &Taken,
    outlet: &Outlet,
) -> Vec<Rejected> {
    if refused.is_empty() {
        return Vec::new();
    }
    let mut rejected = Vec::new();
    let mut letters = Vec::new();
    for refused in refused {
        letters.push(letter(&refused, origins, taken, outlet));
        rejected.extend(refused.piece.indexes().map(|record_index| Rejected {
            record_index,
            reason: refused.reason,
        }));
    }
    let dead_letters = Arc::clone(&outlet.dead_letters);
    let written = tokio::task::spawn_blocking(move || dead_letters.write(&letters));
    if written.await.is_err() {
        Outlet::count(&outlet.dead_letters.counts.failures, 1);
    }
    rejected
}

fn letter(refused: &Refused, origins: &[Origin], taken: &Taken, outlet: &Outlet) -> Letter {
    let EncodedBatch {
        id, tenant, body, ..
    } = &refused.piece.batch;
    let mut spans = Vec::new();
    let mut record_ends = Vec::new();
    for index in refused.piece.indexes() {
        let Some((origin, span)) = record_at(origins, &taken.batch.record_ends, index) else {
            continue;
        };
        let len = span.end.saturating_sub(span.start);
        record_ends.push(u32::try_from(len).unwrap_or(u32::MAX));
        spans.push(
            Origin {
                span,
                records: 1,
                line_bytes: len,
                ..origin.clone()
            }
            .into_span(),
        );
    }
    let envelope = Envelope {
        batch: *id,
        written_ns: crate::pipeline::unix_ns(),
        wire: outlet.deliver.wire().to_owned(),
        sink: Arc::clone(&outlet.name),
        tenant: tenant.clone(),
        reason: refused.reason.to_owned(),
        spans,
        record_ends,
    };
    let mut head = Vec::new();
    envelope.encode(&mut head);
    Letter {
        head,
        body: body.clone(),
        records: u64::from(refused.piece.batch.records()),
    }
}
