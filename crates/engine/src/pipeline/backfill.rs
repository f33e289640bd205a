//! One thread that reads files once: chain after chain, each file to its end before the next is opened.
//!
//! Nothing waits for a file here, so no time is taken: an unterminated last line is sent, and lines that
//! belong together go on in the next file of the chain or end with it. Nothing is read while a lane has no
//! room. A batch never holds lines of two chains, so that what was in flight when a run was killed is made
//! again by reading the same chain.

mod blocks;
mod meant;
mod opened;
mod redo;

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tailwater_failpoint::failpoint;
use tailwater_position_store::{FileKey, Position};
use tailwater_record::{BatchId, CursorId, FileId};
use tailwater_tailer::{Now, Waker};

use self::opened::OpenedFile;
use self::redo::Redo;
use super::lane::{Gate, Lane, Seal, Stamps, Taken};
use super::slot::Slot;
use super::staged::Workshop;
use super::way::Way;
use super::{Control, Replay, earlier, now};
use crate::backfill::{Board, ChainEntry, ReaderGuard};
use crate::checkpoint::Lookup;
use crate::desk::Desk;
use crate::engine::Ends;
use crate::ledger::Progress;
use crate::rate::Allowance;
use crate::route::Plan;
use crate::status::TailingStatus;

/// How often it is looked whether the lines of files that were read to their ends are acked.
const ACK_INTERVAL: Duration = Duration::from_millis(200);

/// What all threads of one backfill share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) board: Arc<Board>,
    pub(crate) lookup: Arc<Lookup>,
}

/// The thread.
#[derive(Debug)]
pub(crate) struct ChainReader {
    plan: Plan,
    desk: Arc<Desk>,
    control: Receiver<Control>,
    waker: Waker,
    tailing: Arc<Mutex<TailingStatus>>,
    shared: Shared,
    /// Dropped when there is nothing left to read.
    guard: Option<ReaderGuard>,
    slots: Vec<Slot>,
    /// The stages of each source and lane that has any.
    workshops: Vec<Workshop>,
    stamps: Stamps,
    redo: Redo,
    /// Tokens of the sources' rate limits, by the index of the source.
    allowances: Vec<Allowance>,
    shared_allowance: Allowance,
    scratch: Vec<u8>,
    /// When more may be read than came too fast.
    rate_deadline: Option<Instant>,
    /// What is left of the chain that is read.
    chain: Option<ChainEntry>,
    opened: Option<OpenedFile>,
    /// The content whose open groups of lines may go on in the next file of the chain.
    unfinished: Option<FileId>,
    /// Cursors at the ends of their files whose lines are not all acked.
    ended: Vec<Ended>,
    next_id: u64,
}

/// A cursor at the end of its file.
#[derive(Debug)]
struct Ended {
    cursor: CursorId,
    key: FileKey,
    name: Arc<str>,
    progress: Arc<Progress>,
    end: Position,
    /// It is noted that nothing follows: the next run need not decode the file to find that.
    is_noted: bool,
}

/// What a turn of a cursor came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There is more to frame.
    More,
    /// There may not be more now.
    Blocked,
    /// All that is there is framed.
    Done,
}

impl ChainReader {
    pub(crate) fn new(
        plan: Plan,
        desk: Arc<Desk>,
        control: Receiver<Control>,
        replay: Replay,
        Ends { waker, tailing }: Ends,
        shared: Shared,
        guard: ReaderGuard,
    ) -> Self {
        tailing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .scanned_workers = 1;
        let step = u64::from(plan.limits.shards) + 1;
        Self {
            stamps: Stamps {
                last: replay.last_timestamp(step),
                step,
                phase: u64::from(plan.limits.shard),
            },
            redo: Redo::new(replay),
            allowances: vec![Allowance::default(); plan.sources.len()],
            shared_allowance: Allowance::default(),
            next_id: u64::from(plan.limits.shard) << 48,
            plan,
            desk,
            control,
            waker,
            tailing,
            shared,
            guard: Some(guard),
            slots: Vec::new(),
            workshops: Vec::new(),
            scratch: Vec::new(),
            rate_deadline: None,
            chain: None,
            opened: None,
            unfinished: None,
            ended: Vec::new(),
        }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        while self.obey() {
            let now = now();
            self.rate_deadline = None;
            self.stamps.catch_up(now.unix_ns);
            let goes_on = self.step(now);
            self.seal_due(now.instant);
            self.note_ends();
            if !goes_on {
                self.waker.wait_for(None, self.timeout(now.instant));
            }
        }
        self.opened = None;
        (0..self.slots.len()).for_each(|index| self.seal(index));
        self.note_ends();
    }

