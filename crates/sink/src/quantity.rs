//! Durations and sizes as they are written in a configuration.

use std::time::Duration;

/// Reads a duration: a whole number and a unit, `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// What is wrong and how it is written.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = parts(text);
    let factor_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(format!(
                "`{text}` is not a duration: write it like `500ms`, `10s`, `5m` or `24h`"
            ));
        }
    };
    let value: Option<u64> = number
        .parse()
        .ok()
        .and_then(|value: u64| value.checked_mul(factor_ms));
    value
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is not a duration: write it like `500ms` or `10s`"))
}

/// Reads a size in bytes: a whole number, alone or with `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`.
///
/// # Errors
/// What is wrong and how it is written.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = parts(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => {
            return Err(format!(
                "`{text}` is not a size: write it like `512KiB`, `1MiB` or `2GiB`"
            ));
        }
    };
    let value: Option<u64> = number
        .parse()
        .ok()
        .and_then(|value: u64| value.checked_mul(factor));
    value.ok_or_else(|| format!("`{text}` is not a size: write it like `512KiB` or `1MiB`"))
}

fn parts(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at).unwrap_or((text, ""));
    (number, unit.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_with_their_units_and_never_without_a_word() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(parse_duration("5").unwrap_err().contains("10s"));
        assert!(parse_duration("99999999999999999d").is_err());
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("10 MB"), Ok(10_000_000));
        assert_eq!(parse_size("7"), Ok(7));
        assert!(parse_size("1 potato").unwrap_err().contains("512KiB"));
    }
}
