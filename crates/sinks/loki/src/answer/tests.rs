use super::*;

fn judged(status: u16, body: &str, records: u32) -> Result<Delivered, DeliverError> {
    let answer = Answer {
        status,
        retry_after: None,
        body: body.into(),
    };
    judge(&answer, records)
}

fn refused(body: &str) -> (&'static str, String) {
    match judged(400, body, 1) {
        Err(DeliverError::Refused { reason, detail, .. }) => (reason, detail),
        other => panic!("not refused: {other:?}"),
    }
}

fn retried(status: u16, body: &str) -> (&'static str, String) {
    match judged(status, body, 1) {
        Err(DeliverError::Retryable { reason, detail, .. }) => (reason, detail),
        other => panic!("not retryable: {other:?}"),
    }
}

#[test]
fn every_status_of_success_is_delivered_but_that_of_a_blocked_tenant() {
    for status in [200, 201, 202, 204, 206, 299] {
        assert_eq!(judged(status, "", 1), Ok(Delivered), "{status}");
    }
    let blocked = "ingestion blocked for user a until '2026-01-01' with status code '260'";
    assert_eq!(retried(260, blocked).0, "blocked");
}

#[test]
fn every_refusal_of_loki_is_told_by_its_kind() {
    for (body, reason) in [
        (
            "entry for stream '{a=\"b\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest \
             acceptable timestamp is: 2026-01-01T00:00:00Z",
            "too_old",
        ),
        (
            "entry for stream '{a=\"b\"}' has timestamp too new: x",
            "too_new",
        ),
        (
            "entry with timestamp x ignored, reason: 'entry too far behind, entry timestamp is: x, \
             oldest acceptable timestamp is: y',\nuser 'fake', total ignored: 1 out of 1 for stream: {}",
            "too_far_behind",
        ),
        (
            "stream '{a=\"b\"}' has label name too long: 'aaa'",
            "labels",
        ),
        (
            "stream '{a=\"b\"}' has label value too long: 'aaa'",
            "labels",
        ),
        ("stream '{a=\"b\"}' has duplicate label name: 'a'", "labels"),
        (
            "error at least one label pair is required per stream",
            "labels",
        ),
        ("error parsing labels '{' with error: x", "labels"),
        (
            "missing required labels a for user b for stream {}",
            "labels",
        ),
        (
            "stream '{}' includes structured metadata, but this feature is disallowed",
            "metadata",
        ),
        (
            "couldn't parse push request: snappy: corrupt input",
            "decode",
        ),
        ("what is this", "invalid"),
        ("", "invalid"),
    ] {
        assert_eq!(refused(body).0, reason, "{body}");
    }
}

#[test]
fn the_figures_of_a_refusal_are_reported_and_its_words_are_not() {
    let body = "max entry size '262144' bytes exceeded for stream '{token=\"hunter2\"}' while \
                adding an entry with length '300000' bytes";
    let (reason, detail) = refused(body);
    assert_eq!(reason, "line_too_long");
    let len = body.len();
    assert_eq!(
        detail,
        format!("status 400, {len} bytes of answer, limit_bytes 262144, line_bytes 300000")
    );
    let many = "entry for stream '{}' has 16 label names; limit 15";
    assert!(refused(many).1.ends_with(", limit 15"));
    let metadata = "stream '{}' has structured metadata too large: '9' bytes, limit: '8' bytes.";
    assert!(
        refused(metadata)
            .1
            .ends_with(", metadata_bytes 9, limit_bytes 8")
    );
    let Err(DeliverError::Refused { reason, detail, .. }) =
        judged(413, "request body too large: 12 bytes, limit: 10 bytes", 1)
    else {
        panic!("a body that is too large was not refused");
    };
    assert_eq!(reason, "too_large");
    assert!(
        detail.ends_with("request_bytes 12, limit_bytes 10"),
        "{detail}"
    );
    assert_eq!(
        refused("the line was: hunter2").1,
        "status 400, 21 bytes of answer"
    );
}

#[test]
fn limits_and_outages_are_waited_out_under_their_names() {
    let rate = "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while \
                attempting to ingest '10' lines totaling '5000' bytes, reduce log volume";
    let (reason, detail) = retried(429, rate);
    assert_eq!(reason, "rate_limited");
    assert!(detail.ends_with("limit_bytes_per_second 4194304, request_bytes 5000"));
    let stream = "Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest";
    assert_eq!(retried(429, stream).0, "stream_rate_limited");
    let count = "maximum active stream limit exceeded when trying to create stream {}";
    assert_eq!(retried(429, count).0, "stream_limit");
    assert_eq!(retried(429, "").0, "rate_limited");
    for (status, reason) in [
        (100, "http_other"),
        (302, "http_302"),
        (304, "http_3xx"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "http_404"),
        (405, "http_405"),
        (418, "http_4xx"),
        (500, "http_500"),
        (503, "http_503"),
        (599, "http_5xx"),
        (999, "http_other"),
    ] {
        assert_eq!(retried(status, "").0, reason, "{status}");
    }
}

fn ignored_of(body: &str, records: u32) -> Option<(u64, u64)> {
    match judged(400, body, records) {
        Err(DeliverError::Refused { ignored, .. }) => {
            ignored.map(|figures| (figures.ignored, figures.out_of))
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn ignored_entries_are_added_up_over_the_streams_of_a_batch() {
    let body = "entry with timestamp x ignored, reason: 'entry too far behind, y',\n\
                user 'a', total ignored: 2 out of 10 for stream: {a=\"b\"}\n\
                user 'a', total ignored: 3 out of 5 for stream: {a=\"c\"}";
    assert_eq!(ignored_of(body, 15), Some((5, 15)));
}

#[test]
fn a_figure_that_leaves_records_of_the_batch_out_is_not_believed() {
    let last_stream_only = "user 'a', total ignored: 2 out of 10 for stream: {a=\"b\"}";
    assert_eq!(ignored_of(last_stream_only, 10), Some((2, 10)));
    assert_eq!(ignored_of(last_stream_only, 11), None);
}

#[test]
fn a_label_cannot_forge_the_figure() {
    let forged = "user 'a', total ignored: 9 out of 9 for stream: \
                  {x=\"\\nuser 'a', total ignored: 1 out of 1\"}";
    assert_eq!(ignored_of(forged, 9), Some((9, 9)));
    assert_eq!(ignored_of(forged, 10), None);
    let quoted =
        "stream '{x=\"user 'a', total ignored: 4 out of 4\"}' has label name too long: 'y'";
    assert_eq!(ignored_of(quoted, 4), None);
}

#[test]
fn figures_that_make_no_sense_are_not_believed() {
    for body in [
        "user 'a', total ignored: many out of 3",
        "user 'a', total ignored: 4 out of 3 for stream: {}",
        "user 'a', total ignored: 3",
        "user 'a', total ignored: 99999999999999999999 out of 3",
        "",
    ] {
        assert_eq!(ignored_of(body, 3), None, "{body}");
    }
}