    /// Carries out what it is told; returns whether to go on.
    fn obey(&self) -> bool {
        Control::obey_unchanging(&self.control)
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        let slots = self.slots.iter().enumerate();
        let slots = slots.filter(|(index, _)| !self.redo.is_under_way(*index));
        let next = slots
            .filter_map(|(_, slot)| slot.deadline())
            .chain(self.rate_deadline)
            .chain((!self.ended.is_empty()).then(|| now + ACK_INTERVAL))
            .min();
        next.map(|next| next.saturating_duration_since(now))
    }

    /// Does the next thing there is to do; returns whether there may be more without waiting.
    fn step(&mut self, now: Now) -> bool {
        let Some(opened) = &mut self.opened else {
            return self.open_next(now);
        };
        if !opened.is_started {
            let Some(found) = opened.blocks.found() else {
                return false;
            };
            self.start_file(found, now);
            return true;
        }
        let mut all = Turn::Done;
        let cursors = opened.cursors.len();
        for index in 0..cursors {
            match self.frame(index, now) {
                Turn::More => all = Turn::More,
                Turn::Blocked if all == Turn::Done => all = Turn::Blocked,
                Turn::Blocked | Turn::Done => {}
            }
        }
        match all {
            Turn::More => true,
            Turn::Blocked => false,
            Turn::Done => self.advance(),
        }
    }

    /// Goes on with the next block of the file, or ends it; returns whether there was one.
    fn advance(&mut self) -> bool {
        let Some(opened) = &mut self.opened else {
            return false;
        };
        if opened.blocks.block.end.is_some() {
            self.end_file();
            return true;
        }
        let has_more = opened.advance();
        if has_more && let Some(entry) = self.shared.board.files.get(opened.index) {
            entry.note_raw(opened.blocks.block.raw_offset);
        }
        has_more
    }

    /// Frames what is there for one cursor.
    fn frame(&mut self, index: usize, now: Now) -> Turn {
        if let Some(turn) = self.prepare(index) {
            return turn;
        }
        failpoint("read");
        let Some(taken) = self.take(index, now.instant) else {
            return Turn::Done;
        };
        let Some(opened) = &mut self.opened else {
            return Turn::Done;
        };
        let Some(tap) = opened.cursors.get_mut(index) else {
            return Turn::Done;
        };
        let lines = tap.lines;
        let turn = match taken {
            Taken::Whole if tap.is_span_over() => Turn::More,
            Taken::Whole => {
                tap.is_behind = false;
                Turn::Done
            }
            Taken::NoRoom => Turn::Blocked,
            Taken::TooFast(wait) => {
                self.rate_deadline = Some(earlier(self.rate_deadline, now.instant + wait));
                Turn::Blocked
            }
        };
        if let Some(entry) = self.shared.board.files.get(opened.index) {
            entry.note_lines(lines);
            entry.note_decoded(opened.offset());
        }
        turn
    }

    /// Sees to what comes before a cursor's next chunk. Returns what the turn came to, where that is all.
    fn prepare(&mut self, index: usize) -> Option<Turn> {
        let tap = self.opened.as_ref()?.cursors.get(index)?;
        if !tap.is_behind {
            return Some(Turn::Done);
        }
        let Some(end) = self.plan.lane(tap.route.cursor.sink) else {
            return Some(Turn::Done);
        };
        let may_send = self.desk.positions.may_send(tap.route.content_number);
        if !may_send || !end.outlet.queue.has_room() {
            return Some(Turn::Blocked);
        }
        let turn = self.prepare_redo(index);
        if turn.is_none() {
            self.join(index);
        }
        turn
    }

