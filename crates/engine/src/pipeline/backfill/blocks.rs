//! The thread that reads and decodes a file ahead of the one that frames it.
//!
//! A block has room before its first byte. What the framer left of the block before, and the window that
//! markers are taken of, is copied there: a few hundred bytes, so that every chunk is one slice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};

use tailwater_record::{Marker, WINDOW_BYTES};
use tailwater_tailer::{CHUNK_BYTES, Damage, Filled, ListedEnd, ListedFile, ListedReader, Waker};

/// Blocks of one file that are under way: one is framed, one waits, one is filled.
const BLOCKS: usize = 3;

/// What a line may take beyond its limit: its delimiter, and what tells that it ends there.
const LINE_ROOM: usize = 8;

/// How a file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    Damaged(Damage),
    Failed(String),
}

/// Places that must hold for a file to be one that is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Check {
    pub(super) places: Vec<(u64, Marker)>,
    /// Where it would be read from.
    pub(super) from: u64,
}

impl Check {
    fn furthest(&self) -> u64 {
        let offsets = self.places.iter().map(|(offset, _)| *offset);
        offsets.max().unwrap_or(0)
    }
}

/// Which check holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    None,
    /// The one with this number.
    Check(usize),
}

/// What the thread tells.
#[derive(Debug)]
enum Told {
    /// What was found of the checks; what follows is read from there.
    Start(Found),
    Block(Block),
}

/// A reader, and what it has read last.
struct Begun {
    reader: ListedReader,
    block: Option<Block>,
}

/// Bytes of a file.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    first: usize,
    last: usize,
    /// The offset of the first byte.
    offset: u64,
    /// Bytes that were taken from the disk.
    pub(super) raw_offset: u64,
    /// Set where nothing follows.
    pub(super) end: Option<End>,
}

impl Block {
    /// Returns the offset after the last byte.
    pub(super) fn end_offset(&self) -> u64 {
        let len = self.last.saturating_sub(self.first);
        self.offset.saturating_add(len as u64)
    }

    /// Returns the bytes from one window before an offset on; none where the offset is not reached.
    pub(super) fn around(&self, offset: u64) -> Option<&[u8]> {
        let start = offset.saturating_sub(u64::from(WINDOW_BYTES));
        let skipped = usize::try_from(start.checked_sub(self.offset)?).ok()?;
        let window = usize::try_from(offset.saturating_sub(start)).ok()?;
        let bytes = self
            .bytes
            .get(self.first.checked_add(skipped)?..self.last)?;
        (bytes.len() >= window).then_some(bytes)
    }

    /// Takes over the bytes of the block before it, from an offset on.
    fn continue_from(&mut self, before: &Self, offset: u64) {
        let skipped = offset.saturating_sub(before.offset);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let from = before.first.saturating_add(skipped).min(before.last);
        let kept = before.bytes.get(from..before.last).unwrap_or_default();
        if kept.len() > self.first {
            // Only where a line is longer than the framer said: never, and never wrong.
            let mut bytes = vec![0; kept.len() - self.first];
            bytes.append(&mut self.bytes);
            self.last += kept.len() - self.first;
            self.first = kept.len();
            self.bytes = bytes;
        }
        let target = self.first - kept.len();
        if let Some(room) = self.bytes.get_mut(target..self.first) {
            room.copy_from_slice(kept);
            self.first = target;
            self.offset = self.offset.saturating_sub(kept.len() as u64);
        }
    }

    /// Returns whether every place holds whose window is within it. Those of other blocks are theirs: each
    /// begins with the last window of the one before.
    fn holds(&self, places: &[(u64, Marker)]) -> bool {
        let end = self.end_offset();
        places.iter().all(|(offset, marker)| {
            let Some(start) = offset.checked_sub(u64::from(marker.len.min(WINDOW_BYTES))) else {
                return false;
            };
            if start < self.offset || *offset > end {
                return true;
            }
            let within = usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            let upto = self.first.saturating_add(within);
            let before = self.bytes.get(self.first..upto);
            before.is_some_and(|before| marker.matches_tail(before))
        })
    }
}

