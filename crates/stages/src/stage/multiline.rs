//! `multiline`: lines joined into one record.

use tailwater_record::TimestampNs;

use crate::MultilineConfig;
use crate::draft::Draft;
use crate::error::Fault;
use crate::go::duration::parse_ns;
use crate::group::{Group, Groups, Join, StreamKey};
use crate::limits::Limits;
use crate::pattern::Pattern;
use crate::program::{Flow, Shop};

const DEFAULT_MAX_WAIT_NS: u64 = 3_000_000_000;
const DEFAULT_MAX_LINES: u64 = 128;

#[derive(Clone, Debug)]
pub(crate) struct Multiline {
    first_line: Pattern,
    heading: Option<Pattern>,
    max_wait_ns: u64,
    /// 0: no limit.
    max_lines: u64,
    /// One for each stream that ever had a first line; without lines where none is open.
    pub(crate) groups: Groups,
}

impl Multiline {
    /// Compiles the settings; a fault comes with the name of its key.
    pub(crate) fn new(
        config: &MultilineConfig,
        limits: Limits,
    ) -> Result<Self, (&'static str, Fault)> {
        let max_wait_ns = match &config.max_wait_time {
            None => DEFAULT_MAX_WAIT_NS,
            Some(text) => parse_ns(text).ok_or_else(|| {
                let fault =
                    Fault::new(format!("`{text}` is no duration"), "write one such as `3s`");
                ("max_wait_time", fault)
            })?,
        };
        Ok(Self {
            first_line: Pattern::new(&config.firstline).map_err(|fault| ("firstline", fault))?,
            heading: config
                .heading
                .as_deref()
                .map(Pattern::new)
                .transpose()
                .map_err(|fault| ("heading", fault))?,
            max_wait_ns,
            max_lines: config.max_lines.unwrap_or(DEFAULT_MAX_LINES),
            groups: Groups::new(limits),
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>, shop: &mut Shop) -> Flow {
        let Some(part) = draft.parts().last() else {
            return Flow::Next;
        };
        let line = draft.line_bytes();
        let is_heading = self.heading.as_ref().is_some_and(|p| p.is_match(line));
        let can_start = is_heading || self.first_line.is_match(line);
        if !can_start && self.groups.is_empty() {
            return Flow::Next;
        }
        let key = StreamKey {
            file: part.file,
            labels: draft.labels().clone(),
        };
        let group = self.groups.get(&key);
        let is_headed = group.is_some_and(|group| group.is_headed && !self.is_over(group, draft));
        let is_first = is_heading || (can_start && !is_headed);
        match (group, is_first) {
            // Lines before the first start of a stream stay alone.
            (None, false) => return Flow::Next,
            (_, true) => {
                shop.released.extend(self.groups.release(&key));
                self.groups.open(&key, draft, || shop.spare_line());
            }
            (Some(group), false) => {
                if self.is_over(group, draft) {
                    shop.released.extend(self.groups.release(&key));
                }
            }
        }
        let join = Join {
            separator: b"\n",
            max_line_bytes: None,
        };
        let joined = self.groups.join(&key, draft, join, &mut shop.released);
        if is_heading {
            self.groups.set_headed(&key);
        }
        if joined == self.max_lines {
            shop.released.extend(self.groups.release(&key));
        }
        Flow::Hold
    }

    pub(crate) fn set_patient(&mut self) {
        self.max_wait_ns = u64::MAX;
    }

    /// Whether a group ended before the line: its time is over, or it has no room.
    fn is_over(&self, group: &Group, draft: &Draft<'_>) -> bool {
        group.lines > 0
            && (draft.now.0.saturating_sub(group.now.0) >= self.max_wait_ns
                || self.groups.is_too_large(group, draft.line_bytes().len()))
    }

    /// Releases the groups whose last line is too long ago.
    pub(crate) fn expire(&mut self, now: TimestampNs, released: &mut Vec<Group>) {
        // In the first seconds of 1970 none is too long ago.
        if let Some(last) = now.0.checked_sub(self.max_wait_ns) {
            self.groups.release_until(TimestampNs(last), released);
        }
    }
}
