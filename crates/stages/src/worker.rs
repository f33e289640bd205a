//! The stages of one pipeline thread.

use std::sync::Arc;

use tailwater_record::{FileId, LabelSet, RecordView, Severity, Span, TimestampNs};

use crate::compile::Program;
use crate::draft::{Draft, PartsRef, Start, retained};
use crate::group::{Group, Groups};
use crate::program::{Flow, Op, Reason, ReasonId, Shop};

/// The label that holds the tenant until the record leaves the stages.
pub(crate) const TENANT_LABEL: &str = "__tenant_id__";

/// Pairs of structured metadata that are handed over without an allocation.
const FEW_PAIRS: usize = 16;

/// A line as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The file, for the state that is kept for it.
    pub file: FileId,
    /// What names the file across restarts, such as a hash of its fingerprint: with the offset it
    /// decides what `sampling` keeps, so that a replay decides alike.
    pub seed: u64,
    /// Where the line stands, its delimiter included.
    pub span: Span,
    /// The line without its delimiter; any bytes.
    pub line: &'a [u8],
    /// When the line was read: its time where no stage sets one, and `now` for the stages.
    pub timestamp: TimestampNs,
    /// The labels of the file.
    pub labels: &'a LabelSet,
}

/// The bytes of one file that a record stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The file.
    pub file: FileId,
    /// From the first byte of the first line to the end of the last one. Groups of several streams
    /// of one file can stand between each other's lines: such spans overlap, and only
    /// [`Worker::held_from`] says how far the file is done.
    pub span: Span,
}

/// Where an open group starts in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The first byte of its first line in that file.
    pub start: u64,
    /// When that line was read: its [`Entry::timestamp`], which it needs again where it is read
    /// again, so that the record has the same time.
    pub read_at: TimestampNs,
}

/// A record that leaves the stages.
#[derive(Clone, Copy, Debug)]
pub struct Processed<'a> {
    /// The line; any bytes.
    pub line: &'a [u8],
    /// Its time.
    pub timestamp: TimestampNs,
    /// The labels, without `__tenant_id__`; equal ones of a worker are mostly the same set.
    pub labels: &'a LabelSet,
    /// Structured metadata, in the order in which it was set.
    pub metadata: &'a [(&'a str, &'a str)],
    /// The severity that a stage set.
    pub severity: Option<Severity>,
    /// The tenant that a stage set.
    pub tenant: Option<&'a str>,
    /// The bytes it stands for; one part, or two where a group began before a rotation.
    pub parts: &'a [Part],
    /// How many lines it stands for.
    pub lines: u64,
}

impl<'a> Processed<'a> {
    /// Returns the record as an encoder takes it, with the span of its first part.
    pub fn view(&self) -> RecordView<'a> {
        RecordView {
            line: self.line,
            span: self
                .parts
                .first()
                .map_or(Span { start: 0, end: 0 }, |part| part.span),
            timestamp: self.timestamp,
            labels: self.labels,
            severity: self.severity,
            metadata: self.metadata,
        }
    }
}

/// Lines that a stage dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped<'a> {
    /// The reason that they are counted under.
    pub reason: &'a str,
    /// Whether Promtail counts them, in `logentry_dropped_lines_total`; ours are always counted.
    pub is_counted_by_promtail: bool,
    /// The bytes they were.
    pub parts: &'a [Part],
    /// How many lines they were.
    pub lines: u64,
}

/// What became of lines.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// They left the stages as a record.
    Record(Processed<'a>),
    /// They were dropped.
    Dropped(Dropped<'a>),
}

type Emit<'e> = dyn FnMut(Outcome<'_>) + 'e;

/// The stages of one pipeline thread, with what they keep from line to line.
#[derive(Debug)]
pub struct Worker {
    program: Arc<Program>,
    ops: Vec<Op>,
    shop: Shop,
}

impl Worker {
    pub(crate) fn new(program: Arc<Program>, ops: Vec<Op>) -> Self {
        let shop = Shop::new(Arc::clone(&program.names), program.limits.max_label_bytes);
        Self { program, ops, shop }
    }

