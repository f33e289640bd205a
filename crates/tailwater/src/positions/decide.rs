//! Which file on disk an entry of Promtail's positions is about.
//!
//! Promtail knows a file by its path alone. What stood at that path when the positions were saved may have
//! another name by now, or be gone. Told apart are: the file at the path, *live*; its *generations*, the
//! files beside it whose names rotation gives; and *saved*, when the positions file was last written.
//!
//! A generation *fits* if it is no archive, has `offset` bytes or more with a line beginning at `offset`,
//! and was written to at *saved* or after it, less [`SLACK_NS`]; or has exactly `offset` bytes: then all of
//! it was read. A file *began since* if its inode was made after *saved* and written to after that: one
//! that was copied with its times was not.
//!
//! | live | generations | decision |
//! |---|---|---|
//! | `offset` bytes or more, made before *saved* | any | it is the file: on from `offset` |
//! | `offset` bytes or more, made after *saved* | one fits | rotated: that one from `offset`, live from 0 |
//! | `offset` bytes or more, made after *saved* | none fits, an archive was written to since | rotated, and the rest is in the archive: live from 0, the loss is told |
//! | `offset` bytes or more, made after *saved* | no trace of a rotation | files were copied here: live from `offset` |
//! | less | one fits | rotated: that one from `offset`, live from 0 |
//! | less | none fits | truncated, or rotated and gone: live from 0, the loss is told |
//! | none | one fits | rotated and not made again: that one from `offset` |
//! | none | none fits | missing: it is told |
//! | any of these | several fit | where inodes tell when they were made: after a rename the youngest of those made before *saved*, after a copy the oldest of those made after it |
//! | any of these | several fit, or one and an archive, and inodes do not tell | not clear: all of them from 0; lines come twice and none is lost |
//!
//! Where a rotation was seen, generations that began since and are younger than the one that fits are read
//! from 0: Promtail has seen nothing of them.

/// How far the times of a positions file and of a log file may be apart: Promtail takes an offset over and
/// saves it every 10 s, one after the other.
pub(super) const SLACK_NS: u64 = 20_000_000_000;

/// What is known of a file on disk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// Its bytes.
    pub(super) len: u64,
    /// When it was last written to, in nanoseconds since the epoch.
    pub(super) modified_ns: u64,
    /// When its inode was made, where the file system knows.
    pub(super) made_ns: Option<u64>,
    /// No line can be read of it.
    pub(super) is_archive: bool,
    /// A line begins at the offset, or could: the byte before it ends one.
    pub(super) has_line_at_offset: bool,
}

impl Facts {
    fn was_made_after(&self, saved_ns: u64) -> bool {
        self.made_ns.is_some_and(|made| made > saved_ns)
    }

    fn began_since(&self, saved_ns: u64) -> bool {
        self.was_made_after(saved_ns) && self.made_ns.is_some_and(|made| self.modified_ns >= made)
    }

    fn was_written_since(&self, saved_ns: u64) -> bool {
        self.modified_ns.saturating_add(SLACK_NS) >= saved_ns
    }

    fn fits(&self, offset: u64, saved_ns: u64) -> bool {
        let was_all_read = offset > 0 && self.len == offset;
        let can_be = self.was_written_since(saved_ns) || was_all_read;
        !self.is_archive && self.len >= offset && self.has_line_at_offset && can_be
    }
}

/// Where to go on. Generations are indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// At the offset of the file at the path.
    Here,
    /// At the offset of a generation; then at the start of these, and of the file at the path.
    Rotated {
        /// The one that Promtail was reading.
        generation: usize,
        /// Those that it has not seen.
        unseen: Vec<usize>,
    },
    /// At the start of all these, one of which it is, and of the file at the path.
    Unclear {
        /// Those that it may be.
        generations: Vec<usize>,
    },
    /// At the start of the file at the path: what Promtail was reading is not there any more.
    Restarted {
        /// Generations that Promtail has not seen.
        unseen: Vec<usize>,
    },
    /// There is nothing to go on in.
    Missing,
}

/// Returns whether the file at the path is the one, whatever there is beside it.
pub(super) fn is_settled(offset: u64, saved_ns: u64, live: Option<&Facts>) -> bool {
    live.is_some_and(|live| live.len >= offset && !live.was_made_after(saved_ns))
}

