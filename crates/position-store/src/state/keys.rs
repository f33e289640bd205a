//! Keys under which files stand in an index.

use std::collections::HashMap;
use std::hash::Hash;

use super::FileKey;

/// The files under one inode or one path: one but for reuse and rotation, and then without an allocation.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    One(FileKey),
    /// In the order they were entered in; at least one.
    Several(Vec<FileKey>),
}

impl Keys {
    /// Returns them in the order they were entered in.
    pub(super) fn as_slice(&self) -> &[FileKey] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Several(keys) => keys,
        }
    }

    fn push(&mut self, key: FileKey) {
        match self {
            Self::One(first) => *self = Self::Several(vec![*first, key]),
            Self::Several(keys) => keys.push(key),
        }
    }
}

/// Enters a file in an index.
pub(super) fn add<I: Hash + Eq>(index: &mut HashMap<I, Keys>, at: I, key: FileKey) {
    index
        .entry(at)
        .and_modify(|keys| keys.push(key))
        .or_insert(Keys::One(key));
}

/// Takes a file out of an index.
pub(super) fn remove<I, Q>(index: &mut HashMap<I, Keys>, at: &Q, key: FileKey)
where
    I: Hash + Eq + std::borrow::Borrow<Q>,
    Q: Hash + Eq + ?Sized,
{
    let is_empty = match index.get_mut(at) {
        None => return,
        Some(Keys::One(known)) => *known == key,
        Some(Keys::Several(keys)) => {
            keys.retain(|known| *known != key);
            keys.is_empty()
        }
    };
    if is_empty {
        index.remove(at);
    }
}
