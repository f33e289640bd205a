//! The two parts of JSON that the encoder writes: strings and times.

use tailwater_record::TimestampNs;

/// What stands for bytes that are not UTF-8: U+FFFD.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends both hexadecimal digits of a byte.
pub(crate) fn push_hex(out: &mut Vec<u8>, byte: u8) {
    for nibble in [byte >> 4, byte & 0xf] {
        out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    }
}

/// Appends a quoted string.
pub(crate) fn push_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text.as_bytes());
    out.push(b'"');
}

/// Appends bytes as a quoted string; returns whether all of them were UTF-8.
///
/// Each longest run of bytes that can begin no character becomes one U+FFFD.
pub(crate) fn push_lossy(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(bytes) {
        push_str(out, text);
        return true;
    }
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        push_escaped(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(REPLACEMENT);
        }
    }
    out.push(b'"');
    false
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(plain_len) = rest.iter().position(|byte| must_escape(*byte)) {
        let Some((plain, [byte, after @ ..])) = rest.split_at_checked(plain_len) else {
            break;
        };
        out.extend_from_slice(plain);
        push_escape(out, *byte);
        rest = after;
    }
    out.extend_from_slice(rest);
}

fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            return push_hex(out, byte);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends a number in decimal.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    push_digits(out, number, 1);
}

/// Appends a number in decimal with zeros before it up to `min_digits`.
fn push_digits(out: &mut Vec<u8>, number: u64, min_digits: usize) {
    // 20 digits hold every u64.
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut count = 0_usize;
    for digit in digits.iter_mut().rev() {
        if rest == 0 && count >= min_digits {
            break;
        }
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
    }
    let skip = digits.len().saturating_sub(count);
    out.extend(digits.iter().skip(skip));
}

/// Appends a time as RFC 3339 in UTC with nine digits after the second, without quotes.
pub(crate) fn push_time(out: &mut Vec<u8>, time: TimestampNs) {
    const SECONDS_PER_DAY: u64 = 86_400;
    let (seconds, nanos) = time.parts();
    let date = Date::of_day(seconds / SECONDS_PER_DAY);
    let second_of_day = seconds % SECONDS_PER_DAY;
    for (separator, number, digits) in [
        (None, date.year, 4),
        (Some(b'-'), date.month, 2),
        (Some(b'-'), date.day, 2),
        (Some(b'T'), second_of_day / 3600, 2),
        (Some(b':'), second_of_day / 60 % 60, 2),
        (Some(b':'), second_of_day % 60, 2),
        (Some(b'.'), u64::from(nanos), 9),
    ] {
        out.extend(separator);
        push_digits(out, number, digits);
    }
    out.push(b'Z');
}

/// Reads a time as [`push_time`] writes it, and in no other form.
pub(crate) fn parse_time(text: &str) -> Option<TimestampNs> {
    let mut rest = text.as_bytes();
    let mut take = |digits, separator| {
        let (number, after) = take_digits(rest, digits)?;
        rest = after.strip_prefix(&[separator])?;
        Some(number)
    };
    let date = Date {
        year: take(4, b'-')?,
        month: take(2, b'-')?,
        day: take(2, b'T')?,
    };
    let (hour, minute) = (take(2, b':')?, take(2, b':')?);
    let (second, nanos) = (take(2, b'.')?, take(9, b'Z')?);
    let seconds = (date.to_day()? * 24 + hour) * 3600 + minute * 60 + second;
    let time = TimestampNs(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?);
    // What no calendar or clock shows comes back as another day or hour.
    let mut written = Vec::with_capacity(text.len());
    push_time(&mut written, time);
    (written == text.as_bytes()).then_some(time)
}

/// Takes a number of exactly `digits` digits, at most 19.
fn take_digits(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let mut value = 0;
    for byte in number {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value * 10 + u64::from(digit);
    }
    Some((value, rest))
}

/// Days from 1 March of the year 0 to 1970-01-01.
const DAYS_TO_EPOCH: u64 = 719_468;

struct Date {
    year: u64,
    /// `1..=12`.
    month: u64,
    /// `1..=31`.
    day: u64,
}

impl Date {
    /// Returns the day counted from 1970-01-01, the inverse of [`Self::of_day`]; `None` before it.
    fn to_day(&self) -> Option<u64> {
        let year = self.year.checked_sub(u64::from(self.month <= 2))?;
        let march_month = (self.month + 9) % 12;
        let day_of_year = (153 * march_month + 2) / 5 + self.day.checked_sub(1)?;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
        days.checked_sub(DAYS_TO_EPOCH)
    }

    /// Returns the Gregorian date of a day counted from 1970-01-01.
    ///
    /// Counts in years that start on 1 March, so that the leap day is the last of its year, and in
    /// eras of 400 years, after which the calendar repeats: <https://howardhinnant.github.io/date_algorithms.html>.
    fn of_day(day: u64) -> Self {
        const DAYS_PER_ERA: u64 = 146_097;
        let shifted = day + DAYS_TO_EPOCH;
        let era = shifted / DAYS_PER_ERA;
        let day_of_era = shifted % DAYS_PER_ERA;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(seconds: u64, nanos: u64) -> String {
        let mut out = Vec::new();
        push_time(&mut out, TimestampNs(seconds * 1_000_000_000 + nanos));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_written_with_nine_digits_in_utc() {
        assert_eq!(time(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(time(951_782_399, 1), "2000-02-28T23:59:59.000000001Z");
        assert_eq!(time(951_782_400, 0), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(time(951_868_800, 0), "2000-03-01T00:00:00.000000000Z");
        assert_eq!(
            time(1_772_323_199, 999_999_999),
            "2026-02-28T23:59:59.999999999Z"
        );
        assert_eq!(time(1_772_323_200, 0), "2026-03-01T00:00:00.000000000Z");
        assert_eq!(time(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
    }

    #[test]
    fn invalid_bytes_are_replaced_and_reported() {
        let mut out = Vec::new();
        assert!(!push_lossy(&mut out, b"a\xff\xfe\xc3\xa9\xe2\x82 \"z\""));
        let text: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(text, "a\u{fffd}\u{fffd}\u{e9}\u{fffd} \"z\"");
    }

    proptest! {
        /// Whatever a line holds, a JSON parser gives back the same characters, and the JSON stands
        /// on one line.
        #[test]
        fn every_line_comes_back_from_a_json_parser(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let was_utf8 = push_lossy(&mut out, &bytes);
            let text: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&*text, &*String::from_utf8_lossy(&bytes));
            prop_assert_eq!(was_utf8, std::str::from_utf8(&bytes).is_ok());
            prop_assert!(out.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f));
        }

        #[test]
        fn every_time_is_read_as_it_was_written(time in any::<u64>()) {
            let mut out = Vec::new();
            push_time(&mut out, TimestampNs(time));
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(parse_time(&text), Some(TimestampNs(time)));
        }

        #[test]
        fn every_number_is_written_as_the_standard_library_does(number in any::<u64>()) {
            let mut out = Vec::new();
            push_number(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
