//! The stages as a list of operations; nested stages stand in it as well, behind a jump.

use std::collections::HashMap;
use std::sync::Arc;

use tailwater_record::{FileId, LabelSet, TimestampNs};

use crate::draft::{Buffers, Draft, Slot, Value};
use crate::group::{Group, Groups};
use crate::inspect::Inspected;
use crate::interner::{Interner, Memo};
use crate::registry::Registry;
use crate::stage;

/// Names of extracted values that any stage speaks of; a value of another name is never seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    slots: HashMap<Box<str>, Slot>,
}

impl Names {
    /// Returns the slot of a name, which is made where there is none.
    pub(crate) fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        // Whether `x` is taken decides what becomes of `x_extracted` in `eventlogmessage`.
        if let Some(base) = name.strip_suffix("_extracted") {
            self.slot(base);
        }
        let slot = Slot(self.slots.len());
        self.slots.insert(name.into(), slot);
        slot
    }

    /// Returns the slot of a name, if any stage speaks of it.
    pub(crate) fn find(&self, name: &str) -> Option<Slot> {
        self.slots.get(name).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns all names with their slots, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Slot)> {
        self.slots.iter().map(|(name, slot)| (&**name, *slot))
    }
}

/// The index of a reason for dropping lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReasonId(pub(crate) usize);

/// Why lines are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) name: Box<str>,
    /// Whether Promtail counts it in `logentry_dropped_lines_total`.
    pub(crate) is_counted: bool,
}

/// What becomes of a draft after an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next operation.
    Next,
    /// The operation at an index.
    Jump(usize),
    /// It is dropped.
    Drop(ReasonId),
    /// The operation holds it.
    Hold,
}

/// Labels, and the values of those that a stage speaks of.
type Seeds = (LabelSet, Vec<(Slot, Box<str>)>);

/// Rooms for lines that are kept for the groups that follow.
const MAX_SPARE_LINES: usize = 4;

/// The largest of them.
const MAX_SPARE_LINE_BYTES: usize = 64 << 10;

/// What the operations of a worker share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) names: Arc<Names>,
    pub(crate) interner: Interner,
    /// Groups that the last operation released; they go on behind it.
    pub(crate) released: Vec<Group>,
    pub(crate) spare_buffers: Vec<Buffers>,
    /// Room for the lines of a group, of groups that were sent.
    spare_lines: Vec<Vec<u8>>,
    /// The tenant of the record that is given.
    pub(crate) tenant: String,
    /// The labels of the last record with a tenant, and what they are without it.
    pub(crate) without_tenant: Memo,
    /// Until when the reader should wait, by a `limit` that does not drop.
    pub(crate) paused_until: Option<TimestampNs>,
    /// The labels that were last seeded, and the values they gave.
    seeds: Option<Seeds>,
}

impl Shop {
    pub(crate) fn new(names: Arc<Names>, max_label_bytes: usize) -> Self {
        Self {
            names,
            interner: Interner::new(max_label_bytes),
            released: Vec::new(),
            spare_buffers: Vec::new(),
            spare_lines: Vec::new(),
            tenant: String::new(),
            without_tenant: Memo::default(),
            paused_until: None,
            seeds: None,
        }
    }

    /// Takes back the room of a group that was sent.
    pub(crate) fn recycle(&mut self, group: Group) {
        let mut line = group.line;
        if self.spare_lines.len() < MAX_SPARE_LINES && line.capacity() <= MAX_SPARE_LINE_BYTES {
            line.clear();
            self.spare_lines.push(line);
        }
    }

    /// Returns room for the lines of a group that begins.
    pub(crate) fn spare_line(&mut self) -> Vec<u8> {
        self.spare_lines.pop().unwrap_or_default()
    }

