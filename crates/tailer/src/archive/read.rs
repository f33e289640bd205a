//! Reading on from a cursor of an archive.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use tailwater_record::WINDOW_BYTES;

use super::unpacker::{Budget, Stop};
use super::{Compression, Damage, Unpacker};
use crate::file::{Chunk, Cursor, ReadBuffer, ReadRules, Step, TailedFile};
use crate::frame::{Encoding, FrameState};

/// What a followed archive is, beside a file.
#[derive(Debug)]
pub(crate) struct ArchivedFile {
    pub(crate) compression: Compression,
    delay: Duration,
    /// Its size and time of modification as last seen: those of the compressed bytes.
    pub(crate) seen: Seen,
    /// Its damage was told of.
    is_damage_told: bool,
    /// It was found to hold what a file held that is gone: where it turns out to hold something else, that is
    /// not what was to be read.
    pub(crate) is_stand_in: bool,
}

/// What tells that a file has been written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) len: u64,
    modified: (i64, i64),
}

impl Seen {
    fn of(file: &File) -> Option<Self> {
        let stat = rustix::fs::fstat(file).ok()?;
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Some(Self {
            len: u64::try_from(stat.st_size).ok()?,
            modified: (stat.st_mtime, nanoseconds),
        })
    }
}

impl ArchivedFile {
    /// Begins to follow an archive that is open.
    pub(crate) fn new(compression: Compression, delay: Duration, file: &File) -> Self {
        Self {
            compression,
            delay,
            seen: Seen::of(file).unwrap_or_default(),
            is_damage_told: false,
            is_stand_in: false,
        }
    }

    /// It stands for a file that is gone, so it is whole: nothing is waited for.
    pub(crate) fn stand_in(&mut self) {
        self.delay = Duration::ZERO;
        self.is_stand_in = true;
    }
}

/// Whether a cursor has read all of an archive.
enum AtEnd {
    No,
    Yes,
    /// It had before this file was found: in an earlier run, or in the file that this one stands for.
    SinceBefore,
}

/// What a turn has decoded.
struct Turn<'b> {
    /// From one window before the cursor on; shorter than that where the cursor is not reached.
    all: &'b [u8],
    stop: Stop,
    decoded_end: u64,
    made: u64,
}

impl<R> Cursor<R> {
    /// Returns whether it has read all of an archive that was not written to since.
    fn archive_end(&mut self, seen: Seen) -> AtEnd {
        if self.frame.is_archive_end() && self.ended.is_none() {
            self.ended = Some(Box::new(seen));
            self.is_drained = true;
            return AtEnd::SinceBefore;
        }
        if self.ended.as_deref().is_some_and(|ended| *ended != seen) {
            self.ended = None;
            self.is_drained = false;
            self.frame = FrameState::default();
        }
        if self.ended.is_some() {
            AtEnd::Yes
        } else {
            AtEnd::No
        }
    }

    /// Goes on at its offset in another file with the same content; `was_read`: all of it.
    pub(crate) fn go_on_in(&mut self, is_archive: bool, was_read: bool) {
        self.unpacker = None;
        self.ended = None;
        self.partial_since = None;
        self.is_drained = was_read && is_archive;
        if was_read && is_archive {
            self.frame = FrameState::at_archive_end();
        } else if !is_archive && self.frame.is_archive_end() {
            self.frame = FrameState::default();
        }
    }

    /// Returns whether it reads on with a decoder, and has none.
    pub(crate) fn needs_decoder(&self) -> bool {
        self.unpacker.is_none() && self.ended.is_none() && !self.frame.is_archive_end()
    }

    pub(crate) fn has_decoder(&self) -> bool {
        self.unpacker.is_some()
    }

    pub(crate) fn close_decoder(&mut self) {
        self.unpacker = None;
    }

    /// Decodes what one turn may, from one window before the cursor on.
    fn decode<'b>(
        &mut self,
        file: &File,
        compression: Compression,
        buffer: &'b mut ReadBuffer,
    ) -> io::Result<Turn<'b>> {
        let window = self.offset.min(u64::from(WINDOW_BYTES));
        let start = self.offset.saturating_sub(window);
        let window = usize::try_from(window).unwrap_or(0);
        let wanted = buffer.chunk_bytes().saturating_add(window);
        let mut unpacker = self
            .unpacker
            .take()
            .filter(|unpacker| unpacker.reaches(start))
            .unwrap_or_else(|| Box::new(Unpacker::new(compression)));
        let mut budget = Budget::of_a_turn();
        let stop = unpacker.fill(file, start, wanted, &mut budget)?;
        let turn = Turn {
            all: buffer.copy(unpacker.from(start), wanted),
            stop,
            decoded_end: unpacker.decoded_end(),
            made: budget.made(),
        };
        self.unpacker = Some(unpacker);
        Ok(turn)
    }
}

