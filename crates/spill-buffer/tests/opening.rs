//! What opening costs.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use tailwater_durable::{AppendFile, CrashStorage, Storage, StorageError};
use tailwater_spill_buffer::{Seq, open};

use support::{LIMITS, drain, frames, open_on, payload};

/// Notes which files are read, and how much of them.
#[derive(Debug, Default)]
struct Reads {
    names: Vec<String>,
    bytes: usize,
}

#[derive(Debug)]
struct Counting {
    inner: CrashStorage,
    reads: Mutex<Reads>,
}

impl Counting {
    fn note(&self, name: &str, found: &Result<Vec<u8>, StorageError>) {
        let mut reads = self.reads.lock().unwrap();
        reads.names.push(name.to_owned());
        reads.bytes += found.as_ref().map_or(0, Vec::len);
    }

    fn take(&self) -> Reads {
        std::mem::take(&mut self.reads.lock().unwrap())
    }
}

impl Storage for Counting {
    fn directory(&self) -> &Path {
        self.inner.directory()
    }

    fn read(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>, StorageError> {
        let found = self.inner.read(name, max_bytes);
        self.note(name, &found);
        found
    }

    fn read_at(&self, name: &str, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        let found = self.inner.read_at(name, offset, max_bytes);
        self.note(name, &found);
        found
    }

    fn len(&self, name: &str) -> Result<u64, StorageError> {
        self.inner.len(name)
    }

    fn open_append(&self, name: &str) -> Result<Box<dyn AppendFile>, StorageError> {
        self.inner.open_append(name)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.inner.replace(name, bytes)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.inner.remove(name)
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.inner.list()
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        self.inner.sync_dir()
    }
}

/// 64 segments, and the number after their last frame.
fn written() -> (Arc<Counting>, u64) {
    let inner = CrashStorage::new();
    let (mut spill, _) = open_on(&inner, 1);
    let mut next = 1;
    while spill.status().segments < 64 {
        spill.append(&[&payload(next)]).unwrap();
        next += 1;
    }
    spill.sync().unwrap();
    let reads = Mutex::default();
    (Arc::new(Counting { inner, reads }), next)
}

#[test]
fn opening_reads_the_last_segment_and_no_other() {
    let (storage, next) = written();
    let last = storage.list().unwrap().pop().unwrap();
    let last_bytes = storage.len(&last).unwrap();
    let (_, recovery) = open(Arc::clone(&storage) as Arc<dyn Storage>, LIMITS, Seq::FIRST).unwrap();
    assert_eq!((recovery.segments, recovery.next), (64, Seq(next)));
    let reads = storage.take();
    assert!(reads.names.iter().all(|name| *name == last), "{reads:?}");
    assert!(
        reads.bytes as u64 <= 2 * last_bytes,
        "header, and once over"
    );
}

#[test]
fn opening_changes_nothing_where_nothing_was_released() {
    let (storage, _) = written();
    let operations = storage.inner.operations();
    open(Arc::clone(&storage) as Arc<dyn Storage>, LIMITS, Seq::FIRST).unwrap();
    assert_eq!(storage.inner.operations(), operations);
}

#[test]
fn reading_in_order_reads_every_segment_once() {
    let (storage, next) = written();
    let (mut spill, recovery) =
        open(Arc::clone(&storage) as Arc<dyn Storage>, LIMITS, Seq::FIRST).unwrap();
    storage.take();
    assert_eq!(drain(&mut spill).frames, frames(1..next));
    let reads = storage.take();
    assert_eq!(reads.names.len(), 64);
    assert_eq!(reads.bytes as u64, recovery.bytes);
}
