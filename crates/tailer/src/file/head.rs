//! How a file begins: its head, and the fingerprint that grows with it.

use tailwater_record::{Fingerprint, WINDOW_BYTES};

use super::{TailedFile, read_at};

impl<R> TailedFile<R> {
    /// Returns the first bytes of the file as they were when it was found, at most one window.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Returns the inode and the fingerprint under which earlier runs knew its content, where that was in
    /// another file: it was compressed since, or decompressed.
    pub fn former(&self) -> Option<(u64, Fingerprint)> {
        self.former.as_deref().copied()
    }

    /// Gives up the memory of the head, once it has told where the cursors start.
    pub fn drop_head(&mut self) {
        self.head = Vec::new();
    }

    /// Lets the fingerprint grow with the file; `all` starts at offset 0.
    pub(crate) fn learn_head(&mut self, all: &[u8]) {
        let fingerprint = self.identity.fingerprint;
        let grown = Fingerprint::of_head(all);
        if grown.len > fingerprint.len || !fingerprint.matches_head(all) {
            self.identity.fingerprint = grown;
            self.identity_changed = true;
        }
    }

    /// Lets the fingerprint grow without a read: of a file that waits for its turn.
    pub(crate) fn grow_head(&mut self) {
        let Some(file) = &self.descriptor else {
            return;
        };
        if self.is_archive() || !self.identity.fingerprint.is_growing() {
            return;
        }
        let mut head = vec![0; usize::from(WINDOW_BYTES)];
        let read = read_at(file, &mut head, 0).unwrap_or(0);
        head.truncate(read);
        if self.identity.fingerprint.matches_head(&head) {
            self.learn_head(&head);
        }
    }
}
