//! Reading files that have something new, and taking it to the open batches.

use std::sync::Arc;
use std::time::Instant;

use tailwater_failpoint::failpoint;
use tailwater_record::CursorId;
use tailwater_tailer::{Chunk, ReadBuffer, Step};

use super::lane::{Gate, Lane, Seal, Stamps, Taken};
use super::way::Way;
use super::{Pipeline, earlier, now};
use crate::config::WhenExceeded;
use crate::ledger::Account;

/// Bytes read in one pass over the ready files, before events and controls are looked at again.
const MAX_PASS_BYTES: u64 = 16 << 20;

/// What a turn of one cursor came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There is more to read.
    More(u64),
    /// There is nothing more until something is written.
    Done(u64),
    /// The sink has no room.
    Blocked,
}

impl Pipeline {
    /// Gives every ready file a turn; returns whether any byte was read.
    pub(super) fn read_pass(&mut self) -> bool {
        let mut left = MAX_PASS_BYTES;
        let mut made_progress = false;
        for _ in 0..self.tailer.ready_len() {
            let Some(id) = self.tailer.next_ready() else {
                break;
            };
            let (is_ready_again, bytes) = self.read_file(id);
            made_progress |= bytes > 0;
            if is_ready_again {
                self.tailer.push_ready(id);
            }
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
        made_progress
    }

    /// Gives each cursor of a file one quantum.
    fn read_file(&mut self, id: u64) -> (bool, u64) {
        let cursors = self
            .tailer
            .file_mut(id)
            .map_or(0, |file| file.cursors.len());
        let (mut is_ready_again, mut bytes) = (false, 0_u64);
        for cursor in 0..cursors {
            match self.read_cursor(id, cursor) {
                Turn::More(read) => {
                    is_ready_again = true;
                    bytes += read;
                }
                Turn::Done(read) => bytes += read,
                Turn::Blocked => is_ready_again = true,
            }
        }
        if is_ready_again && bytes == 0 {
            self.tailer.learn_head(id, now().instant);
        }
        if let Some(file) = self.tailer.file_mut(id)
            && file.identity_changed
            && let Some(cursor) = file.cursors.first()
        {
            file.identity_changed = false;
            self.desk
                .positions
                .lock()
                .set_identity(cursor.route.key, file.identity);
        }
        (is_ready_again, bytes)
    }

    fn read_cursor(&mut self, id: u64, index: usize) -> Turn {
        let Some((source, sink, content_number)) = self.tailer.file_mut(id).and_then(|file| {
            let cursor = file.cursors.get(index)?;
            Some((cursor.source, cursor.sink, cursor.route.content_number))
        }) else {
            return Turn::Done(0);
        };
        let Some(end) = self.plan.lane(sink) else {
            return Turn::Done(0);
        };
        let may_send = self.desk.positions.may_send(content_number);
        if self.detached.contains(&sink) || !may_send || !end.outlet.queue.has_room() {
            return Turn::Blocked;
        }
        let now = now();
        if self.is_too_fast(source, now.instant) {
            return Turn::Blocked;
        }
        failpoint("read");
        self.stamps.catch_up(now.unix_ns);
        let mut buffer = std::mem::replace(&mut self.buffer, ReadBuffer::empty());
        let turn = match self.tailer.read(id, index, &mut buffer, now.instant) {
            Step::Chunk(chunk) => self.encode_chunk(id, index, &chunk, now.instant),
            Step::Skipped { bytes } => Turn::More(bytes),
            Step::ArchiveEnd { damage } => {
                self.end_archive(id, index, damage);
                Turn::Done(0)
            }
            Step::AtEnd | Step::Gated => Turn::Done(0),
            Step::Replaced { lost_bytes } => {
                self.start_again(id, &lost_bytes);
                Turn::More(1)
            }
            Step::Failed(error) => {
                self.note_failed_read(id, &error);
                Turn::Done(0)
            }
        };
        self.buffer = buffer;
        turn
    }

    /// Returns whether a source has been read as fast as it may be.
    fn is_too_fast(&mut self, source: usize, now: Instant) -> bool {
        let limiter = self
            .plan
            .sources
            .get(source)
            .and_then(|source| source.rate_limiter.as_deref())
            .filter(|limiter| limiter.when_exceeded == WhenExceeded::Block);
        let (Some(limiter), Some(allowance)) = (limiter, self.allowances.get_mut(source)) else {
            return false;
        };
        match limiter.allow(allowance) {
            Ok(()) => false,
            Err(wait) => {
                self.rate_deadline = Some(earlier(self.rate_deadline, now + wait));
                true
            }
        }
    }

    /// Frames a chunk and copies its lines into the open batch, by way of the stages where there are any.
    fn encode_chunk(&mut self, id: u64, index: usize, chunk: &Chunk<'_>, now: Instant) -> Turn {
        let Some((taken, offset)) = self.take_chunk(id, index, chunk, None, now) else {
            return Turn::Done(0);
        };
        if let Taken::TooFast(wait) = taken {
            self.rate_deadline = Some(earlier(self.rate_deadline, now + wait));
        }
        let Some(file) = self.tailer.file_mut(id) else {
            return Turn::Done(0);
        };
        let is_blocked = taken != Taken::Whole;
        let at_end = chunk.is_at_end && !is_blocked;
        file.consume(index, offset, chunk.marker_at(offset), at_end, now);
        let read = offset.saturating_sub(chunk.offset);
        // A finished file is read once more: only a read that finds nothing says that it is drained.
        let is_finishing = file.is_rotated() && read > 0;
        if is_blocked || !chunk.is_at_end || is_finishing {
            Turn::More(read)
        } else {
            Turn::Done(read)
        }
    }

    /// Frames a chunk and copies its lines into the open batch; `again` gives the timestamps that they had
    /// in an earlier run. Returns what it came to, and the offset after what was framed.
    pub(super) fn take_chunk(
        &mut self,
        id: u64,
        index: usize,
        chunk: &Chunk<'_>,
        again: Option<&mut Stamps>,
        now: Instant,
    ) -> Option<(Taken, u64)> {
        let is_replay = again.is_some();
        self.take_over_held(id, index);
        let file = self.tailer.file_mut(id)?;
        let source_index = file.cursors.get(index)?.source;
        let source = self.plan.sources.get(source_index)?;
        let encoding = file.encoding(source.frame.encoding);
        let own_limiter = source.rate_limiter.as_deref().filter(|_| !is_replay);
        let shared_limiter = self.plan.shared_limiter.as_deref();
        let own = Gate {
            limiter: own_limiter,
            allowance: self.allowances.get_mut(source_index)?,
        };
        let shared = Gate {
            limiter: shared_limiter.filter(|_| !is_replay),
            allowance: &mut self.shared_allowance,
        };
        let cursor = file.cursors.get_mut(index)?;
        let slot = self.slots.get_mut(cursor.route.batch)?;
        let seal = Seal {
            end: self.plan.lane(slot.sink)?,
            desk: &self.desk,
            now,
            is_replay,
        };
        let route = &cursor.route;
        let way = Way {
            lane: Lane {
                slot,
                route,
                stamps: again.unwrap_or(&mut self.stamps),
                own,
                shared,
                seal,
            },
            file: id,
            workshop: route.workshop.and_then(|at| self.workshops.get_mut(at)),
            source,
            encoding,
            frame: &mut cursor.frame,
            scratch: &mut self.scratch,
        };
        let passed = way.take(chunk);
        Some((passed.taken, passed.offset))
    }

    /// The content of a file is another one: its cursors begin again, and their positions with them.
    pub(super) fn start_again(&mut self, id: u64, lost_bytes: &[u64]) {
        self.give_up_held(id);
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let content = file.content;
        let path = Arc::clone(&file.path);
        let lost: u64 = lost_bytes.iter().copied().max().unwrap_or(0);
        tracing::info!(path = %path.display(), lost, "file was truncated or replaced, reading from its start");
        for (cursor, lost) in file.cursors.iter_mut().zip(lost_bytes) {
            let route = &mut cursor.route;
            self.desk
                .books
                .change(route.book, |books| books.lost_unread_bytes += lost);
            let account = self.desk.ledger.account(route.cursor);
            self.desk.ledger.close(route.cursor);
            route.cursor = CursorId {
                file: content,
                ..route.cursor
            };
            let positions = &self.desk.positions;
            let epoch = positions.restart(route.key, &route.name, file.identity);
            route.content_number = self.desk.positions.content_number();
            let account = account.map_or_else(
                || Account {
                    route: route.book,
                    name: Arc::clone(&route.name),
                    key: route.key,
                    epoch,
                    path: Arc::clone(&path),
                    progress: Arc::clone(&route.progress),
                },
                |account| Account { epoch, ..account },
            );
            self.desk.ledger.open(route.cursor, account, 0);
        }
        self.tailer.push_ready(id);
    }

    fn note_failed_read(&mut self, id: u64, error: &std::io::Error) {
        self.tailing_mut(|status| status.read_errors += 1);
        self.tailer.retry_later(id);
        if let Some(file) = self.tailer.file_mut(id) {
            tracing::debug!(path = %file.path.display(), %error, "cannot read file now, trying again");
        }
    }
}
