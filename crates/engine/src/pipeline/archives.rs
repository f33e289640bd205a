//! What becomes of archives that were read to their end.

use std::time::{Duration, Instant};

use tailwater_position_store::Position;
use tailwater_tailer::Damage;

use super::{Pipeline, now};

/// Damaged archives that are logged one by one per thread; the rest is counted.
const MAX_LOGGED_DAMAGES: u64 = 100;

/// How often it is looked whether the last lines of archives are acked.
const ACK_INTERVAL: Duration = Duration::from_millis(250);

impl Pipeline {
    /// All of an archive was read for one of its cursors; `damage` is why it ends early, the first time.
    pub(super) fn end_archive(&mut self, id: u64, index: usize, damage: Option<Damage>) {
        self.ended_archives.insert(id);
        self.count_undecoded(id, index);
        let Some(damage) = damage else { return };
        let mut damaged = 0;
        self.tailing_mut(|status| {
            status.damaged_archives += 1;
            damaged = status.damaged_archives;
        });
        if damaged <= MAX_LOGGED_DAMAGES
            && let Some(file) = self.tailer.file_mut(id)
        {
            tracing::error!(
                path = %file.path.display(),
                offset = file.content_len(),
                reason = damage.as_str(),
                "archive is damaged, what could be decoded before is delivered"
            );
        }
    }

    /// Counts what was seen of a file before it was compressed, and cannot be decoded.
    fn count_undecoded(&mut self, id: u64, index: usize) {
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let Some(cursor) = file.cursors.get(index) else {
            return;
        };
        let lost = file.known_len.saturating_sub(cursor.offset);
        if lost > 0 {
            let book = cursor.route.book;
            tracing::error!(path = %file.path.display(), offset = cursor.offset, bytes = lost, "archive ends before the file did that it was made of");
            self.desk
                .books
                .change(book, |books| books.lost_unread_bytes += lost);
        }
    }

    /// Returns when it is looked again whether all of an archive is acked: no event tells of that.
    pub(super) fn archive_deadline(&self) -> Option<Instant> {
        (!self.ended_archives.is_empty()).then(|| now().instant + ACK_INTERVAL)
    }

    /// Notes beside the positions of archives that they are their ends, once all of their lines are
    /// acked: the next start need not decode them to find that nothing follows.
    pub(super) fn store_archive_ends(&mut self) {
        let (tailer, desk) = (&mut self.tailer, &self.desk);
        self.ended_archives.retain(|id| {
            let Some(file) = tailer.file_mut(*id) else {
                return false;
            };
            let mut waits = false;
            for cursor in file.cursors.iter().filter(|cursor| cursor.is_drained) {
                if cursor.route.progress.acked_offset() < cursor.offset {
                    waits = true;
                    continue;
                }
                let position = Position {
                    offset: cursor.offset,
                    marker: cursor.marker,
                    place: cursor.frame.code(),
                };
                // Whoever settles what was acked last is past moving the position.
                let _cut = desk.cut();
                let (key, name) = (cursor.route.key, &cursor.route.name);
                desk.positions.remember(key, name, position);
            }
            waits
        });
    }
}