/// Decides where to go on. `generations` are sorted, the oldest first.
pub(super) fn decide(
    offset: u64,
    saved_ns: u64,
    live: Option<&Facts>,
    generations: &[Facts],
) -> Decision {
    if is_settled(offset, saved_ns, live) {
        return Decision::Here;
    }
    let may_be_live = live.is_some_and(|live| live.len >= offset);
    let was_renamed = live.is_none_or(|live| live.began_since(saved_ns));
    let evidence = Evidence {
        offset,
        saved_ns,
        was_renamed,
        generations,
    };
    let fitting = evidence.fitting();
    let archives = evidence.archives_written_since();
    if may_be_live && fitting.is_empty() && archives == 0 {
        return Decision::Here;
    }
    match evidence.pick(&fitting, archives) {
        Some(generation) => Decision::Rotated {
            generation,
            unseen: evidence.unseen(Some(generation)),
        },
        None if !fitting.is_empty() => Decision::Unclear {
            generations: fitting,
        },
        None if live.is_none() && archives == 0 => Decision::Missing,
        None => Decision::Restarted {
            unseen: evidence.unseen(None),
        },
    }
}

struct Evidence<'a> {
    offset: u64,
    saved_ns: u64,
    /// Another file has the path, or none: what Promtail read has its inode still, under another name.
    was_renamed: bool,
    generations: &'a [Facts],
}

