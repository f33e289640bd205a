//! Which records of a request Loki has refused for their time.
//!
//! Loki stores the other entries of such a request, and says of the refused ones what their time would
//! have had to be. Of an archive that may be all of them: they are found here at once, in place of one
//! after the other. The figures decide what counts as refused, so they are taken only from where Loki
//! writes them: labels, which stand before them in some answers, are passed over as what they are and
//! cannot forge any.
//!
//! Source: Loki 3.6, `pkg/distributor/validator.go`, `pkg/util/errors.go` (groups),
//! `pkg/ingester/stream.go`.

use bytes::Bytes;
use jiff::Timestamp;
use tailwater_sink::{DecodedRecord, SplitError};

use crate::decode::parse_labels;

/// What an answer says of the times of entries.
///
/// Times come in whole seconds, rounded down, and limits are finer than that: of the entries within one
/// second only the number says which are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    which: Which,
    /// How many entries were refused for it, where all are counted.
    entries: Option<usize>,
    /// The labels of the stream that it speaks of; `None` for the whole request.
    stream: Option<Vec<(String, String)>>,
}

/// The entries that are refused without a doubt, by second since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those before it, and of those within it perhaps some.
    Before(u64),
    /// Those after it, and of those within it perhaps some.
    After(u64),
}

/// Reads what an answer says of times, where it is about those; `is_whole` says that all of it is there.
pub(crate) fn read(reason: &str, text: &str, is_whole: bool) -> Option<Expired> {
    match reason {
        "too_old" => of_distributor(text, is_whole, Kind::TooOld),
        "too_new" => of_distributor(text, is_whole, Kind::TooNew),
        "too_far_behind" => of_ingester(text),
        _ => None,
    }
}

/// Why a distributor refuses an entry for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TooOld,
    TooNew,
}

/// Reads `entry for stream '{…}' has timestamp too old: T, oldest acceptable timestamp is: T`, each after
/// `N errors like: ` and joined by `; ` where there are several.
fn of_distributor(text: &str, is_whole: bool, kind: Kind) -> Option<Expired> {
    let mut rest = text.trim_end();
    let mut seconds: Option<u64> = None;
    let mut entries = 0_usize;
    let mut is_counted = is_whole;
    loop {
        let Some((complaint, after)) = complaint(rest) else {
            is_counted = false;
            break;
        };
        if complaint.kind == kind {
            entries = entries.saturating_add(complaint.entries);
            let second = complaint.second;
            // All speak of one limit: what is refused as too new was not below it.
            seconds = Some(seconds.map_or(second, |known| known.min(second)));
        }
        let Some(next) = after.strip_prefix("; ") else {
            is_counted &= after.is_empty();
            break;
        };
        rest = next;
    }
    Some(Expired {
        which: match kind {
            Kind::TooOld => Which::Before(seconds?),
            Kind::TooNew => Which::After(seconds?),
        },
        entries: is_counted.then_some(entries),
        stream: None,
    })
}

/// What a distributor says of one or several entries.
struct Complaint {
    kind: Kind,
    entries: usize,
    /// The oldest that is taken, or the time of the entry that is too new.
    second: u64,
}

fn complaint(text: &str) -> Option<(Complaint, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = text.split_at_checked(digits)?;
    let (entries, text) = match after.strip_prefix(" errors like: ") {
        Some(after) => (number.parse().ok()?, after),
        None => (1, text),
    };
    let labels = text.strip_prefix("entry for stream '")?;
    let after = labels.split_at_checked(selector_len(labels)?)?.1;
    if let Some(after) = after.strip_prefix("' has timestamp too old: ") {
        let (_, after) = time(after)?;
        let (second, after) = time(after.strip_prefix(", oldest acceptable timestamp is: ")?)?;
        let kind = Kind::TooOld;
        let complaint = Complaint {
            kind,
            entries,
            second,
        };
        return Some((complaint, after));
    }
    let (second, after) = time(after.strip_prefix("' has timestamp too new: ")?)?;
    let kind = Kind::TooNew;
    let complaint = Complaint {
        kind,
        entries,
        second,
    };
    Some((complaint, after))
}

/// Returns how long the labels are that a text begins with: up to the brace that is in no value.
fn selector_len(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    let (mut is_quoted, mut is_escaped) = (false, false);
    if bytes.next()? != (0, b'{') {
        return None;
    }
    for (at, byte) in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Some(at + 1),
            b'\'' | b'\n' if !is_quoted => return None,
            _ => {}
        }
    }
    None
}

/// Reads the time that a text begins with, in whole seconds since the epoch.
fn time(text: &str) -> Option<(u64, &str)> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"-:TZ+".contains(byte);
    let len = text.bytes().take_while(|byte| is_part(byte)).count();
    let (time, after) = text.split_at_checked(len)?;
    let time: Timestamp = time.parse().ok()?;
    Some((u64::try_from(time.as_second()).ok()?, after))
}

