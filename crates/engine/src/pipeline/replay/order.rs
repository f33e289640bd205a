//! In which order the spans of a batch are read again.
//!
//! A group of lines that goes over the end of a file has its later part before the earlier one in the batch:
//! the record is made when the later file is read, and stands in a span of the earlier one. So where the first
//! span of a file comes before spans of the generation before it, those are read first, and what is open at
//! their end goes on.

use std::collections::HashMap;

use tailwater_tailer::TailId;

use super::Place;

/// A span of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    /// The cursor that reads it.
    pub(super) place: Place,
    pub(super) route: &'a str,
    /// The generation before its file, where it begins with that.
    pub(super) before: Option<TailId>,
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Index of the span.
    pub(super) span: usize,
    /// The cursor that reads it.
    pub(super) place: Place,
    /// The cursor of the youngest file that its groups may go on in.
    pub(super) chain: Place,
    /// Groups that are open at its end go on in what is read next of the chain.
    pub(super) goes_on: bool,
}

/// Returns the spans in the order they are read in.
pub(super) fn reading_order(spans: &[Placed<'_>]) -> Vec<Reading> {
    let mut order = Vec::with_capacity(spans.len());
    let mut is_taken = vec![false; spans.len()];
    // By chain: the last span that was taken before its turn.
    let mut early: HashMap<Place, usize> = HashMap::new();
    for (index, span) in spans.iter().enumerate() {
        let chain = span.place;
        let mut waiting = if take(&mut is_taken, index) {
            vec![index]
        } else {
            Vec::new()
        };
        while let Some(last) = waiting.last().copied() {
            if let Some(older) = older_span(spans, &is_taken, last) {
                take(&mut is_taken, older);
                let known = early.entry(chain).or_default();
                *known = older.max(*known);
                waiting.push(older);
                continue;
            }
            waiting.pop();
            let goes_on = !waiting.is_empty()
                || early
                    .get(&chain)
                    .is_some_and(|early| is_followed(spans, index, *early));
            let place = spans.get(last).map_or(chain, |span| span.place);
            order.push(Reading {
                span: last,
                place,
                chain,
                goes_on,
            });
        }
    }
    order
}

/// Marks a span as taken; returns whether it was not.
fn take(is_taken: &mut [bool], index: usize) -> bool {
    is_taken
        .get_mut(index)
        .is_some_and(|is_taken| !std::mem::replace(is_taken, true))
}

/// Returns the first span that is left of the generation before the file that a span begins.
fn older_span(spans: &[Placed<'_>], is_taken: &[bool], index: usize) -> Option<usize> {
    let span = spans.get(index)?;
    let before = span.before?;
    let mut left = spans.iter().zip(is_taken);
    left.position(|(other, is_taken)| {
        !is_taken && other.place.0 == before && other.route == span.route
    })
}

/// Returns whether the next span of a file comes before the span `early`: a group that is made there was
/// still open when that next one began.
fn is_followed(spans: &[Placed<'_>], index: usize, early: usize) -> bool {
    let place = spans.get(index).map(|span| span.place);
    let between = spans.iter().take(early).skip(index.saturating_add(1));
    between
        .map(|span| Some(span.place))
        .any(|next| next == place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans by file and whether they begin it; each file follows the one with the number before it.
    fn order(spans: &[(TailId, bool)]) -> Vec<(usize, bool)> {
        let placed = spans.iter().map(|(file, is_first)| Placed {
            place: (*file, 0),
            route: "loki/logs",
            before: is_first.then(|| file - 1),
        });
        let order = reading_order(&placed.collect::<Vec<_>>());
        order
            .iter()
            .map(|reading| (reading.span, reading.goes_on))
            .collect()
    }

    #[test]
    fn spans_of_files_that_share_no_group_are_read_as_they_come() {
        let spans = [(1, false), (2, true), (5, true), (2, false), (5, false)];
        let expected: Vec<_> = (0..5).map(|span| (span, false)).collect();
        assert_eq!(order(&spans), expected);
    }

    #[test]
    fn the_earlier_part_of_a_group_is_read_first() {
        let spans = [(1, false), (2, true), (1, false), (2, false)];
        let expected = [(0, false), (2, true), (1, false), (3, false)];
        assert_eq!(order(&spans), expected);
    }

    #[test]
    fn a_group_may_go_through_several_files() {
        let spans = [(3, true), (2, true), (1, false), (3, false)];
        let expected = [(2, true), (1, true), (0, false), (3, false)];
        assert_eq!(order(&spans), expected);
    }

    #[test]
    fn a_group_that_ends_later_stays_open_until_then() {
        let spans = [(2, true), (1, false), (2, false), (1, false), (2, false)];
        let expected = [(1, true), (3, true), (0, true), (2, false), (4, false)];
        assert_eq!(order(&spans), expected);
    }

    #[test]
    fn cursors_of_other_routes_are_not_mixed_up() {
        let placed = |cursor, route, before| Placed {
            place: (if before { 2 } else { 1 }, cursor),
            route,
            before: before.then_some(1),
        };
        let spans = [
            placed(0, "loki/one", true),
            placed(1, "loki/two", false),
            placed(0, "loki/one", false),
        ];
        let order = reading_order(&spans);
        let order: Vec<usize> = order.iter().map(|reading| reading.span).collect();
        assert_eq!(order, [2, 0, 1]);
    }
}
