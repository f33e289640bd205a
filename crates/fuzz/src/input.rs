//! Takes an input apart into what a target needs.

/// Splits off the first byte, which chooses among `count` ways, and returns the way and the rest.
///
/// Letters and digits choose as well as any byte does, so that an input can be written by hand.
pub(crate) fn choice(input: &[u8], count: u8) -> (u8, &[u8]) {
    let (first, rest) = input.split_first().unwrap_or((&0, &[]));
    (first.checked_rem(count).unwrap_or(0), rest)
}

/// Splits off the first line, without its `\n`; nothing follows where there is none.
pub(crate) fn line(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (line, rest) = input.split_at(end.unwrap_or(input.len()));
    (line, rest.get(1..).unwrap_or_default())
}

/// Splits off the first line, as text; `None` where it is not UTF-8.
pub(crate) fn text_line(input: &[u8]) -> Option<(&str, &[u8])> {
    let (line, rest) = line(input);
    Some((std::str::from_utf8(line).ok()?, rest))
}

/// Returns the lines, the last one also without a `\n`.
pub(crate) fn lines(input: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let input = input.strip_suffix(b"\n").unwrap_or(input);
    input.split(|byte| *byte == b'\n')
}
