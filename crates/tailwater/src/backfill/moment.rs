//! Times as they are given on the command line.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use tailwater_record::TimestampNs;

const SECONDS_PER_WEEK: u64 = 7 * 86_400;

/// A time: one that stands still, or one so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    At(TimestampNs),
    Ago(Duration),
}

impl Moment {
    /// Reads RFC 3339, a date, whose first moment in UTC is meant, or a duration: `90m`, `12h`, `7d`, `2w`.
    ///
    /// # Errors
    /// How it is written.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(ago) = duration(text) {
            return Ok(Self::Ago(ago));
        }
        let at = text.parse::<Timestamp>().or_else(|error| {
            // As a date, jiff reads a time of day too, and leaves it out.
            let is_date = !text.contains([':', ' ', 'T', 't']);
            let date = text.parse::<Date>().ok().filter(|_| is_date).ok_or(error)?;
            date.to_zoned(TimeZone::UTC).map(|day| day.timestamp())
        });
        let nanoseconds = at
            .ok()
            .and_then(|at| u64::try_from(at.as_nanosecond()).ok());
        nanoseconds.map(TimestampNs).map(Self::At).ok_or_else(|| {
            if text.parse::<DateTime>().is_ok() && text.contains(':') {
                return format!("`{text}` names no zone: end it with `Z` for UTC, or with an offset like `+01:00`");
            }
            format!(
                "`{text}` is no time: write it like `2026-11-20T08:00:00Z`, `2026-11-20` or, for that long ago, `7d`"
            )
        })
    }

    /// Returns the time that is meant.
    pub(crate) fn resolve(self, now_ns: u64) -> TimestampNs {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => {
                let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
                TimestampNs(now_ns.saturating_sub(ago))
            }
        }
    }
}

/// Reads a duration, with `w` for weeks.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Some(weeks) = text.strip_suffix('w') {
        let seconds = weeks.parse::<u64>().ok()?.checked_mul(SECONDS_PER_WEEK)?;
        return Some(Duration::from_secs(seconds));
    }
    tailwater_sink::parse_duration(text).ok()
}

/// The times that lines are wanted of; `None` for all.
///
/// # Errors
/// What is wrong with the two. An end that moves with the clock is: what it leaves out now is behind the positions
/// when it has moved.
pub(crate) fn range(
    since: Option<Moment>,
    until: Option<Moment>,
    now_ns: u64,
) -> Result<Option<Range<TimestampNs>>, String> {
    if since.is_none() && until.is_none() {
        return Ok(None);
    }
    if let Some(until @ Moment::Ago(_)) = until {
        return Err(fixed_end(until.resolve(now_ns)));
    }
    let start = since.map_or(TimestampNs(0), |since| since.resolve(now_ns));
    let end = until.map_or(TimestampNs(u64::MAX), |until| until.resolve(now_ns));
    if start >= end {
        return Err("`--since` is not before `--until`: no line is between them".to_owned());
    }
    Ok(Some(start..end))
}

/// Says how an end that moves is written as one that stands still.
fn fixed_end(end: TimestampNs) -> String {
    let seconds = i64::try_from(end.0 / 1_000_000_000).ok();
    let end = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let end = end.unwrap_or_default();
    format!(
        "`--until` needs a time that stays the same when it is run again, or lines are left out for good: write \
         `--until {end}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn times_are_read_as_rfc_3339_as_dates_and_as_durations_ago() {
        let at = |seconds: u64| Ok(Moment::At(TimestampNs(seconds * SECOND)));
        assert_eq!(Moment::parse("1970-01-01T00:01:00Z"), at(60));
        assert_eq!(Moment::parse("1970-01-01T02:00:00+01:00"), at(3600));
        assert_eq!(Moment::parse("1970-01-02"), at(86_400));
        let ago = |seconds| Ok(Moment::Ago(Duration::from_secs(seconds)));
        assert_eq!(Moment::parse("90m"), ago(5400));
        assert_eq!(Moment::parse("7d"), ago(7 * 86_400));
        assert_eq!(Moment::parse("2w"), ago(14 * 86_400));
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "1969-12-31",
            "-1d",
            "7",
            "99999999999999999999w",
        ] {
            Moment::parse(text).unwrap_err();
        }
    }

    #[test]
    fn an_end_that_moves_from_run_to_run_is_refused_and_written_as_one_that_does_not() {
        let hour = Some(Moment::parse("1h").unwrap());
        let error = range(None, hour, 1_795_262_400 * SECOND + 5).unwrap_err();
        assert!(error.ends_with("`--until 2026-11-21T11:00:00Z`"), "{error}");
        range(hour, hour, 0).unwrap_err();
    }

    #[test]
    fn a_time_of_day_without_a_zone_is_refused_and_not_left_out() {
        for text in [
            "2026-11-21T10:00",
            "2026-11-21 10:00:00",
            "2026-11-21t10:00:00.5",
            "20261121T100000",
        ] {
            Moment::parse(text).unwrap_err();
        }
        let error = Moment::parse("2026-11-21 10:00:00").unwrap_err();
        assert!(error.contains("names no zone"), "{error}");
        let with_zone = Moment::parse("2026-11-21 10:00:00Z");
        assert_eq!(with_zone, Moment::parse("2026-11-21T11:00:00+01:00"));
    }

    #[test]
    fn a_range_ends_before_its_end_and_is_never_empty() {
        let parse = |text| Some(Moment::parse(text).unwrap());
        let now = 100 * SECOND;
        assert_eq!(range(None, None, now), Ok(None));
        let until = range(None, parse("1970-01-01T00:00:50Z"), now);
        assert_eq!(until, Ok(Some(TimestampNs(0)..TimestampNs(50 * SECOND))));
        let last = range(parse("30s"), parse("1970-01-01T00:01:30Z"), now);
        assert_eq!(
            last,
            Ok(Some(TimestampNs(70 * SECOND)..TimestampNs(90 * SECOND)))
        );
        range(parse("10s"), parse("1970-01-01T00:01:10Z"), now).unwrap_err();
        range(parse("1970-01-01"), parse("1970-01-01"), now).unwrap_err();
        // Longer ago than there is time: from the beginning.
        let all = range(parse("3000w"), None, now);
        assert_eq!(all, Ok(Some(TimestampNs(0)..TimestampNs(u64::MAX))));
    }
}
