//! `truncate`: long lines are cut. Ours, for Promtail's `limits_config.max_line_size_truncate`.

use std::sync::Arc;

use crate::TruncateConfig;
use crate::draft::Draft;
use crate::error::Fault;
use crate::registry::Registry;

#[derive(Clone, Debug)]
pub(crate) struct Truncate {
    max_bytes: usize,
    /// Not while lines pass that were counted before.
    pub(crate) are_counted: bool,
    /// Set when the stages are complete.
    pub(crate) registry: Arc<Registry>,
}

impl Truncate {
    pub(crate) fn new(config: &TruncateConfig) -> Result<Self, Fault> {
        let max_bytes = parse_size(&config.max_bytes).filter(|bytes| *bytes > 0);
        let max_bytes = max_bytes.ok_or_else(|| {
            Fault::new(
                format!("`{}` is no size above 0", config.max_bytes),
                "write bytes, or one such as `256KiB`",
            )
        })?;
        Ok(Self {
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            are_counted: true,
            registry: Arc::default(),
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &mut Draft<'_>) {
        let bytes = draft.line_bytes();
        let len = bytes.len();
        if len <= self.max_bytes {
            return;
        }
        let end = boundary(bytes, self.max_bytes);
        draft.line = draft.line.part(0, end);
        if self.are_counted {
            self.registry.count_truncated(len - end);
        }
    }
}

/// The last end of a character at or before an offset; bytes that are no character are all ends.
fn boundary(bytes: &[u8], max: usize) -> usize {
    // A character has four bytes at most.
    let start = (1..=3).find_map(|back| {
        let start = max.checked_sub(back)?;
        let len = match bytes.get(start)? {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let character = bytes.get(start..start + len)?;
        let is_cut = len > back && std::str::from_utf8(character).is_ok();
        is_cut.then_some(start)
    });
    start.unwrap_or(max)
}

/// Reads a size as elsewhere in a native configuration: `KiB` has 1,024 bytes, `kB` 1,000.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
