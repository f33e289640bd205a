//! UTF-16: units, not bytes, are what a line is made of.

use super::ResolvedEncoding;

/// Bytes of one unit.
pub(super) const UNIT_BYTES: usize = 2;

/// Rounds down to whole units.
pub(super) fn floor_even(len: usize) -> usize {
    len & !1
}

/// Returns the index of the first newline that is a unit of its own.
pub(super) fn find_newline(text: &[u8], encoding: ResolvedEncoding) -> Option<usize> {
    let unit = units(text, encoding).position(|unit| unit == u16::from(b'\n'))?;
    unit.checked_mul(UNIT_BYTES)
}

/// Returns the index of the last newline that is a unit of its own.
pub(super) fn find_last_newline(text: &[u8], encoding: ResolvedEncoding) -> Option<usize> {
    let newlines = units(text, encoding).enumerate();
    let (unit, _) = newlines
        .filter(|(_, unit)| *unit == u16::from(b'\n'))
        .last()?;
    unit.checked_mul(UNIT_BYTES)
}

/// Returns the largest length, at most `max_bytes`, that splits neither a unit nor a surrogate pair.
pub(super) fn floor_char_boundary(
    text: &[u8],
    max_bytes: usize,
    encoding: ResolvedEncoding,
) -> usize {
    let len = floor_even(max_bytes);
    let last_unit = len
        .checked_sub(UNIT_BYTES)
        .and_then(|at| text.get(at..len))
        .and_then(|last| units(last, encoding).next());
    match last_unit {
        Some(0xd800..=0xdbff) => len.saturating_sub(UNIT_BYTES),
        Some(_) | None => len,
    }
}

/// Appends the text as UTF-8; returns whether something had to be replaced by U+FFFD: an unpaired
/// surrogate, or half a unit at the end.
pub(super) fn decode(text: &[u8], encoding: ResolvedEncoding, decoded: &mut Vec<u8>) -> bool {
    let (_, half_unit) = text.as_chunks::<UNIT_BYTES>();
    let mut is_lossy = !half_unit.is_empty();
    let mut utf8 = [0; 4];
    for character in char::decode_utf16(units(text, encoding)) {
        let character = character.unwrap_or_else(|_| {
            is_lossy = true;
            char::REPLACEMENT_CHARACTER
        });
        decoded.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    }
    if !half_unit.is_empty() {
        let replacement = char::REPLACEMENT_CHARACTER.encode_utf8(&mut utf8);
        decoded.extend_from_slice(replacement.as_bytes());
    }
    is_lossy
}

fn units(text: &[u8], encoding: ResolvedEncoding) -> impl Iterator<Item = u16> {
    let (units, _half) = text.as_chunks::<UNIT_BYTES>();
    units.iter().map(move |unit| match encoding {
        ResolvedEncoding::Utf16Be => u16::from_be_bytes(*unit),
        ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf8 => u16::from_le_bytes(*unit),
    })
}
