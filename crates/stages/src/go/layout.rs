//! Go's time layouts, compiled to a list of fields.

/// One part of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes as they stand; a space stands for any number of spaces.
    Literal(Box<[u8]>),
    /// A field.
    Field(Field),
}

/// A field of a layout, named by what a layout writes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// `January`
    LongMonth,
    /// `Jan`
    Month,
    /// `1`
    NumMonth,
    /// `01`
    ZeroMonth,
    /// `Monday`
    LongWeekday,
    /// `Mon`
    Weekday,
    /// `2`
    Day,
    /// `_2`
    PaddedDay,
    /// `02`
    ZeroDay,
    /// `__2`
    PaddedYearDay,
    /// `002`
    ZeroYearDay,
    /// `15`
    Hour,
    /// `3`
    Hour12,
    /// `03`
    ZeroHour12,
    /// `4`
    Minute,
    /// `04`
    ZeroMinute,
    /// `5`
    Second,
    /// `05`
    ZeroSecond,
    /// `2006`
    LongYear,
    /// `06`
    Year,
    /// `PM`
    UpperPm,
    /// `pm`
    LowerPm,
    /// `MST`
    ZoneName,
    /// `-0700` and its variants.
    Offset(OffsetShape),
    /// `.000` or `,000`: so many digits.
    Fraction(u8),
    /// `.999` or `,999`: any digits, or none.
    OptionalFraction,
}

/// How an offset from UTC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts that do not depend on each other"
)]
pub(super) struct OffsetShape {
    /// Whether `Z` stands for UTC.
    pub(super) is_z_utc: bool,
    /// Whether minutes follow.
    pub(super) has_minutes: bool,
    /// Whether seconds follow.
    pub(super) has_seconds: bool,
    /// Whether colons stand between.
    pub(super) has_colons: bool,
}

/// A compiled layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(super) parts: Vec<Part>,
    /// Whether the layout says a year; if not, the year is that of the time of reading.
    pub(super) has_year: bool,
    /// Which year it is otherwise.
    pub(super) year: YearRule,
}

/// Which year a time is of that says none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum YearRule {
    /// That of reading; at the turn of the year the nearer one, as Promtail has it.
    #[default]
    Nearest,
    /// The last one with which the time is not later than a day after reading.
    Past,
}

impl Layout {
    /// Compiles a layout; every text is one, and one without a field matches only itself.
    pub(crate) fn new(layout: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut ahead = layout.as_bytes();
        while let Some((first, rest)) = ahead.split_first() {
            let Some((field, len)) = field_at(ahead) else {
                literal.push(*first);
                ahead = rest;
                continue;
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Field(field));
            ahead = ahead.get(len..).unwrap_or_default();
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        // As Promtail: by the text, not by the field.
        let has_year = layout.contains("06");
        Self {
            parts,
            has_year,
            year: YearRule::default(),
        }
    }

    /// Returns whether the layout has any field at all.
    pub(crate) fn has_fields(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(_)))
    }
}

/// The field that starts at the first byte, and its length.
fn field_at(ahead: &[u8]) -> Option<(Field, usize)> {
    let starts = |text: &str| ahead.starts_with(text.as_bytes());
    // `Janus` and `Monk` are words, not fields.
    let ends_word = |len: usize| !ahead.get(len).is_some_and(u8::is_ascii_lowercase);
    Some(match ahead.first()? {
        b'J' if starts("January") => (Field::LongMonth, 7),
        b'J' if starts("Jan") && ends_word(3) => (Field::Month, 3),
        b'M' if starts("Monday") => (Field::LongWeekday, 6),
        b'M' if starts("Mon") && ends_word(3) => (Field::Weekday, 3),
        b'M' if starts("MST") => (Field::ZoneName, 3),
        b'0' => zero_field(ahead)?,
        b'1' if starts("15") => (Field::Hour, 2),
        b'1' => (Field::NumMonth, 1),
        b'2' if starts("2006") => (Field::LongYear, 4),
        b'2' => (Field::Day, 1),
        b'_' if starts("__2") => (Field::PaddedYearDay, 3),
        b'_' if starts("_2") && !starts("_2006") => (Field::PaddedDay, 2),
        b'3' => (Field::Hour12, 1),
        b'4' => (Field::Minute, 1),
        b'5' => (Field::Second, 1),
        b'P' if starts("PM") => (Field::UpperPm, 2),
        b'p' if starts("pm") => (Field::LowerPm, 2),
        b'-' | b'Z' => offset_field(ahead)?,
        b'.' | b',' => fraction_field(ahead)?,
        _ => return None,
    })
}

fn zero_field(ahead: &[u8]) -> Option<(Field, usize)> {
    Some(match ahead.get(1)? {
        b'0' if ahead.get(2) == Some(&b'2') => (Field::ZeroYearDay, 3),
        b'1' => (Field::ZeroMonth, 2),
        b'2' => (Field::ZeroDay, 2),
        b'3' => (Field::ZeroHour12, 2),
        b'4' => (Field::ZeroMinute, 2),
        b'5' => (Field::ZeroSecond, 2),
        b'6' => (Field::Year, 2),
        _ => return None,
    })
}

fn offset_field(ahead: &[u8]) -> Option<(Field, usize)> {
    let is_z_utc = ahead.first() == Some(&b'Z');
    let shape = |has_minutes, has_seconds, has_colons| {
        Field::Offset(OffsetShape {
            is_z_utc,
            has_minutes,
            has_seconds,
            has_colons,
        })
    };
    let digits = ahead.get(1..)?;
    let shapes: [(&[u8], Field); 5] = [
        (b"070000", shape(true, true, false)),
        (b"07:00:00", shape(true, true, true)),
        (b"0700", shape(true, false, false)),
        (b"07:00", shape(true, false, true)),
        (b"07", shape(false, false, false)),
    ];
    shapes
        .into_iter()
        .find(|(text, _)| digits.starts_with(text))
        .map(|(text, field)| (field, 1 + text.len()))
}

fn fraction_field(ahead: &[u8]) -> Option<(Field, usize)> {
    let digit = *ahead.get(1).filter(|byte| matches!(byte, b'0' | b'9'))?;
    let digits = ahead
        .iter()
        .skip(1)
        .take_while(|byte| **byte == digit)
        .count();
    // `.05` is a point and seconds.
    if ahead.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let field = if digit == b'0' {
        Field::Fraction(u8::try_from(digits).unwrap_or(u8::MAX))
    } else {
        Field::OptionalFraction
    };
    Some((field, 1 + digits))
}