/// The blocks of one file, as the thread that frames them sees them.
#[derive(Debug)]
pub(super) struct Blocks {
    told: Receiver<Told>,
    spent: Sender<Vec<u8>>,
    is_stopped: Arc<AtomicBool>,
    /// The one that is framed.
    pub(super) block: Block,
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl Blocks {
    /// Starts the thread. It first finds the check that holds, if there are any, and tells which.
    pub(super) fn start(
        file: ListedFile,
        checks: Vec<Check>,
        max_line_bytes: usize,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let (tell, told) = sync_channel(BLOCKS);
        let (spent, free) = channel();
        let is_stopped = Arc::new(AtomicBool::new(false));
        let room = usize::from(WINDOW_BYTES) + LINE_ROOM + max_line_bytes;
        for _ in 0..BLOCKS {
            // The receiver stands right here.
            spent.send(Vec::new()).ok();
        }
        let ahead = Ahead {
            file,
            room,
            tell,
            free,
            waker,
            is_stopped: Arc::clone(&is_stopped),
        };
        let thread = std::thread::Builder::new().name("decode".into());
        thread.spawn(move || ahead.run(&checks))?;
        Ok(Self {
            told,
            spent,
            is_stopped,
            block: Block::default(),
        })
    }

    /// Returns what was found of the checks, where that is known.
    pub(super) fn found(&self) -> Option<Found> {
        match self.told.try_recv() {
            Ok(Told::Start(found)) => Some(found),
            Ok(Told::Block(_)) | Err(TryRecvError::Empty) => None,
            // The first block says why.
            Err(TryRecvError::Disconnected) => Some(Found::None),
        }
    }

    /// Goes on with the next block, where there is one; what lies before `keep_from` is given up.
    /// Returns whether there was.
    pub(super) fn advance(&mut self, keep_from: u64) -> bool {
        let mut next = match self.told.try_recv() {
            Ok(Told::Block(block)) => block,
            Ok(Told::Start(_)) | Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => Block {
                offset: self.block.end_offset(),
                raw_offset: self.block.raw_offset,
                end: Some(End::Failed("the thread that reads it is gone".to_owned())),
                ..Block::default()
            },
        };
        next.continue_from(&self.block, keep_from);
        let before = std::mem::replace(&mut self.block, next);
        if !before.bytes.is_empty() {
            // A thread that is at its end wants none.
            self.spent.send(before.bytes).ok();
        }
        true
    }
}

/// The thread that reads ahead.
struct Ahead {
    file: ListedFile,
    /// Bytes before those of a block.
    room: usize,
    tell: SyncSender<Told>,
    free: Receiver<Vec<u8>>,
    waker: Waker,
    is_stopped: Arc<AtomicBool>,
}

impl Ahead {
    fn run(self, checks: &[Check]) {
        let Some(Begun { mut reader, block }) = self.begin(checks) else {
            return;
        };
        let mut first = block;
        while let Some(block) = first.take().or_else(|| self.read(&mut reader)) {
            let is_last = block.end.is_some();
            if !self.tell(Told::Block(block)) || is_last {
                return;
            }
        }
    }

    /// Finds out which check holds, and tells. Returns where it goes on; `None` where the thread is to end.
    fn begin(&self, checks: &[Check]) -> Option<Begun> {
        if checks.is_empty() {
            return Some(Begun {
                reader: self.file.read_from(0),
                block: None,
            });
        }
        let (found, begun) = if self.file.compression().is_none() {
            (self.check_plain(checks), None)
        } else {
            let (found, begun) = self.check_archive(checks)?;
            (found, Some(begun))
        };
        if !self.tell(Told::Start(found)) {
            return None;
        }
        let check = match found {
            Found::None => None,
            Found::Check(index) => checks.get(index),
        };
        let from = check.map_or(0, |check| check.from);
        let start = from.saturating_sub(u64::from(WINDOW_BYTES));
        let reaches = |block: &Block| block.offset <= start;
        let begun = begun.filter(|begun| begun.block.as_ref().is_some_and(reaches));
        if begun.is_some() {
            return begun;
        }
        let mut reader = self.file.read_from(start);
        let mut block = self.read(&mut reader)?;
        // The decoder of an archive begins with its first byte.
        while block.end_offset() < from && block.end.is_none() {
            block = self.follow(&mut reader, &block)?;
        }
        Some(Begun {
            reader,
            block: Some(block),
        })
    }

    fn check_plain(&self, checks: &[Check]) -> Found {
        let holds = |check: &Check| {
            check.places.iter().all(|(offset, marker)| {
                let start = offset.saturating_sub(u64::from(marker.len));
                let mut before = vec![0; usize::from(marker.len)];
                let mut reader = self.file.read_from(start);
                let filled = reader.fill(&mut before);
                filled.is_ok_and(|filled| filled.bytes == before.len())
                    && reader.offset() == *offset
                    && marker.matches_tail(&before)
            })
        };
        best(checks, |_, check| holds(check))
    }

    /// Decodes up to the furthest place; `None` where the thread is to end.
    fn check_archive(&self, checks: &[Check]) -> Option<(Found, Begun)> {
        let furthest = checks.iter().map(Check::furthest).max().unwrap_or(0);
        let mut reader = self.file.read_from(0);
        let mut block = self.read(&mut reader)?;
        let hold = checks.iter().map(|check| block.holds(&check.places));
        let mut hold: Vec<bool> = hold.collect();
        while block.end_offset() < furthest && block.end.is_none() {
            block = self.follow(&mut reader, &block)?;
            for (hold, check) in hold.iter_mut().zip(checks) {
                *hold &= block.holds(&check.places);
            }
        }
        let reached = block.end_offset();
        let found = best(checks, |index, check| {
            hold.get(index) == Some(&true) && check.furthest() <= reached
        });
        let block = Some(block);
        Some((found, Begun { reader, block }))
    }

