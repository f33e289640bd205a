//! Durations and sizes as Go programs read them.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a duration as `time.ParseDuration` does, and the days, weeks and years of Prometheus.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is not a duration: write it like `500ms`, `10s` or `1m30s`");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(refuse());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
        let (number, after) = split_where(rest, |letter| !is_number(letter));
        let (unit, after) = split_where(after, is_number);
        let seconds = unit_seconds(unit).ok_or_else(refuse)?;
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| refuse())?;
        total = total.checked_add(part).ok_or_else(refuse)?;
        rest = after;
    }
    Ok(total)
}

fn split_where(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    let at = text.find(is_end).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        "y" => 31_536_000.0,
        _ => return None,
    })
}

/// Reads a size such as `256kb`, `2M` or `100`: units of 1,024, in any case.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let refuse = || format!("`{text}` is not a size: write it like `256kb`, `2M` or `1048576`");
    let (number, unit) = split_where(text.trim(), |letter| !letter.is_ascii_digit());
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 0,
        "k" | "kb" | "kib" | "kilobyte" | "kilobytes" => 10,
        "m" | "mb" | "mib" | "megabyte" | "megabytes" => 20,
        "g" | "gb" | "gib" | "gigabyte" | "gigabytes" => 30,
        "t" | "tb" | "tib" | "terabyte" | "terabytes" => 40,
        _ => return Err(refuse()),
    };
    let number: u64 = number.parse().map_err(|_| refuse())?;
    number.checked_mul(1 << shift).ok_or_else(refuse)
}

/// A duration as Go writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoDuration(pub(crate) Duration);

impl fmt::Display for GoDuration {
    /// Writes whole units of the native form, at least a millisecond unless it is nothing.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_nanos().div_ceil(1_000_000);
        let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        match units
            .iter()
            .find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(*unit_ms))
        {
            Some((unit, unit_ms)) => write!(formatter, "{}{unit}", ms / unit_ms),
            None => write!(formatter, "{ms}ms"),
        }
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = GoDuration;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a duration like `10s`")
    }

    /// A number alone is one of nanoseconds: so Promtail's YAML reader takes it.
    fn visit_u64<E: Error>(self, ns: u64) -> Result<GoDuration, E> {
        Ok(GoDuration(Duration::from_nanos(ns)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<GoDuration, E> {
        parse_duration(text).map(GoDuration).map_err(E::custom)
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

impl fmt::Display for ByteSize {
    /// Writes whole units of the native form.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let is_whole = |shift: u32| self.0 > 0 && self.0.trailing_zeros() >= shift;
        match units.into_iter().find(|(_, shift)| is_whole(*shift)) {
            Some((unit, shift)) => write!(formatter, "{}{unit}", self.0 >> shift),
            None => write!(formatter, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_size(&text).map(ByteSize).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_and_prometheus_read_them() {
        let ms = |text| parse_duration(text).map(|read| read.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("1.5s"), Ok(1500));
        assert_eq!(ms("0"), Ok(0));
        assert_eq!(ms("1d"), Ok(86_400_000));
        for bad in ["", "5", "s", "-1s", "1.2.3s", "1e30y"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_whole_unit() {
        let written = |text| GoDuration(parse_duration(text).unwrap()).to_string();
        assert_eq!(written("60s"), "1m");
        assert_eq!(written("1m30s"), "90s");
        assert_eq!(written("1500ms"), "1500ms");
        assert_eq!(written("10us"), "1ms");
        assert_eq!(written("0"), "0ms");
        assert_eq!(written("2h"), "2h");
    }

    #[test]
    fn sizes_are_in_units_of_1024_in_any_case() {
        assert_eq!(parse_size("256kb"), Ok(262_144));
        assert_eq!(parse_size("2M"), Ok(2 << 20));
        assert_eq!(parse_size("100"), Ok(100));
        assert!(parse_size("ten").is_err());
        assert!(parse_size("99999999999tb").is_err());
        assert_eq!(ByteSize(262_144).to_string(), "256KiB");
        assert_eq!(ByteSize(1000).to_string(), "1000");
        assert_eq!(ByteSize(0).to_string(), "0");
    }
}
