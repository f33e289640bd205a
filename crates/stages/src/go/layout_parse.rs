//! Reads a time by a layout, with the rules of Go's `time.Parse`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::civil::{days_from_civil, days_in_month, is_leap, year_and_month};
use super::layout::{Field, Layout, OffsetShape, Part, YearRule};

const NS_PER_SECOND: i128 = 1_000_000_000;

/// How far clocks and zones may differ: a line is not of a later time than that.
const MAX_AHEAD_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// What has been read of a time.
#[derive(Clone, Debug, Default)]
struct Fields<'a> {
    year: i64,
    month: Option<u8>,
    day: Option<u8>,
    year_day: Option<u16>,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
    half: Option<Half>,
    zone: Option<Zone<'a>>,
}

#[derive(Clone, Copy, Debug)]
enum Half {
    Am,
    Pm,
}

#[derive(Clone, Copy, Debug)]
enum Zone<'a> {
    /// Seconds east of UTC.
    Offset(i32),
    /// An abbreviation.
    Name(&'a str),
}

/// Digits at the start of a text: at least `min`, at most `max`.
fn number<'a>(text: &mut &'a [u8], min: usize, max: usize) -> Option<&'a [u8]> {
    let len = text
        .iter()
        .take(max)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if len < min {
        return None;
    }
    let (digits, rest) = text.split_at_checked(len)?;
    *text = rest;
    Some(digits)
}

fn decimal(digits: &[u8]) -> u32 {
    digits.iter().fold(0_u32, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

/// A number of one or two digits, or of exactly two.
fn two_digits(text: &mut &[u8], is_fixed: bool, range: std::ops::RangeInclusive<u8>) -> Option<u8> {
    let value = decimal(number(text, if is_fixed { 2 } else { 1 }, 2)?);
    u8::try_from(value)
        .ok()
        .filter(|value| range.contains(value))
}

fn take<'a>(text: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = text.split_at_checked(len)?;
    *text = rest;
    Some(taken)
}

/// The index of the name that the text starts with, in any case.
fn name(text: &mut &[u8], names: &[&str], len: Option<usize>) -> Option<u8> {
    let index = names.iter().position(|name| {
        let name = name.as_bytes();
        let name = name.get(..len.unwrap_or(name.len())).unwrap_or(name);
        let found = text
            .get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name));
        if found {
            *text = text.get(name.len()..).unwrap_or_default();
        }
        found
    })?;
    u8::try_from(index).ok()
}

/// Nanoseconds of a separator and digits; digits after the ninth are read and ignored.
fn fraction(text: &mut &[u8], min: usize, max: usize) -> Option<u32> {
    match take(text, 1)? {
        b"." | b"," => {}
        _ => return None,
    }
    let digits = number(text, min, max)?;
    let kept = digits.get(..9).unwrap_or(digits);
    let missing = u32::try_from(9 - kept.len()).unwrap_or(0);
    Some(decimal(kept).saturating_mul(10_u32.pow(missing)))
}

fn starts_fraction(text: &[u8]) -> bool {
    matches!(text, [b'.' | b',', digit, ..] if digit.is_ascii_digit())
}

/// Skips a literal; its spaces stand for any number of spaces.
fn skip_literal(text: &mut &[u8], literal: &[u8]) -> Option<()> {
    let mut literal = literal;
    while let Some((first, rest)) = literal.split_first() {
        if *first == b' ' {
            if text.first().is_some_and(|byte| *byte != b' ') {
                return None;
            }
            literal = literal.trim_ascii_start_spaces();
            *text = text.trim_ascii_start_spaces();
        } else {
            if text.first() != Some(first) {
                return None;
            }
            *text = text.get(1..)?;
            literal = rest;
        }
    }
    Some(())
}

trait TrimSpaces {
    fn trim_ascii_start_spaces(&self) -> &Self;
}

