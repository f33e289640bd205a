//! Positions on disk: a checksummed journal with compaction.
