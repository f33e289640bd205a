//! Times for people and for other programs.

use tailwater_record::TimestampNs;

const SECONDS_PER_DAY: u64 = 86_400;

/// Returns a time as RFC 3339 in UTC with nine digits after the second: as the file sink writes it.
pub(super) fn rfc3339(time: TimestampNs) -> String {
    let (seconds, nanos) = time.parts();
    let (year, month, day) = date_of(seconds / SECONDS_PER_DAY);
    let of_day = seconds % SECONDS_PER_DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Returns year, month and day of a day counted from 1970-01-01; 64 bits of nanoseconds end in 2554.
fn date_of(day: u64) -> (u64, u64, u64) {
    let (mut year, mut left) = (1970, day);
    while left >= days_of_year(year) {
        left -= days_of_year(year);
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (1..).zip(lengths) {
        if left < length {
            return (year, month, left + 1);
        }
        left -= length;
    }
    (year, 12, 31)
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_file_sink_writes_them() {
        let written = |seconds: u64, nanos| rfc3339(TimestampNs(seconds * 1_000_000_000 + nanos));
        assert_eq!(written(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(written(951_782_399, 1), "2000-02-28T23:59:59.000000001Z");
        assert_eq!(written(951_782_400, 0), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(written(951_868_800, 0), "2000-03-01T00:00:00.000000000Z");
        assert_eq!(
            written(1_772_323_199, 999_999_999),
            "2026-02-28T23:59:59.999999999Z"
        );
        assert_eq!(written(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
        assert_eq!(
            rfc3339(TimestampNs(u64::MAX)),
            "2554-07-21T23:34:33.709551615Z"
        );
    }
}
