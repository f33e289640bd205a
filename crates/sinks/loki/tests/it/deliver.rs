//! What is sent, and what each answer and each failure of the network comes to.

use std::time::Duration;

use crate::server::{Server, Step, batch, sink};
use tailwater_record::EncodedBatch;
use tailwater_sink::{DeliverError, Delivered, Ignored};
use tokio::net::TcpListener;

async fn answered(step: Step) -> Result<Delivered, DeliverError> {
    let server = Server::start([step]).await;
    let url = format!("http://{}", server.address());
    sink(&url, "").deliver(&batch(3)).await
}

fn retried(outcome: Result<Delivered, DeliverError>) -> (&'static str, String, Option<u64>) {
    match outcome {
        Err(DeliverError::Retryable {
            reason,
            detail,
            retry_after,
            status: _,
        }) => (reason, detail, retry_after.map(|wait| wait.as_secs())),
        other => panic!("not retryable: {other:?}"),
    }
}

fn refused(outcome: Result<Delivered, DeliverError>) -> (&'static str, String, Option<Ignored>) {
    match outcome {
        Err(DeliverError::Refused {
            reason,
            detail,
            ignored,
            ..
        }) => (reason, detail, ignored),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_batch_is_pushed_as_loki_takes_it() {
    let server = Server::start([]).await;
    let url = format!("http://{}", server.address());
    let loki = sink(&url, r#","tenant":"shop","headers":{"X-Team":"logs"}"#);
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered));
    let for_another = EncodedBatch {
        tenant: Some("audit".into()),
        ..batch(1)
    };
    assert_eq!(loki.deliver(&for_another).await, Ok(Delivered));

    let requests = server.requests();
    let [first, second] = requests.as_slice() else {
        panic!("not two requests: {requests:?}");
    };
    assert_eq!(first.line, "POST /loki/api/v1/push HTTP/1.1");
    assert_eq!(first.body, b"the body");
    assert_eq!(first.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(first.header("content-encoding"), None);
    assert_eq!(first.header("content-length"), Some("8"));
    let agent = first.header("user-agent").unwrap();
    assert!(agent.starts_with("tailwater/0."), "{agent}");
    assert_eq!(first.header("x-scope-orgid"), Some("shop"));
    assert_eq!(first.header("x-team"), Some("logs"));
    assert_eq!(first.header("authorization"), None);
    assert_eq!(second.header("x-scope-orgid"), Some("audit"));
    assert_eq!(second.connection, first.connection, "kept alive");
}

#[tokio::test]
async fn a_tenant_that_no_header_can_carry_is_refused_and_holds_nothing_up() {
    let server = Server::start([]).await;
    let loki = sink(&format!("http://{}", server.address()), "");
    let strange = EncodedBatch {
        tenant: Some("a\nb".into()),
        ..batch(1)
    };
    let (reason, detail, ignored) = refused(loki.deliver(&strange).await);
    assert_eq!((reason, ignored), ("tenant", None));
    assert!(!detail.contains("a\nb"), "{detail}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn json_says_that_it_is_json_in_gzip() {
    let server = Server::start([]).await;
    let url = format!("http://{}/api/prom/push?x=1", server.address());
    let loki = sink(&url, r#","encoding":"json""#);
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered));
    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /api/prom/push?x=1 HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn success_and_refusals_are_told_apart_by_their_status() {
    assert_eq!(
        answered(Step::status("204 No Content", "", "")).await,
        Ok(Delivered)
    );
    assert_eq!(
        answered(Step::status("200 OK", "", "{}")).await,
        Ok(Delivered)
    );
    let blocked = answered(Step::status(
        "260 Blocked",
        "",
        "ingestion blocked for user a",
    ))
    .await;
    assert_eq!(retried(blocked).0, "blocked");
    let body = "entry with timestamp x ignored, reason: 'entry too far behind, y',\n\
                user 'fake', total ignored: 2 out of 3 for stream: {job=\"secret\"}";
    let (reason, detail, ignored) = refused(answered(Step::status("400 Bad", "", body)).await);
    assert_eq!(reason, "too_far_behind");
    assert!(!detail.contains("secret"), "{detail}");
    let expected = Ignored {
        ignored: 2,
        out_of: 3,
    };
    assert_eq!(ignored, Some(expected));
    let (reason, detail, _) = refused(
        answered(Step::status(
            "413 Too Large",
            "",
            "request body too large: 8 bytes, limit: 7 bytes",
        ))
        .await,
    );
    assert_eq!(reason, "too_large");
    assert!(detail.contains("limit_bytes 7"), "{detail}");
}

#[tokio::test]
async fn outages_are_waited_out_for_as_long_as_the_backend_asks() {
    let date = httpdate_of(Duration::from_secs(3600));
    for (status, head, reason, retry_after) in [
        (
            "429 Slow",
            "retry-after: 7\r\n".to_owned(),
            "rate_limited",
            Some(7..=7),
        ),
        (
            "503 Down",
            format!("retry-after: {date}\r\n"),
            "http_503",
            Some(3500..=3600),
        ),
        (
            "503 Down",
            "retry-after: soon\r\n".to_owned(),
            "http_503",
            None,
        ),
        ("500 Broken", String::new(), "http_500", None),
        ("401 Who", String::new(), "unauthorized", None),
        ("403 No", String::new(), "forbidden", None),
        ("404 Where", String::new(), "http_404", None),
    ] {
        let outcome = retried(answered(Step::status(status, &head, "secret")).await);
        assert_eq!(outcome.0, reason);
        assert!(!outcome.1.contains("secret"), "{}", outcome.1);
        match retry_after {
            None => assert_eq!(outcome.2, None, "{status}"),
            Some(range) => assert!(range.contains(&outcome.2.unwrap()), "{status}"),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sink compares with the wall clock"
)]
fn httpdate_of(from_now: Duration) -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now() + from_now)
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start([]).await;
    let head = format!("location: http://{}/\r\n", elsewhere.address());
    let outcome = answered(Step::status("302 Found", &head, "")).await;
    assert_eq!(retried(outcome).0, "http_302");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_another_attempt() {
    assert_eq!(retried(answered(Step::Close).await).0, "reset");
    let torn = Step::AnswerAndClose(b"HTTP/1.1 204 No Con".to_vec());
    assert_eq!(retried(answered(torn).await).0, "reset");
}

#[tokio::test]
async fn a_status_holds_though_the_body_after_it_breaks_off() {
    let torn = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 100\r\n\r\nhalf");
        Step::AnswerAndClose(head.into_bytes())
    };
    assert_eq!(answered(torn("200 OK")).await, Ok(Delivered));
    assert_eq!(refused(answered(torn("400 Bad")).await).0, "invalid");
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_at_the_timeout() {
    let server = Server::start([Step::Hang]).await;
    let url = format!("http://{}", server.address());
    let loki = sink(&url, r#","timeout":"100ms""#);
    assert_eq!(retried(loki.deliver(&batch(1)).await).0, "timeout");
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered), "afterwards");
}

#[tokio::test]
async fn a_body_that_drips_does_not_hold_an_answer_beyond_the_timeout() {
    let head = b"HTTP/1.1 503 Down\r\ncontent-length: 100\r\n\r\nx".to_vec();
    let server = Server::start([Step::Answer(head)]).await;
    let url = format!("http://{}", server.address());
    let loki = sink(&url, r#","timeout":"100ms""#);
    assert_eq!(retried(loki.deliver(&batch(1)).await).0, "http_503");
}

#[tokio::test]
async fn an_endless_answer_is_read_up_to_a_limit_and_costs_only_its_connection() {
    let body = "x".repeat(10 << 20);
    let server = Server::start([Step::status("400 Bad", "", &body)]).await;
    let url = format!("http://{}", server.address());
    let loki = sink(&url, "");
    let (_, detail, _) = refused(loki.deliver(&batch(1)).await);
    assert_eq!(detail, "status 400, 65536 bytes of answer");
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered));
    assert_eq!(server.requests()[1].connection, 1);
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let loki = sink(&format!("http://{address}/push?token=hunter2"), "");
    let (reason, detail, _) = retried(loki.deliver(&batch(1)).await);
    assert_eq!(reason, "connect");
    assert!(!detail.contains("hunter2"), "{detail}");

    let nowhere = sink("http://no-such-host.invalid", "");
    assert_eq!(retried(nowhere.deliver(&batch(1)).await).0, "dns");
}

#[tokio::test]
async fn several_batches_are_in_flight_at_once_and_a_dropped_one_disturbs_none() {
    let server = Server::start([Step::Hang]).await;
    let url = format!("http://{}", server.address());
    let loki = sink(&url, "");
    let (first, others) = (batch(1), batch(2));
    let mut hanging = loki.deliver(&first);
    let mut delivered = 0;
    // The first request takes the script's only step, and hangs while the others are delivered.
    while server.requests().is_empty() {
        tokio::select! {
            biased;
            outcome = &mut hanging => panic!("it was answered: {outcome:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    for _ in 0..3 {
        let two = tokio::join!(loki.deliver(&others), loki.deliver(&others));
        assert_eq!(two, (Ok(Delivered), Ok(Delivered)));
        delivered += 2;
    }
    drop(hanging);
    assert_eq!(loki.deliver(&first).await, Ok(Delivered));
    assert_eq!(server.requests().len(), delivered + 2);
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_whole_url() {
    let proxy = Server::start([]).await;
    let settings = format!(
        r#"{{"url":"http://loki.invalid/push","proxy_url":"http://user:hunter2@{}"}}"#,
        proxy.address()
    );
    let settings: tailwater_sink_loki::LokiSettings = serde_json::from_str(&settings).unwrap();
    let loki = tailwater_sink::SinkSettings::build(&settings)
        .unwrap()
        .deliver;
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered));
    let request = &proxy.requests()[0];
    assert_eq!(request.line, "POST http://loki.invalid/push HTTP/1.1");
    assert!(request.header("proxy-authorization").is_some());
    assert!(!format!("{settings:?}{loki:?}{}", loki.target()).contains("hunter2"));
}