impl<R> TailedFile<R> {
    /// Reads on from a cursor of an archive. The descriptor must be open.
    pub(crate) fn read_archive<'b>(
        &mut self,
        index: usize,
        buffer: &'b mut ReadBuffer,
        now: Instant,
        rules: ReadRules,
    ) -> Step<'b> {
        self.last_used = now;
        if !self.look_at_archive(now) {
            return self.replaced(index, now);
        }
        let quiet_for = now.saturating_duration_since(self.grew_at);
        let (Some(archive), Some(file), Some(cursor)) =
            (&self.archive, &self.descriptor, self.cursors.get_mut(index))
        else {
            return Step::AtEnd;
        };
        match cursor.archive_end(archive.seen) {
            AtEnd::No => {}
            // Whoever keeps positions hears of the file that it is the end of now.
            AtEnd::SinceBefore if archive.is_stand_in => {
                return Step::ArchiveEnd { damage: None };
            }
            AtEnd::Yes | AtEnd::SinceBefore => return Step::AtEnd,
        }
        if quiet_for < archive.delay {
            return Step::AtEnd;
        }
        let turn = match cursor.decode(file, archive.compression, buffer) {
            Ok(turn) => turn,
            Err(error) => return Step::Failed(error),
        };
        self.known_len = self.known_len.max(turn.decoded_end);
        let end = match turn.stop {
            Stop::End => Some(Ok(())),
            Stop::Damaged(damage) => Some(Err(damage)),
            Stop::Starved if quiet_for >= rules.rotate_wait => Some(Err(Damage::Truncated)),
            Stop::Starved | Stop::Pause => None,
        };
        self.judge(index, &turn, end, now)
    }

    /// Returns whether some of an archive is still to be read: it is looked at again until it is whole, or
    /// was quiet for long enough.
    pub(crate) fn awaits_archive_end(&self) -> bool {
        let mut cursors = self.cursors.iter();
        self.is_archive() && cursors.any(|cursor| cursor.ended.is_none())
    }

    /// Says what a turn of a cursor came to. `end` is set where nothing more follows: with the damage
    /// that is the reason, if it is one.
    fn judge<'b>(
        &mut self,
        index: usize,
        turn: &Turn<'b>,
        end: Option<Result<(), Damage>>,
        now: Instant,
    ) -> Step<'b> {
        let Some(cursor) = self.cursors.get(index) else {
            return Step::AtEnd;
        };
        let (all, offset) = (turn.all, cursor.offset);
        let window = usize::try_from(offset.min(u64::from(WINDOW_BYTES))).unwrap_or(0);
        if let Some(before) = all.get(..window) {
            if !cursor.marker.matches_tail(before) {
                return self.replaced(index, now);
            }
            if window as u64 == offset {
                self.learn_head(all);
            }
            if offset == 0 {
                self.mark = Encoding::Auto.resolve(all);
            }
            if all.len() > window {
                let is_starved = turn.stop == Stop::Starved;
                return Step::Chunk(Chunk::of_archive(all, offset, end.is_some(), is_starved));
            }
        } else if end == Some(Ok(())) {
            // A whole archive, and shorter: another one.
            return self.replaced(index, now);
        }
        match (end, turn.stop) {
            (Some(end), _) => self.end_archive(index, end.err()),
            (None, Stop::Pause) => Step::Skipped {
                bytes: turn.made.max(1),
            },
            (None, Stop::Starved | Stop::End | Stop::Damaged(_)) => Step::AtEnd,
        }
    }

    /// Looks whether the file was written to; returns whether it can still be the same.
    fn look_at_archive(&mut self, now: Instant) -> bool {
        let (Some(archive), Some(file)) = (&mut self.archive, &self.descriptor) else {
            return true;
        };
        let seen = Seen::of(file).unwrap_or(archive.seen);
        if archive.seen != seen {
            archive.seen = seen;
            self.grew_at = now;
        }
        let unpackers = self
            .cursors
            .iter()
            .filter_map(|cursor| cursor.unpacker.as_ref());
        let read = unpackers.map(|unpacker| unpacker.raw_offset()).max();
        read.is_none_or(|read| read <= seen.len)
    }

    fn replaced<'b>(&mut self, index: usize, now: Instant) -> Step<'b> {
        if let Some(archive) = &mut self.archive {
            if archive.is_stand_in {
                return self.end_archive(index, Some(Damage::OtherContent));
            }
            archive.is_damage_told = false;
        }
        Step::Replaced {
            lost_bytes: self.replace(now),
        }
    }

    fn end_archive<'b>(&mut self, index: usize, damage: Option<Damage>) -> Step<'b> {
        let (Some(archive), Some(cursor)) = (&mut self.archive, self.cursors.get_mut(index)) else {
            return Step::AtEnd;
        };
        cursor.is_drained = true;
        cursor.ended = Some(Box::new(archive.seen));
        cursor.frame = FrameState::at_archive_end();
        cursor.partial_since = None;
        cursor.unpacker = None;
        let is_news = !std::mem::replace(&mut archive.is_damage_told, damage.is_some());
        Step::ArchiveEnd {
            damage: damage.filter(|_| is_news),
        }
    }
}
