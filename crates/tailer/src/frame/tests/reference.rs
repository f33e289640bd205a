//! What a file's lines are, told by a reader that has all of it in memory.

use crate::frame::{
    CONTINUED_SUFFIX, Cut, FrameConfig, FrameStats, OverLimit, ResolvedEncoding, TRUNCATED_SUFFIX,
};

#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) lines: Vec<(Vec<u8>, Cut)>,
    pub(super) stats: FrameStats,
    pub(super) mark_bytes: u64,
}

/// Frames a finished file; its units are bytes, or in UTF-16 pairs of bytes and perhaps half a pair.
pub(super) fn frame(
    file: &[u8],
    encoding: ResolvedEncoding,
    config: FrameConfig,
    is_after_truncation: bool,
) -> Expected {
    let unit_bytes = if encoding == ResolvedEncoding::Utf8 {
        1
    } else {
        2
    };
    let mut expected = Expected::default();
    let mut rest = file;
    if let Some(marked) = rest.strip_prefix(encoding.mark()) {
        expected.mark_bytes = encoding.mark().len() as u64;
        rest = marked;
    } else if is_after_truncation {
        let mut hole = 0;
        while rest[hole..].len() >= unit_bytes
            && rest[hole..hole + unit_bytes].iter().all(|b| *b == 0)
        {
            hole += unit_bytes;
        }
        if rest[hole..] == [0] {
            hole += 1;
        }
        expected.stats.hole_bytes = hole as u64;
        rest = &rest[hole..];
    }
    let units: Vec<&[u8]> = rest.chunks(unit_bytes).collect();
    let (newline, carriage_return): (&[u8], &[u8]) = match encoding {
        ResolvedEncoding::Utf8 => (b"\n", b"\r"),
        ResolvedEncoding::Utf16Le => (b"\n\0", b"\r\0"),
        ResolvedEncoding::Utf16Be => (b"\0\n", b"\0\r"),
    };
    let lines: Vec<_> = units.split_inclusive(|unit| *unit == newline).collect();
    for line in lines {
        match line.split_last() {
            Some((last, body)) if *last == newline => {
                let content = body.strip_suffix(&[carriage_return]).unwrap_or(body);
                let returns = body.len() - content.len();
                expected.add(content, Cut::Whole, encoding, config, returns * unit_bytes);
            }
            _ => expected.add(line, Cut::Unterminated, encoding, config, 0),
        }
    }
    expected
}

impl Expected {
    fn add(
        &mut self,
        content: &[&[u8]],
        cut: Cut,
        encoding: ResolvedEncoding,
        config: FrameConfig,
        return_bytes: usize,
    ) {
        let is_text_start = |units: &[&[u8]], at: usize| match (encoding, units.get(at)) {
            (ResolvedEncoding::Utf8, Some([byte])) => !(0x80..0xc0).contains(byte),
            (ResolvedEncoding::Utf8, _) => true,
            (_, _) => !matches!(units[at - 1], [a, b] if {
                let unit = if encoding == ResolvedEncoding::Utf16Le { [*a, *b] } else { [*b, *a] };
                (0xd800..0xdc00).contains(&u16::from_le_bytes(unit))
            }),
        };
        let unit_bytes = if encoding == ResolvedEncoding::Utf8 {
            1
        } else {
            2
        };
        let limit = config.max_line_bytes / unit_bytes * unit_bytes;
        let suffix = match config.over_limit {
            OverLimit::Truncate => TRUNCATED_SUFFIX,
            OverLimit::Split => CONTINUED_SUFFIX,
        };
        let most = (limit - suffix.len()) / unit_bytes;
        let mut rest = content;
        while rest.concat().len() > limit {
            let furthest_back = if unit_bytes == 1 { 3 } else { 1 };
            let kept = (most - furthest_back..=most)
                .rev()
                .find(|at| is_text_start(rest, *at));
            let (head, tail) = rest.split_at(kept.unwrap_or(most));
            let mut line = self.decode(head, encoding);
            line.extend_from_slice(suffix.as_bytes());
            if config.over_limit == OverLimit::Truncate {
                self.stats.truncated_lines += 1;
                self.stats.skipped_bytes += (tail.concat().len() + return_bytes) as u64;
                return self.lines.push((line, Cut::Truncated));
            }
            self.stats.split_lines += u64::from(rest.len() == content.len());
            self.lines.push((line, Cut::Continued));
            rest = tail;
        }
        let line = self.decode(rest, encoding);
        self.lines.push((line, cut));
    }

    fn decode(&mut self, units: &[&[u8]], encoding: ResolvedEncoding) -> Vec<u8> {
        if encoding == ResolvedEncoding::Utf8 {
            return units.concat();
        }
        let decoder = |unit: &&[u8]| match (encoding, *unit) {
            (ResolvedEncoding::Utf16Le, [a, b]) => u16::from_le_bytes([*a, *b]),
            (_, [a, b]) => u16::from_be_bytes([*a, *b]),
            // Half a unit: an unpaired surrogate is replaced as well.
            _ => 0xdc00,
        };
        let wide: Vec<u16> = units.iter().map(decoder).collect();
        // Half a unit after a high surrogate must not pair with it.
        let has_half = units.last().is_some_and(|unit| unit.len() == 1);
        let (whole, half) = wide.split_at(wide.len() - usize::from(has_half));
        self.stats.undecodable_lines += u64::from(has_half || String::from_utf16(whole).is_err());
        let text = String::from_utf16_lossy(whole) + &String::from_utf16_lossy(half);
        text.into_bytes()
    }
}