    /// Takes a line, and gives what became of it and of those that waited for it.
    ///
    /// Nothing is given for a line that opens or continues a group: it is held.
    pub fn process(&mut self, entry: &Entry<'_>, emit: &mut Emit<'_>) {
        let part = Part {
            file: entry.file,
            span: entry.span,
        };
        let mut buffers = self.shop.spare_buffers.pop().unwrap_or_default();
        buffers.clear(self.program.names.len());
        let start = Start {
            line: entry.line,
            labels: entry.labels,
            timestamp: entry.timestamp,
            now: entry.timestamp,
            seed: entry.seed,
            parts: PartsRef {
                parts: std::slice::from_ref(&part),
                read_at: std::slice::from_ref(&entry.timestamp),
            },
            lines: 1,
            severity: None,
        };
        let draft = Draft::new(start, buffers);
        self.run(0, draft, emit);
    }

    /// Gives the groups whose `max_wait_time` is over.
    pub fn flush(&mut self, now: TimestampNs, emit: &mut Emit<'_>) {
        self.release(emit, |op, released| op.expire(now, released));
    }

    /// Gives the open groups of a file that has come to its end, and forgets the file: lines that
    /// are read from it afterwards meet no group and no `timestamp` fudge of those before, as after
    /// a restart. What is kept of all files together stays: the tokens of `limit`, and the count of
    /// streams that `cri` releases at.
    ///
    /// Not for a stop of the agent: what is held then is read again, from [`Worker::held_from`].
    pub fn finish(&mut self, file: FileId, emit: &mut Emit<'_>) {
        self.release(emit, |op, released| op.finish(file, released));
    }

    /// Forgets a file and the groups that are open in it, as when it is read again from there.
    ///
    /// A group that was handed over to it goes as well, with the lines of the file before: that has
    /// to be read again too.
    pub fn forget(&mut self, file: FileId) {
        self.ops.iter_mut().for_each(|op| op.forget(file));
    }

    /// Lets the open groups of a rotated file go on with the first lines of the next one.
    ///
    /// It is for the time before the next file's first line: a stream that has begun there already
    /// takes nothing over, and [`Worker::finish`] gives what the rotated file holds of it.
    pub fn hand_over(&mut self, from: FileId, to: FileId) {
        self.ops.iter_mut().for_each(|op| op.hand_over(from, to));
    }

    /// Returns the first byte of a file that an open group holds: the position must not pass it.
    pub fn held_from(&self, file: FileId) -> Option<u64> {
        let held = self.ops.iter().filter_map(Op::groups);
        held.filter_map(|groups| groups.held_from(file)).min()
    }

    /// Gives where each open group starts in a file, in no particular order.
    ///
    /// A group that began in the file before a rotation starts in the next one as well, once a line
    /// of that was joined to it.
    pub fn held(&self, file: FileId, each: &mut dyn FnMut(Held)) {
        let held = self.ops.iter().filter_map(Op::groups);
        held.for_each(|groups| groups.held(file, each));
    }

    /// Returns whether any group is open, of any file; it costs a look at each stage.
    pub fn holds_any(&self) -> bool {
        let mut held = self.ops.iter().filter_map(Op::groups);
        held.any(Groups::holds_any)
    }

    /// Says whether lines count in the registry, as they do from the start.
    ///
    /// `false` is for lines that were counted before: those of a replay, or those that a second
    /// sink reads again. `metrics` and `truncate` then record nothing, and `limit` keeps tokens of its own, full
    /// ones, so that it takes none from the rate of the others.
    pub fn set_metrics(&mut self, are_counted: bool) {
        let ops = self.ops.iter_mut();
        ops.for_each(|op| op.set_metrics(are_counted));
    }

    /// Lets groups end by their lines alone, whatever time passes between them: for files that were written
    /// before they are read, where that time says nothing of the lines.
    pub fn set_patient(&mut self) {
        self.ops.iter_mut().for_each(Op::set_patient);
    }