    /// Lets the first lines of a file join the open groups of the one before it.
    fn join(&mut self, index: usize) {
        let Some(opened) = &mut self.opened else {
            return;
        };
        let Some(tap) = opened.cursors.get_mut(index) else {
            return;
        };
        if opened.blocks.block.end_offset() == 0 {
            return;
        }
        let workshop = tap.route.workshop.and_then(|at| self.workshops.get_mut(at));
        if let (Some(before), Some(workshop)) = (tap.joins.take(), workshop) {
            workshop.hand_over(before, opened.content);
        }
    }

    /// Frames the chunk that one cursor is at; returns what it came to.
    fn take(&mut self, index: usize, now: Instant) -> Option<Taken> {
        let opened = self.opened.as_mut()?;
        let source = self.plan.sources.get(opened.source)?;
        let tap = opened.cursors.get_mut(index)?;
        let Some(chunk) = tap.chunk(&opened.blocks.block) else {
            tap.is_behind = false;
            return None;
        };
        let is_replay = tap.redo.is_some();
        let own = Gate {
            limiter: source.rate_limiter.as_deref().filter(|_| !is_replay),
            allowance: self.allowances.get_mut(opened.source)?,
        };
        let shared = self.plan.shared_limiter.as_deref();
        let shared = Gate {
            limiter: shared.filter(|_| !is_replay),
            allowance: &mut self.shared_allowance,
        };
        let way = Way {
            lane: Lane {
                slot: self.slots.get_mut(tap.route.batch)?,
                route: &tap.route,
                stamps: match &mut tap.redo {
                    Some(span) => &mut span.stamps,
                    None => &mut self.stamps,
                },
                own,
                shared,
                seal: Seal {
                    end: self.plan.lane(tap.route.cursor.sink)?,
                    desk: &self.desk,
                    now,
                    is_replay,
                },
            },
            file: opened.content.0,
            workshop: tap.route.workshop.and_then(|at| self.workshops.get_mut(at)),
            source,
            encoding: opened.encoding,
            frame: &mut tap.frame,
            scratch: &mut self.scratch,
        };
        let passed = way.take(&chunk);
        tap.offset = passed.offset;
        tap.marker = chunk.marker_at(tap.offset);
        tap.lines += passed.lines;
        Some(passed.taken)
    }

    fn seal_due(&mut self, now: Instant) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            // A batch that is made again is sealed where it was.
            if !self.redo.is_under_way(index) {
                slot.seal_if_due(&self.plan, &self.desk, now);
            }
        }
    }

    fn seal(&mut self, index: usize) {
        self.seal_as(index, None);
    }

    /// Seals the batch of a lane, under the number it had where it has been made again.
    fn seal_as(&mut self, index: usize, id: Option<BatchId>) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if let Some(end) = self.plan.lane(slot.sink) {
            slot.seal(end, &self.desk, id, now().instant);
        }
    }

    /// Sends the open groups that waited for the next file of the chain: none goes on in it.
    fn finish_groups(&mut self) {
        let Some(content) = self.unfinished.take() else {
            return;
        };
        for workshop in 0..self.workshops.len() {
            self.finish_groups_of(workshop, content);
        }
        for slot in 0..self.slots.len() {
            self.seal_if_redone(slot);
        }
    }

    fn finish_groups_of(&mut self, workshop: usize, content: FileId) {
        let Some(workshop) = self.workshops.get_mut(workshop) else {
            return;
        };
        let sink = workshop.sink;
        let mut slots = self.slots.iter_mut().enumerate();
        let slot = slots.find(|(_, slot)| slot.sink == sink);
        if let (Some((index, slot)), Some(end)) = (slot, self.plan.lane(sink)) {
            let seal = Seal {
                end,
                desk: &self.desk,
                now: now().instant,
                is_replay: self.redo.is_under_way(index),
            };
            workshop.finish(slot, content, seal);
        }
    }

    /// Notes beside the positions of archives that they are their ends, once all of their lines are
    /// acked, and lets go of the cursors.
    fn note_ends(&mut self) {
        let desk = &self.desk;
        self.ended.retain(|ended| {
            if ended.progress.acked_offset() < ended.end.offset {
                return true;
            }
            if ended.is_noted {
                // Whoever settles what was acked last is past moving the position.
                let _cut = desk.cut();
                desk.positions.remember(ended.key, &ended.name, ended.end);
            }
            desk.ledger.close(ended.cursor);
            desk.positions.release(ended.key);
            false
        });
    }
}
