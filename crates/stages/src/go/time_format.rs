//! The formats of the `timestamp` stage: names that Promtail knows, and Go layouts.

use jiff::tz::TimeZone;

use super::layout::Layout;

/// How a time is written.
#[derive(Clone, Debug)]
pub(crate) enum TimeFormat {
    /// Seconds since the epoch, with a fraction or without.
    Unix,
    /// Whole units since the epoch, so many nanoseconds each.
    UnixUnits(u64),
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
            "RFC3339" => "2006-01-02T15:04:05Z07:00",
            "RFC3339Nano" => "2006-01-02T15:04:05.999999999Z07:00",
            custom => {
                let layout = Layout::new(custom);
                return layout
                    .has_fields()
                    .then(|| Self::Layout(layout, zone.cloned()));
            }
        };
        Some(Self::Layout(Layout::new(layout), None))
    }

    /// Reads a time, in nanoseconds since the epoch; nothing where the text does not fit.
    pub(crate) fn parse(&self, text: &[u8], now: u64) -> Option<u64> {
        match self {
            Self::Unix => parse_unix(std::str::from_utf8(text).ok()?),
            Self::UnixUnits(ns) => {
                let units: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
                units.checked_mul(*ns)
            }
            Self::Layout(layout, zone) => layout.parse(text, zone.as_ref(), now),
        }
    }
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
