//! Durations as `time.ParseDuration` reads them, and sizes in bytes.

/// Reads a duration such as `1h30m` or `0.5ms`, in seconds; may be negative.
pub(crate) fn parse_seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_len = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        // `.` alone is no number, and Rust reads neither it nor `1.2.3`.
        seconds += number.parse::<f64>().ok()? * unit_seconds(unit)?;
        rest = after;
    }
    Some(sign * seconds)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

/// Reads a duration that is not negative, in nanoseconds.
pub(crate) fn parse_ns(text: &str) -> Option<u64> {
    let ns = parse_seconds(text)? * 1e9;
    (0.0..9.3e18).contains(&ns).then_some(())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked, and a fraction of a nanosecond is of no account"
    )]
    Some(ns.round() as u64)
}

/// Reads a size such as `8kb` or `100`: units of 1,024, in any case.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "byte" => 0,
        "k" | "kb" | "kib" | "kilobyte" | "kilobytes" => 10,
        "m" | "mb" | "mib" | "megabyte" | "megabytes" => 20,
        "g" | "gb" | "gib" | "gigabyte" | "gigabytes" => 30,
        "t" | "tb" | "tib" | "terabyte" | "terabytes" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(parse_ns("3s"), Some(3_000_000_000));
        assert_eq!(parse_ns("1h30m"), Some(5_400_000_000_000));
        assert_eq!(parse_ns("0.5ms"), Some(500_000));
        assert_eq!(parse_ns("0"), Some(0));
        for bad in ["", "3", "s", "1d", ".s", "1.2.3s", "-1s"] {
            assert_eq!(parse_ns(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_in_units_of_1024() {
        assert_eq!(parse_bytes("8kb"), Some(8192));
        assert_eq!(parse_bytes("10b"), Some(10));
        assert_eq!(parse_bytes("1 MB"), Some(1 << 20));
        assert_eq!(parse_bytes("10"), Some(10));
        assert_eq!(parse_bytes("ten"), None);
        assert_eq!(parse_bytes("99999999999999999tb"), None);
    }
}