impl TrimSpaces for [u8] {
    fn trim_ascii_start_spaces(&self) -> &[u8] {
        let spaces = self.iter().take_while(|byte| **byte == b' ').count();
        self.get(spaces..).unwrap_or_default()
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self, field: Field, text: &mut &'a [u8], fraction_follows: bool) -> Option<()> {
        match field {
            Field::LongMonth => self.month = Some(name(text, &MONTHS, None)? + 1),
            Field::Month => self.month = Some(name(text, &MONTHS, Some(3))? + 1),
            Field::NumMonth | Field::ZeroMonth => {
                self.month = Some(two_digits(text, field == Field::ZeroMonth, 1..=12)?);
            }
            Field::LongWeekday => drop(name(text, &WEEKDAYS, None)?),
            Field::Weekday => drop(name(text, &WEEKDAYS, Some(3))?),
            Field::Day | Field::PaddedDay | Field::ZeroDay => self.read_day(field, text)?,
            Field::PaddedYearDay | Field::ZeroYearDay => self.read_year_day(field, text)?,
            Field::Hour => self.hour = two_digits(text, false, 0..=23)?,
            Field::Hour12 | Field::ZeroHour12 => {
                self.hour = two_digits(text, field == Field::ZeroHour12, 0..=12)?;
            }
            Field::Minute | Field::ZeroMinute => {
                self.minute = two_digits(text, field == Field::ZeroMinute, 0..=59)?;
            }
            Field::Second | Field::ZeroSecond => {
                self.second = two_digits(text, field == Field::ZeroSecond, 0..=59)?;
                if !fraction_follows && starts_fraction(text) {
                    self.nanosecond = fraction(text, 1, usize::MAX)?;
                }
            }
            Field::LongYear => self.year = i64::from(decimal(number(text, 4, 4)?)),
            Field::Year => {
                let year = i64::from(decimal(number(text, 2, 2)?));
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            Field::UpperPm => self.half = Some(half(take(text, 2)?, b"AM", b"PM")?),
            Field::LowerPm => self.half = Some(half(take(text, 2)?, b"am", b"pm")?),
            Field::ZoneName => self.zone = Some(zone_name(text)?),
            Field::Offset(shape) => self.zone = Some(Zone::Offset(offset(text, shape)?)),
            Field::Fraction(digits) => {
                self.nanosecond = fraction(text, digits.into(), digits.into())?;
            }
            Field::OptionalFraction => {
                if starts_fraction(text) {
                    self.nanosecond = fraction(text, 1, usize::MAX)?;
                }
            }
        }
        Some(())
    }

    fn read_day(&mut self, field: Field, text: &mut &'a [u8]) -> Option<()> {
        if field == Field::PaddedDay && text.first() == Some(&b' ') {
            *text = text.get(1..)?;
        }
        self.day = Some(two_digits(text, field == Field::ZeroDay, 1..=31)?);
        Some(())
    }

    fn read_year_day(&mut self, field: Field, text: &mut &'a [u8]) -> Option<()> {
        let mut min = 3;
        if field == Field::PaddedYearDay {
            min = 1;
            let spaces = text
                .iter()
                .take(2)
                .take_while(|byte| **byte == b' ')
                .count();
            *text = text.get(spaces..)?;
        }
        self.year_day = Some(u16::try_from(decimal(number(text, min, 3)?)).ok()?);
        Some(())
    }

    /// Checks the date; days from 1970-01-01.
    fn days(&self, year: i64) -> Option<i64> {
        if let Some(day) = self.year_day {
            let last = if is_leap(year) { 366 } else { 365 };
            if day == 0 || day > last {
                return None;
            }
            let days = days_from_civil(year, 1, 1) + i64::from(day) - 1;
            let (_, month) = year_and_month(days);
            return self
                .month
                .is_none_or(|given| given == month)
                .then_some(days);
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        // By the year as it was read: 29 February of no year is valid, and becomes 1 March of a
        // year without it.
        (day <= days_in_month(self.year, month)).then(|| days_from_civil(year, month, day))
    }

    fn hour_of_day(&self) -> u8 {
        match self.half {
            Some(Half::Pm) if self.hour < 12 => self.hour + 12,
            Some(Half::Am) if self.hour == 12 => 0,
            _ => self.hour,
        }
    }

    /// Seconds since the epoch, as if the time were one of UTC.
    fn wall_seconds(&self, year: i64) -> Option<i64> {
        let hours = self.days(year)? * 24 + i64::from(self.hour_of_day());
        Some((hours * 60 + i64::from(self.minute)) * 60 + i64::from(self.second))
    }
}

fn half(text: &[u8], am: &[u8], pm: &[u8]) -> Option<Half> {
    if text == pm {
        return Some(Half::Pm);
    }
    (text == am).then_some(Half::Am)
}

/// Seconds east of UTC.
fn offset(text: &mut &[u8], shape: OffsetShape) -> Option<i32> {
    if shape.is_z_utc && text.first() == Some(&b'Z') {
        *text = text.get(1..)?;
        return Some(0);
    }
    let sign = match take(text, 1)? {
        b"+" => 1,
        b"-" => -1,
        _ => return None,
    };
    let mut seconds = i32::from(two_digits(text, true, 0..=24)?) * 3600;
    for (is_present, unit) in [(shape.has_minutes, 60), (shape.has_seconds, 1)] {
        if !is_present {
            continue;
        }
        if shape.has_colons && take(text, 1)? != b":" {
            return None;
        }
        seconds += i32::from(two_digits(text, true, 0..=60)?) * unit;
    }
    Some(sign * seconds)
}

/// Reads the abbreviation of a zone: three to five capitals, `GMT` with hours, or hours alone.
fn zone_name<'a>(text: &mut &'a [u8]) -> Option<Zone<'a>> {
    if text.starts_with(b"UTC") {
        take(text, 3)?;
        return Some(Zone::Offset(0));
    }
    let capitals = text
        .iter()
        .take(6)
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    let len = if text.starts_with(b"ChST") || text.starts_with(b"MeST") {
        4
    } else if text.starts_with(b"GMT") {
        3 + signed_hours(text.get(3..)?)
    } else if matches!(text.first(), Some(b'+' | b'-')) {
        Some(signed_hours(text)).filter(|len| *len > 0)?
    } else {
        let ends_in_t = capitals > 0 && text.get(capitals - 1) == Some(&b'T');
        match capitals {
            3 => 3,
            4 if ends_in_t || text.starts_with(b"WITA") => 4,
            5 if ends_in_t => 5,
            _ => return None,
        }
    };
    std::str::from_utf8(take(text, len)?).ok().map(Zone::Name)
}