    /// Sets the extracted values that have the name of a label, as at the start of every pipeline.
    #[inline(never)]
    fn seed(&mut self, draft: &mut Draft<'_>) {
        if !draft.has_first_labels() {
            return draft.seed(&self.names);
        }
        let labels = draft.labels();
        if !matches!(&self.seeds, Some((seeded, _)) if seeded.is_same(labels)) {
            let find = |(name, value): (&str, &str)| Some((self.names.find(name)?, value.into()));
            let values = labels.iter().filter_map(find).collect();
            self.seeds = Some((labels.clone(), values));
        }
        for (slot, value) in self.seeds.iter().flat_map(|(_, values)| values) {
            let text = draft.keep(value.as_bytes());
            draft.set(*slot, Value::Text(text));
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Seed,
    CriFields(stage::cri::CriFields),
    CriJoin(stage::cri::CriJoin),
    Regex(stage::regex::Regex),
    Json(Box<stage::json::Json>),
    Logfmt(stage::logfmt::Logfmt),
    Replace(Box<stage::replace::Replace>),
    Template(stage::template::Template),
    Timestamp(Box<stage::timestamp::Timestamp>),
    Output(Slot),
    Labels(stage::labels::Labels),
    Relabel(stage::labels::Relabel),
    StructuredMetadata(stage::labels::StructuredMetadata),
    Metrics(stage::metrics::Metrics),
    Tenant(stage::tenant::Tenant),
    Match(stage::matching::Match),
    Multiline(Box<stage::multiline::Multiline>),
    Pack(stage::pack::Pack),
    Limit(stage::limit::Limit),
    Sampling(stage::sampling::Sampling),
    Drop(Box<stage::drop::Drop>),
    Decolorize(stage::decolorize::Decolorize),
    EventLogMessage(stage::eventlogmessage::EventLogMessage),
    GeoIp(stage::geoip::GeoIp),
    Truncate(stage::truncate::Truncate),
    Level(stage::level::Level),
    TimeRange(stage::range::TimeRange),
    /// Another one, looked at.
    Inspected(Box<Inspected>),
}

impl Op {
    /// Does it to a draft.
    ///
    /// The stages are not inlined: with all of them in one function, each line would pay for the frame of
    /// the largest at every step.
    #[inline]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>, shop: &mut Shop) -> Flow {
        match self {
            Self::Seed => shop.seed(draft),
            Self::CriFields(stage) => stage.apply(draft),
            Self::CriJoin(stage) => return stage.apply(draft, shop),
            Self::Regex(stage) => stage.apply(draft),
            Self::Json(stage) => return stage.apply(draft),
            Self::Logfmt(stage) => stage.apply(draft),
            Self::Replace(stage) => stage.apply(draft),
            Self::Template(stage) => stage.apply(draft),
            Self::Timestamp(stage) => stage.apply(draft),
            Self::Output(source) => {
                if let Some(text) = draft.text(*source) {
                    draft.line = text;
                }
            }
            Self::Labels(stage) => stage.apply(draft, shop),
            Self::Relabel(stage) => stage.apply(draft, shop),
            Self::StructuredMetadata(stage) => stage.apply(draft, shop),
            Self::Metrics(stage) => stage.apply(draft, shop),
            Self::Tenant(stage) => stage.apply(draft, shop),
            Self::Match(stage) => return stage.apply(draft),
            Self::Multiline(stage) => return stage.apply(draft, shop),
            Self::Pack(stage) => stage.apply(draft, shop),
            Self::Limit(stage) => return stage.apply(draft, shop),
            Self::Sampling(stage) => return stage.apply(draft),
            Self::Drop(stage) => return stage.apply(draft),
            Self::TimeRange(stage) => return stage.apply(draft),
            Self::Decolorize(stage) => stage.apply(draft),
            Self::GeoIp(stage) => stage.apply(draft, shop),
            Self::Truncate(stage) => stage.apply(draft),
            Self::Level(stage) => stage.apply(draft),
            Self::EventLogMessage(stage) => return stage.apply(draft, shop),
            Self::Inspected(stage) => return stage.apply(draft, shop),
        }
        Flow::Next
    }

    /// Itself, or the one that is looked at.
    fn inner(&self) -> &Self {
        if let Self::Inspected(inspected) = self {
            return &inspected.op;
        }
        self
    }

    fn inner_mut(&mut self) -> &mut Self {
        if let Self::Inspected(inspected) = self {
            return &mut inspected.op;
        }
        self
    }

    /// The groups that it holds, if it is an operation that holds any.
    fn groups_mut(&mut self) -> Option<&mut Groups> {
        let op = self.inner_mut();
        if let Self::CriJoin(stage) = op {
            return Some(&mut stage.groups);
        }
        if let Self::Multiline(stage) = op {
            return Some(&mut stage.groups);
        }
        None
    }

    /// The groups that it holds, if it is an operation that holds any.
    pub(crate) fn groups(&self) -> Option<&Groups> {
        if let Self::CriJoin(stage) = self.inner() {
            return Some(&stage.groups);
        }
        if let Self::Multiline(stage) = self.inner() {
            return Some(&stage.groups);
        }
        None
    }

    /// Returns whether it sets the time of a record.
    pub(crate) fn sets_time(&self) -> bool {
        matches!(self.inner(), Self::Timestamp(_))
    }

    /// Says whether lines count in the registry.
    pub(crate) fn set_metrics(&mut self, are_counted: bool) {
        if let Self::Metrics(stage) = self.inner_mut() {
            stage.are_counted = are_counted;
        }
        if let Self::Truncate(stage) = self.inner_mut() {
            stage.are_counted = are_counted;
        }
        if let Self::Limit(stage) = self.inner_mut() {
            stage.set_metrics(are_counted);
        }
    }

    /// Lets no group end for the time that passes.
    pub(crate) fn set_patient(&mut self) {
        if let Self::Multiline(stage) = self.inner_mut() {
            stage.set_patient();
        }
    }

    /// Gives it the registry that all operations share, once that is complete.
    pub(crate) fn share_registry(&mut self, registry: &Arc<Registry>) {
        if let Self::Metrics(stage) = self.inner_mut() {
            stage.registry = Arc::clone(registry);
        }
        if let Self::Limit(stage) = self.inner_mut() {
            stage.registry = Arc::clone(registry);
        }
        if let Self::Truncate(stage) = self.inner_mut() {
            stage.registry = Arc::clone(registry);
        }
    }

    /// Releases the groups whose last line is too long ago.
    pub(crate) fn expire(&mut self, now: TimestampNs, released: &mut Vec<Group>) {
        if let Self::Multiline(stage) = self.inner_mut() {
            stage.expire(now, released);
        }
    }

    /// Releases the groups of a file, and forgets its streams.
    pub(crate) fn finish(&mut self, file: FileId, released: &mut Vec<Group>) {
        if let Some(groups) = self.groups_mut() {
            groups.release_where(|key| key.file == file, released);
        }
        if let Self::Timestamp(stage) = self.inner_mut() {
            stage.forget(file);
        }
    }

    /// Forgets a file, and the groups that are open in it.
    pub(crate) fn forget(&mut self, file: FileId) {
        if let Some(groups) = self.groups_mut() {
            groups.forget(file);
        }
        if let Self::Timestamp(stage) = self.inner_mut() {
            stage.forget(file);
        }
    }

    /// Lets the groups of a file go on in another one.
    pub(crate) fn hand_over(&mut self, from: FileId, to: FileId) {
        if let Some(groups) = self.groups_mut() {
            groups.hand_over(from, to);
        }
        if let Self::Timestamp(stage) = self.inner_mut() {
            stage.hand_over(from, to);
        }
    }
}
