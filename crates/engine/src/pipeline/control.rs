//! What a pipeline thread is told, and that it does so.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use super::Pipeline;
use crate::route::Plan;
use crate::status::FileStatus;

/// What a pipeline thread is told.
#[derive(Debug)]
pub(crate) enum Control {
    /// Answer with every file.
    Status(SyncSender<Vec<FileStatus>>),
    /// Read no more for these sinks, and seal what is open for them; answer when that is done.
    Detach(Vec<u32>, SyncSender<()>),
    /// Go on with another plan; answer when it is in place.
    Reload(Box<Plan>, SyncSender<()>),
    /// Seal everything and end.
    Stop,
}

impl Control {
    /// Carries out what a thread is told that has one configuration for all of its life, and no files that
    /// are followed; returns whether to go on.
    pub(super) fn obey_unchanging(control: &Receiver<Self>) -> bool {
        loop {
            match control.try_recv() {
                Err(TryRecvError::Empty) => return true,
                Ok(Self::Status(answer)) => drop(answer.try_send(Vec::new())),
                Ok(Self::Detach(_, answer) | Self::Reload(_, answer)) => {
                    answer.try_send(()).ok();
                }
                Ok(Self::Stop) | Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

impl Pipeline {
    /// Carries out what it is told; returns whether to go on.
    pub(super) fn obey(&mut self) -> bool {
        loop {
            match self.control.try_recv() {
                Err(TryRecvError::Empty) => return true,
                Ok(Control::Status(answer)) => {
                    let files = self.file_statuses();
                    // Nobody waits any more where the answer came too late.
                    drop(answer.try_send(files));
                }
                Ok(Control::Detach(sinks, answer)) => {
                    for index in 0..self.slots.len() {
                        if self
                            .slots
                            .get(index)
                            .is_some_and(|slot| sinks.contains(&slot.sink))
                        {
                            self.seal(index);
                        }
                    }
                    self.detached.extend(sinks);
                    answer.try_send(()).ok();
                }
                Ok(Control::Reload(plan, answer)) => {
                    self.reload(*plan);
                    answer.try_send(()).ok();
                }
                Ok(Control::Stop) | Err(TryRecvError::Disconnected) => {
                    (0..self.slots.len()).for_each(|index| self.seal(index));
                    self.store_archive_ends();
                    return false;
                }
            }
        }
    }
}
