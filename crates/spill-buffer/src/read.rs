//! Reading, in the order of the numbers.

use tailwater_durable::StorageError;

use crate::Seq;
use crate::format::{self, KIND_HEADER};
use crate::scan::{Found, Scanner, Step};
use crate::spill::SpillBuffer;

/// What stands at a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The frame with this number; it need not be durable yet.
    Frame {
        /// Its number: the one that was asked for, or the first that is not released.
        seq: Seq,
        /// What was appended.
        payload: Vec<u8>,
    },
    /// These frames are damaged or missing, and none of them can be read.
    Lost {
        /// The first of them.
        first: Seq,
        /// The number after the last of them: where to read on.
        next: Seq,
    },
    /// A segment of a newer version, which is left for a newer tailwater.
    Newer {
        /// The first of its numbers that was asked for.
        first: Seq,
        /// The number after all that it can hold: where to read on.
        next: Seq,
        /// Its version.
        version: u32,
    },
    /// There is nothing at this number yet.
    End,
}

/// Why the spill cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk refused. Reading may be tried again, or gone on with at `next`, which gives up what is
    /// between.
    #[error("cannot read frame {from} of the spill")]
    Storage {
        /// The number that was asked for.
        from: Seq,
        /// The first number that is not in the segment that cannot be read.
        next: Seq,
        /// What failed.
        source: StorageError,
    },
}

/// The numbers that are looked for in a segment.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    from: u64,
    /// Where the next segment begins.
    end: u64,
    segment_bytes: u64,
}

impl SpillBuffer {
    /// Returns what stands at `from`, or at the first number that is not released where that is higher.
    ///
    /// Asking for one number after the other is cheap: the place is remembered, and read ahead by up to
    /// 1 MiB. Going back reads a segment from its start.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub fn read(&mut self, from: Seq) -> Result<Read, ReadError> {
        let from = from.0.max(self.released);
        loop {
            if from >= self.next {
                self.scanner.iter_mut().for_each(Scanner::forget_window);
                return Ok(Read::End);
            }
            let following = self
                .segments
                .partition_point(|segment| segment.first <= from);
            let Some(index) = following.checked_sub(1) else {
                let next = self.segments.front().map_or(self.next, |front| front.first);
                return Ok(lost(from, next));
            };
            if let Some(read) = self.read_segment(index, from)? {
                return Ok(read);
            }
            // Somebody removed it: what it held is missing from the list of segments.
            self.forget(index);
        }
    }

    /// Returns what stands at `from` in a segment; `None` where its file is gone.
    fn read_segment(&mut self, index: usize, from: u64) -> Result<Option<Read>, ReadError> {
        let Some(segment) = self.segments.get(index).copied() else {
            return Ok(None);
        };
        let wanted = Wanted {
            from,
            end: self.end_of(index),
            segment_bytes: segment.bytes,
        };
        if segment.is_discarded {
            return Ok(Some(lost(from, wanted.end)));
        }
        let is_ahead =
            |scanner: &Scanner| scanner.first() == segment.first && scanner.min_seq() <= from;
        let mut scanner = match self.scanner.take().filter(is_ahead) {
            Some(scanner) => scanner,
            None => Scanner::new(segment.first),
        };
        let read = self.find(&mut scanner, wanted);
        self.scanner = Some(scanner);
        match read {
            Ok(read) => Ok(Some(read)),
            // What is not synced in it is void as soon as the sync finds out; until then it counts.
            Err(error) if error.is_not_found() && self.is_active(index) => {
                Ok(Some(lost(from, wanted.end)))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(source) => Err(ReadError::Storage {
                from: Seq(from),
                next: Seq(wanted.end),
                source,
            }),
        }
    }

    fn is_active(&self, index: usize) -> bool {
        self.active.is_some() && index.saturating_add(1) == self.segments.len()
    }

    fn find(&self, scanner: &mut Scanner, wanted: Wanted) -> Result<Read, StorageError> {
        loop {
            match scanner.peek(&*self.storage, wanted.segment_bytes)? {
                Step::Frame(found) => {
                    if let Some(read) = take(scanner, &found, wanted) {
                        return Ok(read);
                    }
                    scanner.pass(&found);
                }
                Step::Damaged {
                    offset,
                    damaged_bytes,
                } => scanner.skip_to(offset.saturating_add(damaged_bytes)),
                Step::Tail { .. } => scanner.skip_to(wanted.segment_bytes),
                Step::End => return Ok(lost(wanted.from, wanted.end)),
            }
        }
    }
}

/// Returns what a frame tells about the number that is looked for; `None` where it is to be passed.
fn take(scanner: &mut Scanner, found: &Found, wanted: Wanted) -> Option<Read> {
    let Some(seq) = found.seq else {
        let is_header = found.kind == KIND_HEADER && found.offset == 0;
        let version = format::version_of(scanner.payload(found)).filter(|_| is_header)?;
        return (version > format::VERSION).then_some(Read::Newer {
            first: Seq(wanted.from),
            next: Seq(wanted.end),
            version,
        });
    };
    if seq < wanted.from {
        return None;
    }
    // Void from where the next segment begins: a sync failed, and they were appended again.
    if seq >= wanted.end {
        return Some(lost(wanted.from, wanted.end));
    }
    if seq > wanted.from {
        return Some(lost(wanted.from, seq));
    }
    let payload = scanner.take_payload(found);
    scanner.pass(found);
    Some(Read::Frame {
        seq: Seq(seq),
        payload,
    })
}

fn lost(first: u64, next: u64) -> Read {
    Read::Lost {
        first: Seq(first),
        next: Seq(next),
    }
}
