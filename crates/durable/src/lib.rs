//! The only seam to the disk: append, sync, atomic replace, frames, file lock.
