//! The formats of the `timestamp` stage: names that Promtail knows, and Go layouts.

use jiff::tz::TimeZone;

use super::civil::{days_from_civil, days_in_month};
use super::layout::{Layout, YearRule};

/// How a time is written.
#[derive(Clone, Debug)]
pub(crate) enum TimeFormat {
    /// Seconds since the epoch, with a fraction or without.
    Unix,
    /// Whole units since the epoch, so many nanoseconds each.
    UnixUnits(u64),
    /// `RFC3339` and `RFC3339Nano`, and their layout for what is not written in the usual way.
    Rfc3339(Layout),
    /// A layout, and the zone of texts that name none; none: UTC.
    Layout(Layout, Option<TimeZone>),
}

impl TimeFormat {
    /// Finds a format by its name, or takes it as a layout; `zone` is used by layouts alone.
    ///
    /// Returns nothing for a layout without any field: it could match but one text.
    pub(crate) fn new(format: &str, zone: Option<&TimeZone>) -> Option<Self> {
        let layout = match format {
            "Unix" => return Some(Self::Unix),
            "UnixMs" => return Some(Self::UnixUnits(1_000_000)),
            "UnixUs" => return Some(Self::UnixUnits(1_000)),
            "UnixNs" => return Some(Self::UnixUnits(1)),
            "ANSIC" => "Mon Jan _2 15:04:05 2006",
            "UnixDate" => "Mon Jan _2 15:04:05 MST 2006",
            "RubyDate" => "Mon Jan 02 15:04:05 -0700 2006",
            "RFC822" => "02 Jan 06 15:04 MST",
            "RFC822Z" => "02 Jan 06 15:04 -0700",
            "RFC850" => "Monday, 02-Jan-06 15:04:05 MST",
            "RFC1123" => "Mon, 02 Jan 2006 15:04:05 MST",
            "RFC1123Z" => "Mon, 02 Jan 2006 15:04:05 -0700",
            "RFC3339" => return Some(Self::Rfc3339(Layout::new("2006-01-02T15:04:05Z07:00"))),
            "RFC3339Nano" => {
                let layout = Layout::new("2006-01-02T15:04:05.999999999Z07:00");
                return Some(Self::Rfc3339(layout));
            }
            custom => {
                let layout = Layout::new(custom);
                return layout
                    .has_fields()
                    .then(|| Self::Layout(layout, zone.cloned()));
            }
        };
        Some(Self::Layout(Layout::new(layout), None))
    }

    /// Says which year texts are of that say none.
    pub(crate) fn set_year_rule(&mut self, rule: YearRule) {
        match self {
            Self::Unix | Self::UnixUnits(_) => {}
            Self::Rfc3339(layout) | Self::Layout(layout, _) => layout.year = rule,
        }
    }

    /// Returns whether what a text means depends on when it is read: it has no year.
    pub(crate) fn needs_now(&self) -> bool {
        matches!(self, Self::Layout(layout, _) if !layout.has_year)
    }

    /// Returns whether a text takes longer to read than to compare with the last one.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Layout(..))
    }

    /// Reads a time, in nanoseconds since the epoch; nothing where the text does not fit. `beside` is
    /// the zone that stands beside the text, if one does: a layout takes it instead of its own.
    pub(crate) fn parse(&self, text: &[u8], beside: Option<&TimeZone>, now: u64) -> Option<u64> {
        match self {
            Self::Unix => parse_unix(std::str::from_utf8(text).ok()?),
            Self::UnixUnits(ns) => {
                let units: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
                units.checked_mul(*ns)
            }
            Self::Rfc3339(layout) => parse_rfc3339(text).or_else(|| layout.parse(text, None, now)),
            Self::Layout(layout, zone) => layout.parse(text, beside.or(zone.as_ref()), now),
        }
    }
}

/// Reads a time as nearly all write it; nothing where the layout has to say what is meant.
fn parse_rfc3339(text: &[u8]) -> Option<u64> {
    let (date_time, rest) = text.split_first_chunk::<19>()?;
    let [
        c,
        y,
        y1,
        y0,
        b'-',
        m1,
        m0,
        b'-',
        d1,
        d0,
        b'T',
        h1,
        h0,
        b':',
        i1,
        i0,
        b':',
        s1,
        s0,
    ] = *date_time
    else {
        return None;
    };
    let year = i64::from(two_digits(c, y, 99)?) * 100 + i64::from(two_digits(y1, y0, 99)?);
    let (month, day) = (two_digits(m1, m0, 12)?, two_digits(d1, d0, 31)?);
    if month == 0 || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let hours = days_from_civil(year, month, day) * 24 + i64::from(two_digits(h1, h0, 23)?);
    let minutes = hours * 60 + i64::from(two_digits(i1, i0, 59)?);
    let seconds = minutes * 60 + i64::from(two_digits(s1, s0, 59)?);
    let (ns, zone) = match rest.split_first() {
        Some((b'.', rest)) => nanoseconds(rest)?,
        _ => (0, rest),
    };
    let offset = match *zone {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] => {
            let hours = i64::from(two_digits(h1, h0, 23)?);
            let minutes = hours * 60 + i64::from(two_digits(m1, m0, 59)?);
            minutes * if sign == b'-' { -60 } else { 60 }
        }
        _ => return None,
    };
    let seconds = u64::try_from(seconds - offset).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(ns)
}

fn two_digits(tens: u8, ones: u8, max: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    let value = (tens <= 9 && ones <= 9).then(|| tens * 10 + ones)?;
    (value <= max).then_some(value)
}

/// One to nine digits as nanoseconds, and what is behind them.
fn nanoseconds(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut ns = 0;
    let mut unit = 100_000_000;
    let mut rest = text;
    while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
        // A tenth digit has no unit.
        if unit == 0 {
            return None;
        }
        ns += u64::from(*digit - b'0') * unit;
        unit /= 10;
        rest = after;
    }
    (rest.len() < text.len()).then_some((ns, rest))
}

fn parse_unix(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: u64 = seconds.parse().ok()?;
    if fraction.starts_with('+') {
        return None;
    }
    let places = u32::try_from(fraction.len()).ok()?;
    let fraction: u64 = fraction.parse().ok()?;
    let ns = if places <= 9 {
        fraction * 10_u64.pow(9 - places)
    } else {
        fraction / 10_u64.checked_pow(places - 9)?
    };
    seconds.checked_mul(1_000_000_000)?.checked_add(ns)
}

#[cfg(test)]
mod tests;
