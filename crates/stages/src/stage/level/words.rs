//! What loggers call their levels, as severities.
//!
//! A word has the level that [`tailwater_record::Level::detect`] finds it to have in a line, so that it
//! does not matter to what is kept whether a stage has read it. `critical`, `alert` and `emergency` are steps
//! of FATAL for that, where the example of OpenTelemetry has the first two among errors.

use tailwater_record::Severity;

const fn severity(number: u8) -> Severity {
    match Severity::new(number) {
        Some(severity) => severity,
        None => panic!("a severity is 1 to 24"),
    }
}

const TRACE: Severity = severity(1);
const TRACE2: Severity = severity(2);
const DEBUG: Severity = severity(5);
const DEBUG4: Severity = severity(8);
const INFO: Severity = severity(9);
const INFO2: Severity = severity(10);
const WARN: Severity = severity(13);
const ERROR: Severity = severity(17);
const FATAL: Severity = severity(21);
const FATAL2: Severity = severity(22);
const FATAL3: Severity = severity(23);
const FATAL4: Severity = severity(24);

/// Bytes of the longest text that is a level: `recoverable fatal error`.
const MAX_WORD_BYTES: usize = 24;

/// Returns what a word stands for, in any case and with what is written around it: `[WARN]`, `error:`,
/// `PHP Warning`.
pub(super) fn of_word(value: &[u8]) -> Option<Severity> {
    let word = trimmed(value);
    let mut room = [0_u8; MAX_WORD_BYTES];
    let lower = room.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    let lower = &*lower;
    of_lower(lower.strip_prefix(b"php ").unwrap_or(lower))
}

/// Takes off what is no letter and no digit at both ends.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && !first.is_ascii_alphanumeric()
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && !last.is_ascii_alphanumeric()
    {
        value = rest;
    }
    value
}

fn of_lower(word: &[u8]) -> Option<Severity> {
    // One letter: klog, Android and MongoDB. Three: Serilog. `verbose` is .NET's, `silly` and `http` are
    // npm's, `log` is PostgreSQL's and `system` MySQL's. PHP's are as it has them where it logs to syslog.
    Some(match word {
        b"t" | b"v" | b"trace" | b"trc" | b"trce" | b"verbose" | b"vrb" | b"silly" | b"finest" => {
            TRACE
        }
        b"finer" => TRACE2,
        b"d" | b"debug" | b"dbg" | b"dbug" | b"fine" => DEBUG,
        b"config" => DEBUG4,
        b"i" | b"info" | b"inf" | b"information" | b"informational" | b"log" | b"system"
        | b"http" | b"deprecated" | b"strict standards" => INFO,
        b"n" | b"notice" | b"note" | b"ntc" => INFO2,
        b"w" | b"warn" | b"warning" | b"wrn" => WARN,
        b"e" | b"error" | b"err" | b"eror" | b"fail" | b"severe" | b"parse error" => ERROR,
        b"f"
        | b"fatal"
        | b"ftl"
        | b"c"
        | b"critical"
        | b"crit"
        | b"dpanic"
        | b"fatal error"
        | b"recoverable fatal error"
        | b"catchable fatal error" => FATAL,
        b"alert" => FATAL2,
        b"emerg" | b"emergency" => FATAL3,
        b"panic" => FATAL4,
        _ => return of_step(word),
    })
}

/// Reads a word with a digit after it.
fn of_step(word: &[u8]) -> Option<Severity> {
    let (digit, name) = word.split_last()?;
    let step = digit.checked_sub(b'0').filter(|step| *step <= 9)?;
    match (name, step) {
        // PostgreSQL, MongoDB and Apache: the higher, the finer.
        (b"debug" | b"d", 1..=5) => Severity::new(9_u8.saturating_sub(step).max(5)),
        (b"trace", 1..=8) => Severity::new(5_u8.saturating_sub(step).max(1)),
        // OpenTelemetry: the higher, the graver.
        (b"info", 2..=4) => Severity::new(8 + step),
        (b"warn", 2..=4) => Severity::new(12 + step),
        (b"error", 2..=4) => Severity::new(16 + step),
        (b"fatal", 2..=4) => Severity::new(20 + step),
        _ => None,
    }
}

/// Reads a number of up to three digits and nothing else.
fn number(value: &[u8]) -> Option<u16> {
    let is_number = (1..=3).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        value
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
    })
}

/// Reads a severity of syslog, 0 to 7, or a priority, which is 8 times the facility and the severity:
/// `4`, `<4>`, `<164>`.
pub(super) fn of_priority(value: &[u8]) -> Option<Severity> {
    let inside = value.strip_prefix(b"<");
    let inside = inside.and_then(|inside| inside.strip_suffix(b">"));
    let unbracketed = inside.unwrap_or(value);
    let number = number(unbracketed).filter(|number| *number <= 191)?;
    Some(match number % 8 {
        0 => FATAL3,
        1 => FATAL2,
        2 => FATAL,
        3 => ERROR,
        4 => WARN,
        5 => INFO2,
        6 => INFO,
        _ => DEBUG,
    })
}

/// Reads a status of HTTP.
pub(super) fn of_status(value: &[u8]) -> Option<Severity> {
    match number(value)? {
        100..=399 => Some(INFO),
        400..=499 => Some(WARN),
        500..=599 => Some(ERROR),
        _ => None,
    }
}

/// Reads a number of pino and bunyan; levels of one's own stand between 10, 20, … and are those below.
pub(super) fn of_pino(value: &[u8]) -> Option<Severity> {
    match number(value)? {
        10..=19 => Some(TRACE),
        20..=29 => Some(DEBUG),
        30..=39 => Some(INFO),
        40..=49 => Some(WARN),
        50..=59 => Some(ERROR),
        60..=99 => Some(FATAL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tailwater_record::Level;

    use super::*;

    #[test]
    fn a_word_has_the_level_that_it_has_in_a_line() {
        for word in [
            "trace",
            "debug",
            "dbg",
            "info",
            "notice",
            "information",
            "warn",
            "warning",
            "error",
            "err",
            "fatal",
            "critical",
            "crit",
            "alert",
            "emerg",
            "panic",
            "DEBUG1",
            "DEBUG5",
            "trace8",
            "SEVERE",
            "FINE",
            "FINER",
            "FINEST",
        ] {
            let line = format!("{}: a line", word.to_uppercase());
            let severity = of_word(word.as_bytes()).unwrap();
            assert_eq!(
                Level::detect(line.as_bytes()),
                Some(severity.level()),
                "{word}"
            );
        }
    }

    #[test]
    fn priorities_have_the_level_of_their_words() {
        let words = [
            "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
        ];
        for (number, word) in words.iter().enumerate() {
            for written in [number, 8 * 20 + number] {
                let priority = of_priority(format!("<{written}>").as_bytes());
                assert_eq!(priority, of_word(word.as_bytes()), "{word}");
                assert!(priority.is_some());
            }
        }
        assert_eq!(of_priority(b"192"), None);
        assert_eq!((of_priority(b"-1"), of_priority(b"<1")), (None, None));
    }
}
