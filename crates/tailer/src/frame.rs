//! Framing: bytes of a file to lines.

/// What happens to a line over the limit. It never stops the file and is never held in memory whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OverLimit {
    /// The first `max_line_bytes` are kept, marked, and the rest of the line is skipped and counted.
    #[default]
    Truncate,
    /// The line becomes several records of at most `max_line_bytes`, each but the last marked.
    Split,
}

/// How the bytes of a file are read as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// By the byte order mark, else bytes with `\n` between lines.
    #[default]
    Auto,
    /// Bytes with `\n` between lines; a UTF-8 mark at the start is dropped.
    Utf8,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
}

/// How a source's files are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameConfig {
    /// Longest line in bytes, delimiter excluded; at least 64.
    pub max_line_bytes: usize,
    /// What happens to a longer line.
    pub over_limit: OverLimit,
    /// How bytes are read as text.
    pub encoding: Encoding,
}