    /// Reads the next block in place of one that nobody wants but for its last window.
    fn follow(&self, reader: &mut ListedReader, before: &Block) -> Option<Block> {
        let mut next = self.read_into(reader, Vec::new())?;
        let end = before.end_offset();
        next.continue_from(before, end.saturating_sub(u64::from(WINDOW_BYTES)));
        Some(next)
    }

    /// Reads the next block, once one is free; `None` where the thread is to end.
    fn read(&self, reader: &mut ListedReader) -> Option<Block> {
        let bytes = self.free.recv().ok()?;
        self.read_into(reader, bytes)
    }

    fn read_into(&self, reader: &mut ListedReader, mut bytes: Vec<u8>) -> Option<Block> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return None;
        }
        bytes.resize(self.room + CHUNK_BYTES, 0);
        let offset = reader.offset();
        let target = bytes.get_mut(self.room..).unwrap_or_default();
        let (read, end) = match reader.fill(target) {
            Ok(Filled { bytes, end }) => {
                let end = end.map(|end| match end {
                    ListedEnd::Whole => End::Whole,
                    ListedEnd::Damaged(damage) => End::Damaged(damage),
                });
                (bytes, end)
            }
            Err(error) => (0, Some(End::Failed(error.to_string()))),
        };
        Some(Block {
            bytes,
            first: self.room,
            last: self.room + read,
            offset,
            raw_offset: reader.raw_offset(),
            end,
        })
    }

    fn tell(&self, told: Told) -> bool {
        let is_heard = self.tell.send(told).is_ok();
        self.waker.wake();
        is_heard
    }
}

/// Returns the check that holds and goes furthest.
fn best(checks: &[Check], holds: impl Fn(usize, &Check) -> bool) -> Found {
    let holding = checks.iter().enumerate();
    let holding = holding.filter(|(index, check)| holds(*index, check));
    let best = holding.max_by_key(|(index, check)| (check.furthest(), std::cmp::Reverse(*index)));
    best.map_or(Found::None, |(index, _)| Found::Check(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(room: usize, offset: u64, text: &[u8]) -> Block {
        let mut bytes = vec![0; room];
        bytes.extend_from_slice(text);
        Block {
            first: room,
            last: bytes.len(),
            bytes,
            offset,
            ..Block::default()
        }
    }

    #[test]
    fn a_block_goes_on_with_what_is_left_of_the_one_before() {
        let before = block(4, 10, b"one\ntwo\nth");
        let mut next = block(4, 20, b"ree\n");
        next.continue_from(&before, 18);
        assert_eq!(next.offset, 18);
        assert_eq!(next.end_offset(), 24);
        assert_eq!(&next.bytes[next.first..next.last], b"three\n");
    }

    #[test]
    fn more_than_there_is_room_for_is_kept_too() {
        let before = block(2, 0, b"a long line");
        let mut next = block(2, 11, b" ends\n");
        next.continue_from(&before, 0);
        assert_eq!(next.offset, 0);
        assert_eq!(next.around(0), Some(b"a long line ends\n".as_slice()));
    }

    #[test]
    fn an_offset_that_is_not_reached_has_no_bytes() {
        let block = block(0, 5000, &[b'x'; 3000]);
        assert_eq!(block.around(8001), None);
        assert_eq!(block.around(8000).map(<[u8]>::len), Some(1024));
        assert_eq!(block.around(6024).map(<[u8]>::len), Some(3000));
        assert_eq!(block.around(6023), None, "its window lies before");
    }

    #[test]
    fn a_place_is_looked_at_where_its_window_is() {
        let text: Vec<u8> = (0..4000_u32).flat_map(u32::to_le_bytes).collect();
        let place = |offset: usize| (offset as u64, Marker::of_tail(&text[..offset]));
        let places = [place(100), place(7990), place(12_000)];
        let first = block(1024, 0, &text[..8000]);
        let mut second = block(1024, 8000, &text[8000..]);
        second.continue_from(&first, first.end_offset() - 1024);
        assert!(first.holds(&places) && second.holds(&places));
        let wrong = (12_000, Marker::of_tail(b"else"));
        assert!(first.holds(&[wrong]) && !second.holds(&[wrong]));
        let wrong = (
            7990,
            Marker {
                hash: 1,
                ..places[1].1
            },
        );
        assert!(
            !first.holds(&[wrong]),
            "where the next block has not all of its window"
        );
    }

    #[test]
    fn of_the_checks_that_hold_the_one_that_goes_furthest_is_it() {
        let check = |offset: u64| Check {
            places: vec![(offset, Marker::default())],
            from: offset,
        };
        let checks = [check(5), check(9), check(9), check(20)];
        assert_eq!(best(&checks, |index, _| index != 3), Found::Check(1));
        assert_eq!(best(&checks, |_, _| false), Found::None);
    }
}
