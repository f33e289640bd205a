//! What each stage does to a record, for people who write stages. Slow: nothing of it is in the way of
//! stages that nobody inspects.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::draft::{Draft, Value};
use crate::program::{Flow, Op, Shop};

/// Something of a record that a stage has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is, as Promtail names it: `Entry.Labels["level"]`, `Extracted["level"]`, ….
    pub what: String,
    /// What it was; `None` where it was not there. Bytes that are not UTF-8 are replaced.
    pub before: Option<String>,
    /// What it is now; `None` where it is gone.
    pub after: Option<String>,
}

/// What becomes of a record behind a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    GoesOn,
    /// It is dropped.
    IsDropped,
    /// It waits for further lines.
    IsHeld,
}

/// Who looks at what stages do.
pub trait Inspector: Send + Sync + std::fmt::Debug {
    /// Is told what a stage has done to a record; nothing where `changes` is empty.
    fn step(&self, stage: &str, changes: &[Change], fate: Fate);
}

/// An operation that is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Inspected {
    pub(crate) op: Op,
    stage: &'static str,
    inspector: Arc<dyn Inspector>,
}

impl Op {
    /// Lets it be looked at, if it is what people call a stage.
    pub(crate) fn inspected(&self, inspector: &Arc<dyn Inspector>) -> Self {
        let op = self.clone();
        let Some(stage) = self.stage_name() else {
            return op;
        };
        Self::Inspected(Box::new(Inspected {
            op,
            stage,
            inspector: Arc::clone(inspector),
        }))
    }

    /// The name of the stage that it is; `None` where it is a part of one.
    fn stage_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Seed | Self::TimeRange(_) | Self::Inspected(_) => return None,
            Self::CriFields(_) | Self::CriJoin(_) => "cri",
            Self::Regex(_) => "regex",
            Self::Json(_) => "json",
            Self::Logfmt(_) => "logfmt",
            Self::Replace(_) => "replace",
            Self::Template(_) => "template",
            Self::Timestamp(_) => "timestamp",
            Self::Output(_) => "output",
            Self::Labels(_) => "labels",
            Self::Relabel(stage) => stage.name(),
            Self::StructuredMetadata(_) => "structured_metadata",
            Self::Metrics(_) => "metrics",
            Self::Tenant(_) => "tenant",
            Self::Match(_) => "match",
            Self::Multiline(_) => "multiline",
            Self::Pack(_) => "pack",
            Self::Limit(_) => "limit",
            Self::Sampling(_) => "sampling",
            Self::Drop(_) => "drop",
            Self::Decolorize(_) => "decolorize",
            Self::EventLogMessage(_) => "eventlogmessage",
            Self::GeoIp(_) => "geoip",
            Self::Truncate(_) => "truncate",
            Self::Level(_) => "level",
        })
    }
}

impl Inspected {
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>, shop: &mut Shop) -> Flow {
        let before = View::of(draft, shop);
        let flow = self.op.apply(draft, shop);
        let fate = match flow {
            Flow::Next | Flow::Jump(_) => Fate::GoesOn,
            Flow::Drop(_) => Fate::IsDropped,
            Flow::Hold => Fate::IsHeld,
        };
        let changes = before.changes_to(&View::of(draft, shop));
        self.inspector.step(self.stage, &changes, fate);
        flow
    }
}

/// All of a record that can be seen, by name.
struct View(BTreeMap<String, String>);

impl View {
    fn of(draft: &Draft<'_>, shop: &Shop) -> Self {
        let mut all = BTreeMap::new();
        all.insert("Entry.Entry.Line".to_owned(), lossy(draft.line_bytes()));
        let time = Timestamp::from_nanosecond(i128::from(draft.timestamp.0));
        let time = time.map_or_else(|_| draft.timestamp.0.to_string(), |time| time.to_string());
        all.insert("Entry.Entry.Timestamp".to_owned(), time);
        if let Some(severity) = draft.severity {
            all.insert("Severity".to_owned(), severity.to_string());
        }
        for (name, value) in draft.labels().iter() {
            all.insert(format!("Entry.Labels[{name:?}]"), value.to_owned());
        }
        for (name, value) in draft.metadata() {
            let what = format!("Entry.Entry.StructuredMetadata[{name:?}]");
            all.insert(what, value.to_owned());
        }
        for (name, slot) in shop.names.iter() {
            let value = match draft.value(slot) {
                Value::Missing => continue,
                Value::Nil => "<nil>".to_owned(),
                Value::Text(text) => lossy(draft.bytes(text)),
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
            };
            all.insert(format!("Extracted[{name:?}]"), value);
        }
        Self(all)
    }

    fn changes_to(&self, after: &Self) -> Vec<Change> {
        let gone = self.0.keys().filter(|what| !after.0.contains_key(*what));
        let mut all: Vec<&String> = gone.chain(after.0.keys()).collect();
        all.sort_unstable();
        let changes = all.into_iter().map(|what| Change {
            what: what.clone(),
            before: self.0.get(what).cloned(),
            after: after.0.get(what).cloned(),
        });
        changes
            .filter(|change| change.before != change.after)
            .collect()
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
