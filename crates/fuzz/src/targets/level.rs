//! Finding the level of a line: in its first 512 bytes, and nowhere else.

use tailwater_record::Level;

const LOOKED_AT_BYTES: usize = 512;

pub(crate) fn run(bytes: &[u8]) {
    let level = Level::detect(bytes);
    if let Some(head) = bytes.get(..LOOKED_AT_BYTES) {
        assert_eq!(
            level,
            Level::detect(head),
            "bytes behind the first 512 count"
        );
    }
    if let Ok(word) = std::str::from_utf8(bytes)
        && let Ok(level) = word.parse::<Level>()
    {
        assert_eq!(level.as_str().parse(), Ok(level));
    }
}
