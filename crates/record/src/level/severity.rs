//! How grave a record is, in the finer steps of OpenTelemetry.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use super::Level;

/// A severity number of OpenTelemetry, 1 to 24: four steps for each [`Level`], the gravest last.
///
/// Source: OpenTelemetry, Logs Data Model, fields `SeverityNumber` and `SeverityText`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Severity(NonZeroU8);

/// A text that is no severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSeverity(String);

impl fmt::Display for UnknownSeverity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "unknown severity `{}`: write TRACE, DEBUG, INFO, WARN, ERROR or FATAL, each also with 2, 3 \
             or 4 after it, or a number from 1 to 24",
            self.0
        )
    }
}

impl std::error::Error for UnknownSeverity {}

/// The texts by their numbers, from 1 on; the numbers are written as they are sent.
const NAMES: [(&str, &str); 24] = [
    ("TRACE", "1"),
    ("TRACE2", "2"),
    ("TRACE3", "3"),
    ("TRACE4", "4"),
    ("DEBUG", "5"),
    ("DEBUG2", "6"),
    ("DEBUG3", "7"),
    ("DEBUG4", "8"),
    ("INFO", "9"),
    ("INFO2", "10"),
    ("INFO3", "11"),
    ("INFO4", "12"),
    ("WARN", "13"),
    ("WARN2", "14"),
    ("WARN3", "15"),
    ("WARN4", "16"),
    ("ERROR", "17"),
    ("ERROR2", "18"),
    ("ERROR3", "19"),
    ("ERROR4", "20"),
    ("FATAL", "21"),
    ("FATAL2", "22"),
    ("FATAL3", "23"),
    ("FATAL4", "24"),
];

impl Severity {
    /// Makes a severity of its number; `None` where that is not 1 to 24.
    pub const fn new(number: u8) -> Option<Self> {
        match NonZeroU8::new(number) {
            Some(known) if number <= 24 => Some(Self(known)),
            Some(_) | None => None,
        }
    }

    /// Returns the number, 1 to 24.
    pub const fn number(self) -> u8 {
        self.0.get()
    }

    /// Returns the text: `TRACE`, `DEBUG2`, `INFO`, `WARN`, ….
    pub fn as_str(self) -> &'static str {
        self.names().0
    }

    /// Returns the number in digits, as it is sent.
    pub fn digits(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        let index = usize::from(self.number()).saturating_sub(1);
        NAMES.get(index).copied().unwrap_or_default()
    }

    /// Returns the level that it is a step of.
    pub const fn level(self) -> Level {
        match self.number() {
            ..=4 => Level::Trace,
            5..=8 => Level::Debug,
            9..=12 => Level::Info,
            13..=16 => Level::Warn,
            17..=20 => Level::Error,
            21.. => Level::Fatal,
        }
    }
}

impl From<Level> for Severity {
    /// The first of the four steps of a level.
    fn from(level: Level) -> Self {
        Self(NonZeroU8::new(level.number()).unwrap_or(NonZeroU8::MIN))
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = UnknownSeverity;

    /// Reads a severity's text in any case, its number, or a level as it is usually spelled.
    fn from_str(text: &str) -> Result<Self, UnknownSeverity> {
        let is_one =
            |(name, digits): &(&str, &str)| name.eq_ignore_ascii_case(text) || *digits == text;
        let index = NAMES.iter().position(is_one);
        let named = index.and_then(|index| Self::new(u8::try_from(index + 1).ok()?));
        named
            .or_else(|| text.parse().ok().map(|level: Level| level.into()))
            .ok_or_else(|| UnknownSeverity(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_1_to_24_with_four_for_each_level() {
        assert_eq!((Severity::new(0), Severity::new(25)), (None, None));
        for number in 1..=24 {
            let severity = Severity::new(number).unwrap();
            assert_eq!(severity.number(), number);
            assert_eq!(severity.digits(), number.to_string());
            assert_eq!(severity.as_str().parse(), Ok(severity));
            assert_eq!(severity.as_str().to_lowercase().parse(), Ok(severity));
            assert_eq!(severity.digits().parse(), Ok(severity));
            assert_eq!(severity.to_string(), severity.as_str());
            let first = Severity::from(severity.level()).number();
            assert!((first..first + 4).contains(&number), "{number}");
        }
    }

    #[test]
    fn levels_are_the_first_of_their_steps_as_they_are_spelled() {
        for (word, text) in [
            ("trace", "TRACE"),
            ("dbg", "DEBUG"),
            ("information", "INFO"),
            ("Warning", "WARN"),
            ("err", "ERROR"),
            ("critical", "FATAL"),
        ] {
            assert_eq!(word.parse::<Severity>().unwrap().as_str(), text);
        }
        for bad in ["", "0", "25", "01", "INFO1", "INFO5", "loud", "é"] {
            let error = bad.parse::<Severity>().unwrap_err();
            assert!(error.to_string().contains("1 to 24"), "{bad}");
        }
    }
}