/// The length of a sign and hours below 24, or 0.
fn signed_hours(text: &[u8]) -> usize {
    let Some((b'+' | b'-', mut rest)) = text.split_first() else {
        return 0;
    };
    match number(&mut rest, 1, usize::MAX) {
        Some(digits) if decimal(digits) <= 23 => 1 + digits.len(),
        _ => 0,
    }
}

impl Layout {
    /// Reads a time; `zone` is that of texts that name none, `now` (nanoseconds since the epoch)
    /// gives the year where the layout has none.
    ///
    /// Returns nanoseconds since the epoch; nothing for texts that do not fit, and for times
    /// before it.
    pub(crate) fn parse(&self, text: &[u8], zone: Option<&TimeZone>, now: u64) -> Option<u64> {
        let mut rest = text;
        let mut fields = Fields::default();
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(literal) => skip_literal(&mut rest, literal)?,
                Part::Field(field) => {
                    let fraction_follows = matches!(
                        parts.peek(),
                        Some(Part::Field(Field::Fraction(_) | Field::OptionalFraction))
                    );
                    fields.read(*field, &mut rest, fraction_follows)?;
                }
            }
        }
        if !rest.is_empty() {
            return None;
        }
        if self.has_year {
            return fields.time(fields.year, zone);
        }
        let year = year_beside(now, fields.month.unwrap_or(1));
        let time = fields.time(year, zone);
        let is_ahead = |time: u64| time.saturating_sub(now) > MAX_AHEAD_NS;
        if self.year == YearRule::Past && time.is_some_and(is_ahead) {
            return fields.time(year - 1, zone);
        }
        time
    }
}

impl Fields<'_> {
    /// Nanoseconds since the epoch, in a year.
    fn time(&self, year: i64, zone: Option<&TimeZone>) -> Option<u64> {
        let wall = self.wall_seconds(year)?;
        let seconds = match (self.zone, zone) {
            (Some(Zone::Offset(offset)), _) => wall - i64::from(offset),
            (Some(Zone::Name(name)), Some(zone)) => wall - named_offset(zone, name, wall),
            (Some(Zone::Name(_)) | None, None) => wall,
            (None, Some(zone)) => in_zone(zone, wall)?,
        };
        let ns = i128::from(seconds) * NS_PER_SECOND + i128::from(self.nanosecond);
        u64::try_from(ns).ok()
    }
}

/// The year of `now`; at the turn of the year the one that the month is nearer to.
fn year_beside(now: u64, month: u8) -> i64 {
    let days = i64::try_from(now / 86_400_000_000_000).unwrap_or(0);
    match (year_and_month(days), month) {
        ((year, 1), 12) => year - 1,
        ((year, 12), 1) => year + 1,
        ((year, _), _) => year,
    }
}

/// Seconds since the epoch of a time on the wall of a zone; one that a change of the clocks left
/// out or repeated is read by the earlier offset.
fn in_zone(zone: &TimeZone, wall: i64) -> Option<i64> {
    let wall = jiff::Timestamp::from_second(wall).ok()?;
    let wall: DateTime = TimeZone::UTC.to_datetime(wall);
    Some(
        zone.to_ambiguous_timestamp(wall)
            .compatible()
            .ok()?
            .as_second(),
    )
}

/// The offset of an abbreviation in a zone, near a time; 0 where the zone does not know it.
fn named_offset(zone: &TimeZone, name: &str, wall: i64) -> i64 {
    let Ok(near) = jiff::Timestamp::from_second(wall) else {
        return 0;
    };
    let here = zone.to_offset_info(near);
    if here.abbreviation() == name {
        return here.offset().seconds().into();
    }
    let beside = zone
        .following(near)
        .take(2)
        .chain(zone.preceding(near).take(2));
    beside
        .filter(|change| change.abbreviation() == name)
        .map(|change| i64::from(change.offset().seconds()))
        .next()
        .unwrap_or(0)
}
