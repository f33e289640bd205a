//! Where the routes of a file start that have no position of their own.
//!
//! Positions are stored by file and route. A position that no route of the running configuration owns is
//! left over: the sink's alone, as earlier versions and imports store it, or that of a source which was
//! renamed, or does not read the file any more. What the sink has had of a file is not sent to it again
//! under another name: every route to that sink without a position of its own starts at the least of
//! what is left over, which is then removed. The order of the sources makes no difference.
//! Why: docs/decisions/0004-reading.md.

use std::sync::Arc;

use tailwater_position_store::Position;

/// Positions by the names they are stored under.
pub(super) type Stored = [(Arc<str>, Position)];

/// Where routes start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Starts {
    /// For each route, in order, what is stored for it; `None` for a route that is new to its file.
    pub(super) positions: Vec<Option<Position>>,
    /// Names of positions that were taken over: to be removed once those of the heirs are entered.
    pub(super) taken_over: Vec<Arc<str>>,
}

/// Finds where the routes of a file start; `names` are those of all its routes.
pub(super) fn starts(stored: &Stored, names: &[&Arc<str>]) -> Starts {
    let mut starts = Starts::default();
    for name in names {
        let own = stored.iter().find(|(known, _)| known == *name);
        if let Some((_, position)) = own {
            starts.positions.push(Some(*position));
            continue;
        }
        let sink = sink_of(name);
        let mut least: Option<Position> = None;
        let is_left = |known: &Arc<str>| sink_of(known) == sink && !names.contains(&known);
        for (left, position) in stored.iter().filter(|(known, _)| is_left(known)) {
            if !starts.taken_over.contains(left) {
                starts.taken_over.push(Arc::clone(left));
            }
            if least.is_none_or(|least| position.offset < least.offset) {
                least = Some(*position);
            }
        }
        starts.positions.push(least);
    }
    starts
}

/// Returns the sink that a name of a position belongs to.
fn sink_of(name: &str) -> &str {
    name.split_once('/').map_or(name, |(sink, _)| sink)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(stored: &[(&str, u64)], names: &[&str]) -> (Vec<Option<u64>>, Vec<String>) {
        let at = |offset| Position {
            offset,
            ..Position::default()
        };
        let stored: Vec<(Arc<str>, Position)> = stored
            .iter()
            .map(|(name, offset)| (Arc::from(*name), at(*offset)))
            .collect();
        let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        let starts = starts(&stored, &names.iter().collect::<Vec<_>>());
        let positions = starts.positions.into_iter();
        (
            positions.map(|position| Some(position?.offset)).collect(),
            starts.taken_over.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn a_route_goes_on_at_its_own_position_whatever_else_is_stored() {
        let found = offsets(&[("loki", 5), ("loki/a", 20), ("loki/b", 30)], &["loki/b"]);
        assert_eq!(found, (vec![Some(30)], vec![]));
    }

    #[test]
    fn a_new_source_reads_a_file_from_its_start_beside_one_that_goes_on() {
        let found = offsets(&[("loki/a", 20)], &["loki/new", "loki/a"]);
        assert_eq!(found, (vec![None, Some(20)], vec![]));
    }

    #[test]
    fn the_position_of_an_earlier_version_is_that_of_every_source_of_the_sink() {
        let stored = [("loki", 40), ("audit", 7)];
        let found = offsets(&stored, &["loki/a", "loki/b", "files/a"]);
        let expected = vec![Some(40), Some(40), None];
        assert_eq!(found, (expected, vec!["loki".to_owned()]));
    }

    #[test]
    fn a_renamed_source_goes_on_at_the_least_of_what_is_left_over() {
        let stored = [("loki/old", 40), ("loki/older", 30), ("loki/stays", 10)];
        let found = offsets(&stored, &["loki/new", "loki/stays"]);
        let taken = vec!["loki/old".to_owned(), "loki/older".to_owned()];
        assert_eq!(found, (vec![Some(30), Some(10)], taken));
    }

    #[test]
    fn a_sink_whose_name_begins_like_another_has_nothing_to_do_with_it() {
        let found = offsets(&[("loki", 40), ("loki/a", 50)], &["lok/a", "loki2/a"]);
        assert_eq!(found, (vec![None, None], vec![]));
    }
}