/// Reads up to ten lines `entry with timestamp T ignored, reason: 'entry too far behind, entry timestamp is:
/// T, oldest acceptable timestamp is: T',`, and `user '…', total ignored: X out of Y for stream: {…}`.
fn of_ingester(text: &str) -> Option<Expired> {
    let mut lines = text.trim_end().lines();
    let mut oldest: Option<u64> = None;
    let last = loop {
        let line = lines.next()?;
        let Some(entry) = line.strip_prefix("entry with timestamp ") else {
            break line;
        };
        let (_, after) = entry.split_once(" ignored, reason: 'entry too far behind, ")?;
        let (_, after) = time(after.strip_prefix("entry timestamp is: ")?)?;
        let (second, after) = time(after.strip_prefix(", oldest acceptable timestamp is: ")?)?;
        if after != "'," {
            return None;
        }
        // It rises while the entries of a request are taken: what is below the first was below all.
        oldest = Some(oldest.map_or(second, |known| known.min(second)));
    };
    let (_, figures) = last
        .strip_prefix("user '")?
        .split_once("', total ignored: ")?;
    let (ignored, after) = figures.split_once(" out of ")?;
    let (_, labels) = after.split_once(" for stream: ")?;
    if lines.next().is_some() {
        return None;
    }
    Some(Expired {
        which: Which::Before(oldest?),
        entries: Some(ignored.parse().ok()?),
        stream: Some(parse_labels(labels).ok()?),
    })
}

/// One record of a request.
#[derive(Clone, Copy, Debug)]
struct Entry {
    index: u32,
    timestamp: u64,
}

impl Expired {
    /// Finds the records that are meant, by their indexes, rising; none where that is not clear.
    ///
    /// # Errors
    /// Where `decode` fails.
    pub(crate) fn find(
        &self,
        body: &Bytes,
        decode: impl FnOnce(&Bytes, &mut dyn FnMut(DecodedRecord<'_>)) -> Result<(), SplitError>,
    ) -> Result<Vec<u32>, SplitError> {
        let mut streams = Streams::default();
        decode(body, &mut |record| {
            let entry = Entry {
                index: record.index,
                timestamp: record.timestamp.0,
            };
            streams.add(record.labels, entry);
        })?;
        let mut entries = streams.of(self.stream.as_deref());
        let is_in_order = entries.is_sorted_by_key(|entry| entry.timestamp);
        // Of equal times the first in the request come first.
        entries.sort_by_key(|entry| entry.timestamp);
        let count = self.count(&entries, is_in_order);
        let refused = match self.which {
            Which::Before(_) => entries.get(..count),
            Which::After(_) => entries.get(entries.len().saturating_sub(count)..),
        };
        let mut refused: Vec<u32> = refused
            .unwrap_or_default()
            .iter()
            .map(|entry| entry.index)
            .collect();
        refused.sort_unstable();
        Ok(refused)
    }

    /// Returns how many of the entries, sorted by time, are meant, counted from the old or the new end.
    fn count(&self, entries: &[Entry], is_in_order: bool) -> usize {
        const SECOND_NS: u64 = 1_000_000_000;
        let older_than = |second: u64| {
            let limit = second.saturating_mul(SECOND_NS);
            entries.partition_point(|entry| entry.timestamp < limit)
        };
        let (certain, possible) = match self.which {
            Which::Before(second) => (older_than(second), older_than(second.saturating_add(1))),
            Which::After(second) => {
                let newer = |count: usize| entries.len().saturating_sub(count);
                let certain = newer(older_than(second.saturating_add(1)));
                (certain, newer(older_than(second)))
            }
        };
        match self
            .entries
            .filter(|count| (certain..=possible).contains(count))
        {
            Some(count) => count,
            // An ingester's limit rises with what it takes: it is one only for entries in order.
            None if self.stream.is_some() && !is_in_order => 0,
            None => certain,
        }
    }
}

/// The entries of a request by stream.
#[derive(Debug, Default)]
struct Streams(Vec<(String, Vec<Entry>)>);

impl Streams {
    fn add(&mut self, labels: &str, entry: Entry) {
        let Self(streams) = self;
        // They come in runs: the last one is mostly it.
        let known = streams.iter_mut().rev().find(|(known, _)| known == labels);
        match known {
            Some((_, entries)) => entries.push(entry),
            None => streams.push((labels.to_owned(), vec![entry])),
        }
    }

    /// Returns the entries of the stream that Loki names so, or of all, in the order of the request.
    fn of(self, wanted: Option<&[(String, String)]>) -> Vec<Entry> {
        let Self(streams) = self;
        let Some(wanted) = wanted else {
            let mut all: Vec<Entry> = streams.into_iter().flat_map(|(_, all)| all).collect();
            all.sort_by_key(|entry| entry.index);
            return all;
        };
        let parsed: Vec<_> = streams
            .into_iter()
            .filter_map(|(labels, entries)| Some((parse_labels(&labels).ok()?, entries)))
            .collect();
        let found = parsed
            .iter()
            .find(|(labels, _)| is_same(labels, wanted, None))
            .or_else(|| {
                // Loki adds it to a stream that has none.
                let mut like = parsed.iter();
                like.find(|(labels, _)| is_same(labels, wanted, Some("service_name")))
            });
        found.map_or_else(Vec::new, |(_, entries)| entries.clone())
    }
}

/// Returns whether two sets of labels are the same, but for one that only Loki's has.
fn is_same(ours: &[(String, String)], lokis: &[(String, String)], added: Option<&str>) -> bool {
    let given = lokis
        .iter()
        .filter(|(name, _)| added.is_none_or(|added| name != added));
    given.clone().count() == ours.len() && given.into_iter().all(|pair| ours.contains(pair))
}

#[cfg(test)]
mod tests;
