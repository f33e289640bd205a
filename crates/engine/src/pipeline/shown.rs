//! What a pipeline thread shows of its files.

use std::sync::PoisonError;

use super::{Pipeline, now};
use crate::status::{FileStatus, TailingStatus};

impl Pipeline {
    pub(super) fn file_statuses(&self) -> Vec<FileStatus> {
        let now = now().instant;
        let mut statuses = Vec::new();
        for file in self.tailer.files() {
            let size_bytes = file.content_len();
            for cursor in &file.cursors {
                let (Some(source), Some(sink)) = (
                    self.plan.sources.get(cursor.source),
                    self.plan.lane(cursor.sink),
                ) else {
                    continue;
                };
                let oldest = self.desk.ledger.oldest_unresolved(cursor.route.cursor);
                statuses.push(FileStatus {
                    source: source.name.to_string(),
                    sink: sink.outlet.name.to_string(),
                    path: file.path.to_path_buf(),
                    current_path: file.current.as_deref().map(std::path::Path::to_path_buf),
                    device: file.identity.device,
                    inode: file.identity.inode,
                    fingerprint: (
                        format!("{:032x}", file.identity.fingerprint.hash),
                        file.identity.fingerprint.len,
                    ),
                    read_offset: cursor.offset,
                    read_lines: cursor.route.progress.read_lines(),
                    acked_offset: cursor.route.progress.acked_offset(),
                    size_bytes,
                    is_rotated: file.is_rotated(),
                    is_open: file.is_open(),
                    oldest_unacked: oldest.map(|since| now.saturating_duration_since(since)),
                });
            }
        }
        statuses
    }

    pub(super) fn tailing_mut(&self, change: impl FnOnce(&mut TailingStatus)) {
        change(&mut self.tailing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn publish(&mut self) {
        let stats = self.tailer.take_stats();
        let (watched, polled) = self.tailer.watched_and_polled();
        let decoders = self.tailer.open_decoders() as u64;
        let (files, open) = (
            self.tailer.files().count() as u64,
            self.tailer.open_files() as u64,
        );
        self.tailing_mut(|status| {
            status.files = files;
            status.scanned_workers = 1;
            status.open_files = open;
            status.watched_directories = watched as u64;
            status.polled_directories = polled as u64;
            status.files_found += stats.files_found;
            status.rotations += stats.rotations;
            status.truncations += stats.truncations;
            status.watch_overflows += stats.watch_overflows;
            status.watch_limit_hits += stats.watch_limit_hits;
            status.files_over_limit += stats.files_over_limit;
            status.descriptors_evicted += stats.descriptors_evicted;
            status.scan_errors += stats.scan_errors;
            status.open_decoders = decoders;
        });
    }
}
