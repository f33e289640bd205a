//! When the lines that stages hold are let go of.

use std::time::{Duration, Instant};

use tailwater_record::FileId;
use tailwater_tailer::TailId;

use super::lane::Seal;
use super::slot::Slot;
use super::staged::Workshop;
use super::{Pipeline, now, unix_ns};

/// How often open groups are looked at, whose time may be over.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);

impl Pipeline {
    /// Returns when open groups must be looked at again.
    pub(super) fn held_deadline(&self) -> Option<Instant> {
        let holds_any = self.workshops.iter().any(Workshop::holds_any);
        holds_any.then(|| now().instant + LOOK_INTERVAL)
    }

    /// Lets go of the groups whose time is over, and of those whose file has ended for good.
    pub(super) fn release_held(&mut self) {
        for index in 0..self.workshops.len() {
            let Some(workshop) = self.workshops.get(index).filter(|all| all.holds_any()) else {
                continue;
            };
            let held: Vec<(FileId, TailId)> = workshop.held_files().collect();
            if self.has_room_for(index) {
                self.flush_held(index);
                for (content, id) in held {
                    if self.is_over(index, content, id) {
                        self.finish_held(index, content, false);
                    }
                }
            }
        }
    }

    /// The content of a file is another one: what is held of the old one is all that comes of it.
    pub(super) fn give_up_held(&mut self, id: TailId) {
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let routes = file.cursors.iter().map(|cursor| &cursor.route);
        let routes: Vec<(FileId, Option<usize>, usize)> = routes
            .map(|route| (route.cursor.file, route.workshop, route.batch))
            .collect();
        for (content, workshop, batch) in routes {
            if let Some(workshop) = workshop {
                self.with_workshop(workshop, false, |workshop, slot, seal| {
                    workshop.give_up(slot, content, seal);
                });
            }
            // Its account is closed next: what is open must stand in it before.
            self.seal(batch);
        }
    }

    /// Lets the first lines of a file join the open groups of the one that had its path before.
    pub(super) fn take_over_held(&mut self, id: TailId, index: usize) {
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let (Some(before), Some(cursor)) = (file.predecessor(), file.cursors.get(index)) else {
            return;
        };
        let (content, workshop) = (cursor.route.cursor.file, cursor.route.workshop);
        let Some(workshop) = workshop.filter(|_| cursor.offset == 0) else {
            return;
        };
        let Some(before) = self.tailer.file_mut(before).map(|before| before.content) else {
            return;
        };
        if let Some(workshop) = self.workshops.get_mut(workshop) {
            workshop.hand_over(before, content);
        }
    }

    /// Takes the open groups of one file out of the stages into the batch.
    pub(super) fn finish_held(&mut self, workshop: usize, content: FileId, is_replay: bool) {
        self.with_workshop(workshop, is_replay, |workshop, slot, seal| {
            workshop.finish(slot, content, seal);
        });
    }

    fn flush_held(&mut self, workshop: usize) {
        self.with_workshop(workshop, false, |workshop, slot, seal| {
            workshop.flush(slot, unix_ns(), seal);
        });
    }

    /// Has some stages give lines into the batch of their lane.
    fn with_workshop(
        &mut self,
        workshop: usize,
        is_replay: bool,
        give: impl FnOnce(&mut Workshop, &mut Slot, Seal<'_>),
    ) {
        let Some(workshop) = self.workshops.get_mut(workshop) else {
            return;
        };
        let sink = workshop.sink;
        let slot = self.slots.iter_mut().find(|slot| slot.sink == sink);
        if let (Some(slot), Some(end)) = (slot, self.plan.lane(sink)) {
            let seal = Seal {
                end,
                desk: &self.desk,
                now: now().instant,
                is_replay,
            };
            give(workshop, slot, seal);
        }
    }

    /// Returns whether nothing follows the open groups of a file.
    fn is_over(&mut self, workshop: usize, content: FileId, id: TailId) -> bool {
        let Some(workshop) = self.workshops.get_mut(workshop) else {
            return false;
        };
        let (source, sink) = (workshop.source, workshop.sink);
        let Some(file) = self
            .tailer
            .file_mut(id)
            .filter(|file| file.content == content)
        else {
            return true;
        };
        let mut cursors = file.cursors.iter();
        let is_drained = cursors
            .any(|cursor| cursor.source == source && cursor.sink == sink && cursor.is_drained);
        let has_successor = file.successor().is_some();
        is_drained && workshop.is_overdue(content, has_successor, now().instant)
    }

    /// Returns whether the lane of some stages takes anything now.
    fn has_room_for(&self, workshop: usize) -> bool {
        self.workshops
            .get(workshop)
            .filter(|workshop| !self.detached.contains(&workshop.sink))
            .and_then(|workshop| self.plan.lane(workshop.sink))
            .is_some_and(|end| end.outlet.queue.has_room())
    }
}
