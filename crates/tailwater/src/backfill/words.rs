//! Figures for people.

use std::time::Duration;

/// Writes a number with a comma before each three digits.
pub(super) fn number_in_words(number: u64) -> String {
    let digits = number.to_string();
    let mut words = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

/// Writes how many lines these are.
pub(super) fn lines_in_words(lines: u64) -> String {
    let noun = if lines == 1 { "line" } else { "lines" };
    format!("{} {noun}", number_in_words(lines))
}

/// Writes a time in its two largest units.
pub(super) fn time_in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ) {
        (0, 0, 0, 0..10) => format!("{}.{}s", seconds, time.subsec_millis() / 100),
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, ..) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_written_for_people() {
        for (number, words) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(number_in_words(number), words);
        }
        assert_eq!(lines_in_words(1), "1 line");
        for (milliseconds, words) in [
            (0, "0.0s"),
            (1_250, "1.2s"),
            (59_000, "59s"),
            (60_000, "1m 0s"),
            (3_725_000, "1h 2m"),
            (90_061_000, "1d 1h"),
        ] {
            assert_eq!(time_in_words(Duration::from_millis(milliseconds)), words);
        }
    }
}
