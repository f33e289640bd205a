//! The plain part of a string, eight bytes at a time.

/// How many bytes come before a quote, a backslash or a control character.
///
/// Eight bytes at a time: most strings are too short for more to pay.
#[inline]
pub(super) fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // With one bit turned, the quote is what follows the control characters.
        let quote = (word ^ (ONES * 0x02)).wrapping_sub(ONES * (0x20 + 1));
        let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        // The high bit of each byte that was smaller, and maybe of some above the first such.
        let hits = (quote | backslash) & !word & HIGH_BITS;
        if hits != 0 {
            let byte = usize::try_from(hits.trailing_zeros() / 8).unwrap_or(0);
            return index * 8 + byte;
        }
    }
    let is_plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    text.len() - rest.len() + rest.iter().take_while(|byte| is_plain(byte)).count()
}
