//! The `Retry-After` header.

use std::time::{Duration, SystemTime};

/// Reads a `Retry-After` header: whole seconds, or an HTTP date relative to `now`.
///
/// Anything else, and a date in the past, is `None`: the caller's own back-off applies. The value is
/// not capped here; [`crate::Backoff`] caps it.
///
/// Source: RFC 9110, section 10.2.3.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value)
        .ok()?
        .duration_since(now)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense_are_told_apart() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 10:00:00 GMT").unwrap();
        let check = |text| parse_retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(check("7"), Some(7));
        assert_eq!(check(" 0 "), Some(0));
        assert_eq!(check("Sat, 21 Nov 2026 10:00:30 GMT"), Some(30));
        assert_eq!(check("Sat, 21 Nov 2026 09:00:00 GMT"), None);
        assert_eq!(check("soon"), None);
        assert_eq!(check("-1"), None);
    }
}
