//! The framer: any chunking gives the same lines.

use tailwater_tailer::{Cut, Encoding};

use crate::chunks::{self, Framing};
use crate::input;

const ENCODINGS: [Encoding; 4] = [
    Encoding::Auto,
    Encoding::Utf8,
    Encoding::Utf16Le,
    Encoding::Utf16Be,
];

pub(crate) fn run(bytes: &[u8]) {
    let (way, rest) = input::choice(bytes, 16);
    let (line_bytes, rest) = input::choice(rest, 255);
    let (extra, file) = input::choice(rest, 255);
    let mut framing = Framing::new(usize::from(line_bytes), way & 4 != 0);
    framing.is_after_truncation = way & 8 != 0;
    if let Some(encoding) = ENCODINGS.get(usize::from(way & 3)) {
        framing.config.encoding = *encoding;
    }
    let whole = chunks::read(&framing, file, usize::MAX);
    let chunked = chunks::read(&framing, file, usize::from(extra));
    let plain = |records: &[chunks::Framed]| -> Vec<(Vec<u8>, u64, Cut)> {
        let plain = records.iter();
        plain
            .map(|record| (record.line.clone(), record.span.start, record.cut))
            .collect()
    };
    assert_eq!(plain(&whole), plain(&chunked));
    for (one, other) in whole.iter().zip(&chunked) {
        // Only the rest of a truncated line may lie outside of its span.
        assert!(one.cut == Cut::Truncated || one.span == other.span);
    }
}
