//! The only seam to the disk: append, sync, atomic replace, frames, file lock.
//!
//! Everything that tailwater must find again after a crash goes through [`Storage`]: [`Disk`] in
//! production, [`MemoryStorage`] where nothing is to be kept, and `CrashStorage` (feature
//! `crash-storage`) where a test cuts the power. What is stored is the business of the caller.

#[cfg(any(test, feature = "crash-storage"))]
mod crash;
mod disk;
pub mod frame;
mod lock;
mod memory;
mod storage;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "crash-storage"))]
pub use crash::{CrashStorage, Fault, Unsynced};
pub use disk::Disk;
pub use lock::{DirLock, LOCK_FILE_NAME, LockError};
pub use memory::MemoryStorage;
pub use storage::{AppendFile, Storage, StorageError, TEMPORARY_SUFFIX};
