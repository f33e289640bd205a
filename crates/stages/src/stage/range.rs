//! Lines of another time than is asked for, which end here: the last stage of a backfill.

use std::ops::Range;

use tailwater_record::TimestampNs;

use crate::draft::Draft;
use crate::program::{Flow, ReasonId};

#[derive(Clone, Debug)]
pub(crate) struct TimeRange {
    wanted: Range<TimestampNs>,
    reason: ReasonId,
}

impl TimeRange {
    pub(crate) fn new(wanted: Range<TimestampNs>, reason: ReasonId) -> Self {
        Self { wanted, reason }
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &Draft<'_>) -> Flow {
        if self.wanted.contains(&draft.timestamp) {
            Flow::Next
        } else {
            Flow::Drop(self.reason)
        }
    }
}
