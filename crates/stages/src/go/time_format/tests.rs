use super::*;

/// 2026-11-21T10:00:00Z.
const NOW: u64 = 1_795_255_200_000_000_000;

fn parse(format: &str, text: &str) -> Option<u64> {
    TimeFormat::new(format, None)
        .unwrap()
        .parse(text.as_bytes(), None, NOW)
}

fn parse_in(zone: &str, format: &str, text: &str) -> Option<u64> {
    let zone = TimeZone::get(zone).unwrap();
    TimeFormat::new(format, Some(&zone))
        .unwrap()
        .parse(text.as_bytes(), None, NOW)
}

/// Nanoseconds of a time that another parser reads.
fn ns(rfc3339: &str) -> u64 {
    let time: jiff::Timestamp = rfc3339.parse().unwrap();
    u64::try_from(time.as_nanosecond()).unwrap()
}

#[test]
fn every_named_format_is_read() {
    let cases = [
        ("ANSIC", "Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z"),
        (
            "UnixDate",
            "Mon Jan  2 15:04:05 UTC 2006",
            "2006-01-02T15:04:05Z",
        ),
        (
            "RubyDate",
            "Mon Jan 02 15:04:05 -0700 2006",
            "2006-01-02T22:04:05Z",
        ),
        ("RFC822", "02 Jan 06 15:04 UTC", "2006-01-02T15:04:00Z"),
        ("RFC822Z", "02 Jan 06 15:04 -0700", "2006-01-02T22:04:00Z"),
        (
            "RFC850",
            "Monday, 02-Jan-06 15:04:05 UTC",
            "2006-01-02T15:04:05Z",
        ),
        (
            "RFC1123",
            "Mon, 02 Jan 2006 15:04:05 UTC",
            "2006-01-02T15:04:05Z",
        ),
        (
            "RFC1123Z",
            "Mon, 02 Jan 2006 15:04:05 +0100",
            "2006-01-02T14:04:05Z",
        ),
        (
            "RFC3339",
            "2012-11-01T22:08:41-04:00",
            "2012-11-02T02:08:41Z",
        ),
        (
            "RFC3339",
            "2012-11-01T22:08:41.5Z",
            "2012-11-01T22:08:41.5Z",
        ),
        (
            "RFC3339Nano",
            "2019-01-01T01:00:00.000000001Z",
            "2019-01-01T01:00:00.000000001Z",
        ),
    ];
    for (format, text, expected) in cases {
        assert_eq!(
            parse(format, text),
            Some(ns(expected)),
            "{format} of {text}"
        );
    }
}

#[test]
fn seconds_since_the_epoch_are_read_in_four_units() {
    assert_eq!(parse("Unix", "1562708916"), Some(1_562_708_916_000_000_000));
    assert_eq!(
        parse("Unix", "1562708916.414123"),
        Some(1_562_708_916_414_123_000)
    );
    assert_eq!(
        parse("Unix", "1562708916.000000123"),
        Some(1_562_708_916_000_000_123)
    );
    assert_eq!(
        parse("UnixMs", "1562708916414"),
        Some(1_562_708_916_414_000_000)
    );
    assert_eq!(
        parse("UnixUs", "1562708916414123"),
        Some(1_562_708_916_414_123_000)
    );
    assert_eq!(
        parse("UnixNs", "1562708916000000123"),
        Some(1_562_708_916_000_000_123)
    );
    for bad in ["", "x", "1.2.3", "-5", "99999999999999999999"] {
        assert_eq!(parse("Unix", bad), None, "{bad}");
    }
}