    /// Returns until when a `limit` that does not drop wants no further line; it is given once.
    ///
    /// The line that was one too many has left the stages: the wait keeps the rate, not the order.
    pub fn take_pause(&mut self) -> Option<TimestampNs> {
        self.shop.paused_until.take()
    }

    /// Sends the groups that each operation releases through those behind it, the first one first.
    fn release(&mut self, emit: &mut Emit<'_>, mut by: impl FnMut(&mut Op, &mut Vec<Group>)) {
        for index in 0..self.ops.len() {
            let mut released = std::mem::take(&mut self.shop.released);
            if let Some(op) = self.ops.get_mut(index) {
                by(op, &mut released);
            }
            self.send_groups(index + 1, released, emit);
        }
    }

    fn send_groups(&mut self, from: usize, mut groups: Vec<Group>, emit: &mut Emit<'_>) {
        for group in groups.drain(..) {
            let buffers = self.shop.spare_buffers.pop().unwrap_or_default();
            self.run(from, group.draft(buffers), emit);
            self.shop.recycle(group);
        }
        // The list is kept for its room.
        if self.shop.released.is_empty() {
            self.shop.released = groups;
        }
    }

    /// Runs the operations from an index on.
    fn run(&mut self, from: usize, mut draft: Draft<'_>, emit: &mut Emit<'_>) {
        let mut index = from;
        while let Some(op) = self.ops.get_mut(index) {
            let flow = op.apply(&mut draft, &mut self.shop);
            if !self.shop.released.is_empty() {
                let released = std::mem::take(&mut self.shop.released);
                self.send_groups(index + 1, released, emit);
            }
            match flow {
                Flow::Next => index += 1,
                Flow::Jump(to) => index = to,
                Flow::Drop(reason) => {
                    self.drop_lines(reason, &draft, emit);
                    self.shop.spare_buffers.push(draft.buffers);
                    return;
                }
                Flow::Hold => {
                    self.shop.spare_buffers.push(draft.buffers);
                    return;
                }
            }
        }
        self.give(&mut draft, emit);
        self.shop.spare_buffers.push(draft.buffers);
    }

    fn drop_lines(&self, reason: ReasonId, draft: &Draft<'_>, emit: &mut Emit<'_>) {
        let Some(Reason { name, is_counted }) = self.program.reasons.get(reason.0) else {
            return;
        };
        emit(Outcome::Dropped(Dropped {
            reason: name,
            is_counted_by_promtail: *is_counted,
            parts: draft.parts(),
            lines: draft.lines,
        }));
    }

    fn give(&mut self, draft: &mut Draft<'_>, emit: &mut Emit<'_>) {
        let tenant = &mut self.shop.tenant;
        tenant.clear();
        let has_tenant = draft
            .label(TENANT_LABEL)
            .map(|label| tenant.push_str(label))
            .is_some();
        if has_tenant {
            let Shop {
                without_tenant,
                interner,
                ..
            } = &mut self.shop;
            let labels = without_tenant.get(draft.labels(), |labels| {
                let kept = retained(labels, interner, |name| name != TENANT_LABEL);
                kept.unwrap_or_else(|| labels.clone())
            });
            draft.set_labels(labels);
        }
        let mut few = [("", ""); FEW_PAIRS];
        let mut many = Vec::new();
        let count = draft.buffers.metadata.len();
        let metadata: &[(&str, &str)] = if count == 0 {
            &[]
        } else if let Some(few) = few.get_mut(..count) {
            few.iter_mut()
                .zip(draft.metadata())
                .for_each(|(place, pair)| *place = pair);
            few
        } else {
            many.extend(draft.metadata());
            &many
        };
        emit(Outcome::Record(Processed {
            line: draft.line_bytes(),
            timestamp: draft.timestamp,
            labels: draft.labels(),
            metadata,
            severity: draft.severity,
            // An empty one names nobody, and no backend takes it.
            tenant: Some(self.shop.tenant.as_str()).filter(|tenant| !tenant.is_empty()),
            parts: draft.parts(),
            lines: draft.lines,
        }));
    }
}
