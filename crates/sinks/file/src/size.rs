//! Sizes as they are written in the configuration.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number of bytes: `64MiB`, `512KiB`, `1000`.
///
/// The units are `B`, `KiB`, `MiB`, `GiB` and `TiB`, each 1024 of the one before; a plain number
/// counts bytes. Fractions are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Units and the power of two that each stands for.
const UNITS: [(&str, u32); 6] = [
    ("", 0),
    ("B", 0),
    ("KiB", 10),
    ("MiB", 20),
    ("GiB", 30),
    ("TiB", 40),
];

impl ByteSize {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits_end = text
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at(digits_end);
        let unit = unit.trim_start();
        let (_, shift) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .filter(|_| !digits.is_empty())
            .ok_or_else(|| {
                format!("invalid size `{text}`: write a whole number and B, KiB, MiB, GiB or TiB")
            })?;
        digits
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| format!("size `{text}` is more than 2^64 bytes"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a size such as `64MiB`, or a number of bytes")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<ByteSize, E> {
        u64::try_from(bytes)
            .map(ByteSize)
            .map_err(|_negative| E::custom(format!("size {bytes} is negative")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
        ByteSize::parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<u64, String> {
        serde_json::from_str::<ByteSize>(json)
            .map(|size| size.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_are_read_with_a_unit_or_as_plain_bytes() {
        assert_eq!(read("4096"), Ok(4096));
        assert_eq!(read("\"4096\""), Ok(4096));
        assert_eq!(read("\"7B\""), Ok(7));
        assert_eq!(read("\"64MiB\""), Ok(64 << 20));
        assert_eq!(read("\" 2 GiB \""), Ok(2 << 30));
    }

    #[test]
    fn sizes_that_mean_nothing_are_refused_with_what_to_write() {
        for text in ["\"\"", "\"MiB\"", "\"64MB\"", "\"1.5GiB\"", "\"-1\""] {
            let error = read(text).unwrap_err();
            assert!(error.contains("KiB, MiB"), "{text}: {error}");
        }
        assert!(read("-1").unwrap_err().contains("negative"));
        let error = read("\"99999999999TiB\"").unwrap_err();
        assert!(error.contains("2^64"), "{error}");
    }
}