#[test]
fn layouts_of_common_logs_are_read() {
    let cases = [
        (
            "02/Jan/2006:15:04:05 -0700",
            "25/Jan/2000:14:00:01 -0500",
            "2000-01-25T19:00:01Z",
        ),
        (
            "2006-01-02 15:04:05,000",
            "2026-11-21 09:08:07,125",
            "2026-11-21T09:08:07.125Z",
        ),
        (
            "2006-01-02 15:04:05",
            "2026-11-21 09:08:07.125",
            "2026-11-21T09:08:07.125Z",
        ),
        (
            "2006-01-02 15:04:05.999",
            "2026-11-21 09:08:07",
            "2026-11-21T09:08:07Z",
        ),
        (
            "2006/01/02 3:04:05 PM",
            "2026/11/21 9:08:07 PM",
            "2026-11-21T21:08:07Z",
        ),
        (
            "January 2, 2006",
            "november 21, 2026",
            "2026-11-21T00:00:00Z",
        ),
        ("2006-002", "2026-325", "2026-11-21T00:00:00Z"),
        ("060102 15:04:05", "261121  9:08:07", "2026-11-21T09:08:07Z"),
        (
            "2006-01-02T15:04:05Z0700",
            "2026-11-21T09:08:07+0530",
            "2026-11-21T03:38:07Z",
        ),
    ];
    for (format, text, expected) in cases {
        assert_eq!(
            parse(format, text),
            Some(ns(expected)),
            "{format} of {text}"
        );
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let cases = [
        ("2006-01-02", "2026-02-29"),
        ("2006-01-02", "2026-13-01"),
        ("2006-01-02", "2026-11-21 "),
        ("2006-01-02", "26-11-21"),
        ("15:04:05", "24:00:00"),
        ("15:04:05", "10:00:60"),
        ("Jan 2", "Foo 2"),
        ("02 Jan", "2 Jan"),
        ("2006-01-02T15:04:05Z07:00", "2026-11-21T09:08:07"),
        ("2006-01-02T15:04:05.000Z", "2026-11-21T09:08:07.12Z"),
        ("2006-01-02", "1969-12-31"),
    ];
    for (format, text) in cases {
        assert_eq!(parse(format, text), None, "{format} of {text}");
    }
}

#[test]
fn a_layout_without_a_year_takes_the_nearest() {
    assert_eq!(
        parse("Jan _2 15:04:05", "Nov  5 01:02:03"),
        Some(ns("2026-11-05T01:02:03Z"))
    );
    let format = TimeFormat::new("Jan _2 15:04:05", None).unwrap();
    let new_year = ns("2026-01-01T00:00:01Z");
    let last_second = format.parse(b"Dec 31 23:59:59", None, new_year);
    assert_eq!(last_second, Some(ns("2025-12-31T23:59:59Z")));
    let silvester = ns("2025-12-31T23:59:59Z");
    let first_second = format.parse(b"Jan  1 00:00:00", None, silvester);
    assert_eq!(first_second, Some(ns("2026-01-01T00:00:00Z")));
    // The year 0 has a leap day, this one has none.
    assert_eq!(parse("Jan _2", "Feb 29"), Some(ns("2026-03-01T00:00:00Z")));
}

#[test]
fn a_location_is_used_by_layouts_without_a_zone() {
    let layout = "2006-01-02 15:04:05";
    assert_eq!(
        parse_in("Europe/Berlin", layout, "2026-07-01 12:00:00"),
        Some(ns("2026-07-01T10:00:00Z"))
    );
    assert_eq!(
        parse_in("America/New_York", layout, "2026-01-01 12:00:00"),
        Some(ns("2026-01-01T17:00:00Z"))
    );
    assert_eq!(
        parse_in(
            "Europe/Berlin",
            "2006-01-02 15:04:05 MST",
            "2026-07-01 12:00:00 CEST"
        ),
        Some(ns("2026-07-01T10:00:00Z"))
    );
    // A named format takes no location.
    assert_eq!(
        parse_in("Europe/Berlin", "ANSIC", "Mon Jan  2 15:04:05 2006"),
        Some(ns("2006-01-02T15:04:05Z"))
    );
    // The offset that a text says wins.
    assert_eq!(
        parse_in(
            "Europe/Berlin",
            "2006-01-02 15:04:05 -0700",
            "2026-07-01 12:00:00 +0000"
        ),
        Some(ns("2026-07-01T12:00:00Z"))
    );
}

#[test]
fn a_layout_without_fields_is_no_format() {
    assert!(TimeFormat::new("yyyy-MM-dd", None).is_none());
}

#[test]
fn the_quick_way_reads_what_the_layout_reads() {
    let layout = TimeFormat::new("2006-01-02T15:04:05.999999999Z07:00", None).unwrap();
    let by_layout = |text: &str| layout.parse(text.as_bytes(), None, NOW);
    let good = "2024-02-29T23:59:58.123456789+05:30";
    let mut texts: Vec<String> = vec![good.into(), "2026-11-21T10:00:00Z".into()];
    for at in 0..good.len() {
        // Each byte becomes each that could matter, or goes, or all behind it goes.
        let (before, after) = good.split_at_checked(at).unwrap();
        let rest = after.get(1..).unwrap();
        texts.extend(
            "0123456789:.,-+TZz "
                .chars()
                .map(|c| format!("{before}{c}{rest}")),
        );
        texts.extend([
            format!("{before}{rest}"),
            before.into(),
            format!("{before}0{after}"),
        ]);
        texts.extend([format!("{before}Z"), format!("{before}-00:00")]);
    }
    for text in &texts {
        let quick = parse_rfc3339(text.as_bytes());
        assert!(quick.is_none() || quick == by_layout(text), "{text}");
        assert_eq!(parse("RFC3339Nano", text), by_layout(text), "{text}");
    }
    assert_eq!(parse_rfc3339(good.as_bytes()), Some(ns(good)));
}
