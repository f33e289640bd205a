//! Bounds of what a worker keeps from line to line.

/// Bounds of what a [`crate::Worker`] keeps from line to line, per stage where not said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one group of lines; at more it is released as it is, and goes on as a new one.
    pub max_group_bytes: usize,
    /// Bytes of all groups, of their extracted values and of their labels; at more the oldest are released, an eighth of all at once.
    pub max_held_bytes: usize,
    /// Streams with a group; at more the oldest are released and forgotten, an eighth at once.
    pub max_streams: usize,
    /// Bytes of interned label sets of the worker; at more they are interned anew.
    pub max_label_bytes: usize,
    /// Series of one metric; lines of further ones are not counted in it.
    pub max_series: usize,
}

impl Default for Limits {
    /// 8 MiB a group, 64 MiB of groups, 4,096 streams, 16 MiB of label sets, 10,000 series: a
    /// group of Promtail's 128 lines of a kilobyte fills a 64th of the first.
    fn default() -> Self {
        Self {
            max_group_bytes: 8 << 20,
            max_held_bytes: 64 << 20,
            max_streams: 4096,
            max_label_bytes: 16 << 20,
            max_series: 10_000,
        }
    }
}
