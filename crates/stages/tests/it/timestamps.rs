//! `timestamp`.

use crate::kit::*;

/// Runs one `timestamp` stage over the whole line as its source.
fn time(settings: &str, text: &str) -> u64 {
    let yaml =
        format!("- regex: {{ expression: '(?P<t>.+)' }}\n- timestamp: {{ source: t, {settings} }}");
    one(&yaml, text).timestamp
}

/// Case 17.
#[test]
fn times_since_the_epoch_are_read() {
    assert_eq!(
        time("format: Unix", "1562708916.414123"),
        ns("2019-07-09T21:48:36.414123Z")
    );
    assert_eq!(
        time("format: Unix", "1562708916.000000123"),
        ns("2019-07-09T21:48:36.000000123Z")
    );
    assert_eq!(
        time("format: Unix", "1562708916"),
        ns("2019-07-09T21:48:36Z")
    );
    assert_eq!(
        time("format: UnixMs", "1562708916414"),
        ns("2019-07-09T21:48:36.414Z")
    );
    assert_eq!(
        time("format: UnixUs", "1562708916414123"),
        ns("2019-07-09T21:48:36.414123Z")
    );
    assert_eq!(
        time("format: UnixNs", "1562708916000000123"),
        ns("2019-07-09T21:48:36.000000123Z")
    );
}

/// Case 19.
#[test]
fn fallback_formats_are_tried_in_their_order() {
    let settings = "format: UnixMs, fallback_formats: [ UnixDate, RFC3339 ]";
    assert_eq!(
        time(settings, "2012-11-01T22:08:41-04:00"),
        ns("2012-11-02T02:08:41Z")
    );
    assert_eq!(
        time(settings, "1562708916414"),
        ns("2019-07-09T21:48:36.414Z")
    );
    assert_eq!(time(settings, "nothing of these"), NOW);
}

#[test]
fn a_json_number_is_a_time() {
    let yaml = "- json: { expressions: { t: } }\n- timestamp: { source: t, format: Unix }";
    assert_eq!(
        one(yaml, r#"{"t":1562708916.5}"#).timestamp,
        ns("2019-07-09T21:48:36.5Z")
    );
}

#[test]
fn layouts_take_a_location_and_named_formats_do_not() {
    let layout = "format: '2006-01-02 15:04:05', location: America/New_York";
    assert_eq!(
        time(layout, "2026-07-01 12:00:00"),
        ns("2026-07-01T16:00:00Z")
    );
    let named = "format: ANSIC, location: America/New_York";
    assert_eq!(
        time(named, "Wed Jul  1 12:00:00 2026"),
        ns("2026-07-01T12:00:00Z")
    );
}

#[test]
fn a_time_that_does_not_fit_follows_the_last_of_its_labels() {
    let yaml = "- json: { expressions: { t: } }\n- timestamp: { source: t, format: RFC3339 }";
    let mut run = Run::new(yaml);
    run.line(r#"{"t":"2026-01-01T00:00:00Z"}"#)
        .line(r#"{"t":"?"}"#)
        .line("{}")
        .line("text");
    run.labels = set(&[("job", "other")]);
    run.line("{}");
    let first = ns("2026-01-01T00:00:00Z");
    let times: Vec<u64> = run.records.iter().map(|record| record.timestamp).collect();
    assert_eq!(
        times,
        [first, first + 1, first + 2, first + 3, NOW + 4_000_000]
    );
}

#[test]
fn fudging_goes_by_the_labels_at_that_point() {
    let yaml = "- json: { expressions: { t: , s: } }\n- labels: { s: }\n- timestamp: { source: t, format: RFC3339 }";
    let mut run = Run::new(yaml);
    run.line(r#"{"s":"a","t":"2026-01-01T00:00:00Z"}"#);
    run.line(r#"{"s":"b","t":"2026-01-02T00:00:00Z"}"#);
    run.line(r#"{"s":"a"}"#);
    assert_eq!(run.last().timestamp, ns("2026-01-01T00:00:00.000000001Z"));
}

#[test]
fn skip_keeps_the_time_of_reading() {
    let yaml = "- json: { expressions: { t: } }\n- timestamp: { source: t, format: RFC3339, action_on_failure: skip }";
    let mut run = Run::new(yaml);
    run.line(r#"{"t":"2026-01-01T00:00:00Z"}"#)
        .line(r#"{"t":"?"}"#);
    assert_eq!(run.last().timestamp, NOW + 1_000_000);
}

#[test]
fn a_layout_without_a_year_takes_that_of_reading() {
    assert_eq!(
        time("format: 'Jan _2 15:04:05'", "Nov  1 01:02:03"),
        ns("2026-11-01T01:02:03Z")
    );
}

#[test]
fn a_layout_without_a_year_may_be_kept_out_of_the_future() {
    let read = |text: &str| time("format: 'Jan _2 15:04:05', location: UTC, year: past", text);
    // Of the next day it may be the clock, or the zone.
    for (text, expected) in [
        ("Nov 22 09:59:59", "2026-11-22T09:59:59Z"),
        ("Nov 22 10:00:01", "2025-11-22T10:00:01Z"),
        ("Dec 31 01:02:03", "2025-12-31T01:02:03Z"),
        ("Jan  1 01:02:03", "2026-01-01T01:02:03Z"),
    ] {
        assert_eq!(read(text), ns(expected), "{text}");
    }
}

#[test]
fn a_time_before_the_epoch_is_no_time() {
    assert_eq!(time("format: RFC3339", "1969-12-31T23:59:59Z"), NOW);
    assert_eq!(time("format: Unix", "-1"), NOW);
}

#[test]
fn a_zone_that_stands_beside_a_time_counts_instead_of_the_location() {
    let yaml = "- regex: { expression: '^(?P<t>\\S+ \\S+?)(?: (?P<z>\\S+))?$' }\n- timestamp: { source: t, format: '2006-01-02 15:04:05', location: Asia/Tokyo, location_source: z }";
    let mut run = Run::new(yaml);
    for (line, expected) in [
        ("2026-07-01 12:00:00 Europe/Berlin", "2026-07-01T10:00:00Z"),
        ("2026-07-01 12:00:00 UTC", "2026-07-01T12:00:00Z"),
        ("2026-12-01 12:00:00 Europe/Berlin", "2026-12-01T11:00:00Z"),
        ("2026-07-01 12:00:00", "2026-07-01T03:00:00Z"),
        ("2026-07-01 12:00:00 Nowhere/City", "2026-07-01T03:00:00Z"),
    ] {
        run.line(line);
        assert_eq!(run.last().timestamp, ns(expected), "{line}");
    }
}
