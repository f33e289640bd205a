//! `match`: stages for the lines that a selector chooses, or their end.

use crate::draft::Draft;
use crate::program::{Flow, ReasonId};
use crate::selector::Selector;

#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub(crate) selector: Selector,
    pub(crate) action: Action,
}

/// What becomes of lines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Those that are not chosen go on behind the nested stages.
    Nested { behind: usize },
    /// Those that are chosen are dropped.
    Drop(ReasonId),
}

impl Match {
    #[inline(never)]
    pub(crate) fn apply(&self, draft: &Draft<'_>) -> Flow {
        match (self.selector.chooses(draft), self.action) {
            (true, Action::Drop(reason)) => Flow::Drop(reason),
            (false, Action::Nested { behind }) => Flow::Jump(behind),
            (true, Action::Nested { .. }) | (false, Action::Drop(_)) => Flow::Next,
        }
    }
}