impl Evidence<'_> {
    fn fitting(&self) -> Vec<usize> {
        let indexed = self.generations.iter().enumerate();
        indexed
            .filter(|(_, facts)| facts.fits(self.offset, self.saved_ns))
            .filter(|(_, facts)| !(self.was_renamed && facts.began_since(self.saved_ns)))
            .map(|(index, _)| index)
            .collect()
    }

    fn archives_written_since(&self) -> usize {
        let archives = self.generations.iter().filter(|facts| facts.is_archive);
        archives
            .filter(|facts| facts.was_written_since(self.saved_ns))
            .count()
    }

    fn pick(&self, fitting: &[usize], archives: usize) -> Option<usize> {
        let made = |index: &usize| self.generations.get(*index)?.made_ns;
        let is_certain = |index: &&usize| {
            made(index).is_some_and(|made| (made > self.saved_ns) != self.was_renamed)
        };
        let mut certain = fitting.iter().filter(is_certain);
        let picked = if self.was_renamed {
            certain.max_by_key(|index| made(index))
        } else {
            certain.next()
        };
        match (picked, fitting) {
            (Some(picked), _) => Some(*picked),
            (None, [only]) if archives == 0 => Some(*only),
            (None, _) => None,
        }
    }

    fn unseen(&self, picked: Option<usize>) -> Vec<usize> {
        let indexed = self.generations.iter().enumerate();
        indexed
            .filter(|(index, _)| picked.is_none_or(|picked| *index > picked))
            .filter(|(_, facts)| !facts.is_archive && facts.began_since(self.saved_ns))
            .map(|(index, _)| index)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: u64 = 1_000_000_000_000;
    const BEFORE: u64 = SAVED - 3_600_000_000_000 / 4;
    const AFTER: u64 = SAVED + 5_000_000_000;
    const LATER: u64 = SAVED + 9_000_000_000;

    fn file(len: u64, made_ns: u64, modified_ns: u64) -> Facts {
        Facts {
            len,
            modified_ns,
            made_ns: Some(made_ns),
            is_archive: false,
            has_line_at_offset: true,
        }
    }

    fn unborn(facts: Facts) -> Facts {
        Facts {
            made_ns: None,
            ..facts
        }
    }

    fn archive(modified_ns: u64) -> Facts {
        Facts {
            is_archive: true,
            has_line_at_offset: false,
            ..file(40, LATER, modified_ns)
        }
    }

    #[track_caller]
    fn check(live: Option<Facts>, generations: &[Facts], expected: &Decision) {
        let decision = decide(100, SAVED, live.as_ref(), generations);
        assert_eq!(&decision, expected);
    }

    fn rotated(generation: usize, unseen: &[usize]) -> Decision {
        Decision::Rotated {
            generation,
            unseen: unseen.to_vec(),
        }
    }

    fn restarted(unseen: &[usize]) -> Decision {
        Decision::Restarted {
            unseen: unseen.to_vec(),
        }
    }

    #[test]
    fn a_file_that_was_there_and_is_long_enough_goes_on() {
        let old = file(500, BEFORE, BEFORE);
        for live in [file(100, BEFORE, AFTER), unborn(file(101, 0, AFTER))] {
            check(Some(live), &[], &Decision::Here);
            check(Some(live), &[old], &Decision::Here);
        }
    }

    #[test]
    fn a_longer_file_that_was_made_since_was_rotated_if_a_generation_fits() {
        let live = Some(file(900, AFTER, LATER));
        check(live, &[file(150, BEFORE, AFTER)], &rotated(0, &[]));
        check(live, &[file(100, BEFORE, BEFORE)], &rotated(0, &[]));
    }

    #[test]
    fn a_longer_file_that_was_made_since_starts_anew_if_its_generation_is_an_archive() {
        let live = Some(file(900, AFTER, LATER));
        check(live, &[archive(AFTER)], &restarted(&[]));
        check(live, &[archive(BEFORE)], &Decision::Here);
    }

    #[test]
    fn files_that_were_copied_to_another_disk_go_on() {
        let copied = Facts {
            modified_ns: BEFORE,
            ..file(900, LATER, 0)
        };
        check(Some(copied), &[], &Decision::Here);
        check(Some(copied), &[file(80, LATER, BEFORE)], &Decision::Here);
    }

    #[test]
    fn a_shorter_file_was_rotated_if_one_generation_fits() {
        for live in [
            Some(file(10, AFTER, LATER)),
            Some(unborn(file(10, 0, LATER))),
            None,
        ] {
            check(live, &[file(150, BEFORE, AFTER)], &rotated(0, &[]));
            check(live, &[unborn(file(150, 0, AFTER))], &rotated(0, &[]));
            check(live, &[file(100, BEFORE, BEFORE)], &rotated(0, &[]));
        }
    }

    #[test]
    fn a_shorter_file_starts_anew_if_no_generation_fits() {
        let live = Some(file(10, BEFORE, AFTER));
        let torn = Facts {
            has_line_at_offset: false,
            ..file(150, BEFORE, AFTER)
        };
        check(live, &[], &restarted(&[]));
        check(live, &[file(99, BEFORE, AFTER)], &restarted(&[]));
        check(live, &[file(150, BEFORE, BEFORE)], &restarted(&[]));
        check(live, &[torn], &restarted(&[]));
        check(live, &[archive(AFTER)], &restarted(&[]));
    }

    #[test]
    fn a_file_that_is_nowhere_is_missing() {
        check(None, &[], &Decision::Missing);
        check(None, &[file(99, BEFORE, BEFORE)], &Decision::Missing);
        check(None, &[archive(BEFORE)], &Decision::Missing);
        check(None, &[archive(AFTER)], &restarted(&[]));
    }

    #[test]
    fn of_several_generations_the_one_that_had_the_path_is_told_by_when_it_was_made() {
        let live = Some(file(10, LATER, LATER));
        let older = file(200, BEFORE - 1, SAVED - 1);
        let read = file(150, BEFORE, AFTER);
        let since = file(300, AFTER, LATER);
        check(live, &[older, read, since], &rotated(1, &[2]));
        check(None, &[older, read, since], &rotated(1, &[2]));
        check(live, &[archive(SAVED), read], &rotated(1, &[]));
    }

    #[test]
    fn of_several_copies_the_oldest_holds_what_was_read() {
        let truncated = Some(file(10, BEFORE, LATER));
        let first = file(150, AFTER, AFTER);
        let second = file(180, LATER, LATER);
        check(truncated, &[first, second], &rotated(0, &[1]));
    }

    #[test]
    fn several_generations_of_unknown_age_are_all_read_from_the_start() {
        let live = Some(unborn(file(10, 0, LATER)));
        let one = unborn(file(150, 0, AFTER));
        let unclear = |generations: &[usize]| Decision::Unclear {
            generations: generations.to_vec(),
        };
        check(live, &[one, one], &unclear(&[0, 1]));
        check(live, &[archive(AFTER), one], &unclear(&[1]));
    }

    #[test]
    fn a_generation_that_began_since_is_not_what_was_read() {
        let live = Some(file(10, LATER, LATER));
        check(live, &[file(300, AFTER, LATER)], &restarted(&[0]));
    }

    #[test]
    fn an_entry_at_the_start_is_decided_as_any_other() {
        let live = file(0, AFTER, AFTER);
        let read = file(50, BEFORE, AFTER);
        assert_eq!(
            decide(0, SAVED, Some(&live), &[read]),
            rotated(0, &[]),
            "nothing of it was read"
        );
        assert_eq!(decide(0, SAVED, Some(&live), &[]), Decision::Here);
        let done = file(0, BEFORE, BEFORE);
        assert_eq!(decide(0, SAVED, Some(&live), &[done]), Decision::Here);
    }
}
