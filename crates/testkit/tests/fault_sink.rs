//! Every mode of the fault sink, as a client that knows nothing of it sees it.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, also outside of #[test] functions"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tailwater_testkit::fault_sink::{Answer, Commit, FaultSink, Given, Keep, Mode, Poison, Stored};

/// Long enough for any machine; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// A client's time-out in the modes that never answer: it has to pass, so it is short.
const IMPATIENCE: Duration = Duration::from_millis(200);

fn json(lines: &[&str]) -> Vec<u8> {
    let values: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| serde_json::json!([format!("{}", 1_000 + index), line]))
        .collect();
    let stream = serde_json::json!({"stream": {"job": "test"}, "values": values});
    serde_json::to_vec(&serde_json::json!({ "streams": [stream] })).unwrap()
}

fn request(body: &[u8], headers: &str) -> Vec<u8> {
    let head = format!(
        "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn connect(sink: &FaultSink) -> TcpStream {
    let stream = TcpStream::connect(sink.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends one request and reads until the server closes the connection or has answered.
fn push_with(sink: &FaultSink, body: &[u8], headers: &str) -> std::io::Result<String> {
    let mut stream = connect(sink);
    let headers = format!("{headers}Connection: close\r\n");
    stream.write_all(&request(body, &headers))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

fn push(sink: &FaultSink, lines: &[&str]) -> std::io::Result<String> {
    push_with(sink, &json(lines), "")
}

fn committed(sink: &FaultSink) -> Vec<String> {
    let text = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
    sink.inspect(|state| {
        state
            .entries()
            .iter()
            .map(|entry| text(&entry.line))
            .collect()
    })
}

fn last_given(sink: &FaultSink) -> Given {
    sink.inspect(|state| state.requests().last().unwrap().given)
}

#[test]
fn lines_are_stored_and_acknowledged_where_nothing_is_scripted() {
    let sink = FaultSink::start().unwrap();
    let answer = push_with(&sink, &json(&["a", "b"]), "X-Scope-OrgID: shop\r\n").unwrap();
    assert_eq!(answer, "HTTP/1.1 204 No Content\r\n\r\n");
    sink.inspect(|state| {
        let entry = &state.entries()[1];
        assert_eq!(&*entry.labels, "{job=\"test\"}");
        assert_eq!(entry.label("job").as_deref(), Some("test"));
        assert_eq!(
            (entry.arrival, entry.timestamp_ns, entry.request),
            (1, 1_001, 0)
        );
        assert_eq!(entry.tenant.as_deref(), Some("shop"));
        let request = &state.requests()[0];
        assert_eq!((request.entries, request.committed_entries), (2, 2));
        assert_eq!(request.header("x-scope-orgid"), Some("shop"));
        assert!(request.is_acknowledged());
    });
}

#[test]
fn several_requests_are_answered_on_one_connection() {
    let sink = FaultSink::start().unwrap();
    let mut stream = connect(&sink);
    for line in ["a", "b"] {
        stream.write_all(&request(&json(&[line]), "")).unwrap();
        let mut answer = [0; 27];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 204 No Content\r\n\r\n");
    }
    assert_eq!(committed(&sink), ["a", "b"]);
    sink.inspect(|state| {
        let connections: Vec<_> = state.requests().iter().map(|one| one.connection).collect();
        assert_eq!(connections, [0, 0]);
    });
}

#[test]
fn chunked_bodies_and_clients_that_ask_first_are_understood() {
    let sink = FaultSink::start().unwrap();
    let body = json(&["a"]);
    let (one, two) = body.split_at(10);
    let mut stream = connect(&sink);
    write!(
        stream,
        "POST /loki/api/v1/push HTTP/1.1\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )
    .unwrap();
    let mut proceed = [0; 25];
    stream.read_exact(&mut proceed).unwrap();
    assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n");
    for chunk in [one, two, &[]] {
        write!(stream, "{:x}\r\n", chunk.len()).unwrap();
        stream.write_all(chunk).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 204");
    assert_eq!(committed(&sink), ["a"]);
}

#[test]
fn any_status_is_answered_with_and_without_storing() {
    let sink = FaultSink::start().unwrap();
    for code in [400, 401, 403, 404, 413, 500, 502, 503, 504] {
        sink.push(Mode::status(code));
        let answer = push(&sink, &["not stored"]).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
    }
    assert!(committed(&sink).is_empty());
    sink.push(Mode::status_after_commit(500));
    assert!(
        push(&sink, &["stored"])
            .unwrap()
            .starts_with("HTTP/1.1 500 ")
    );
    assert_eq!(committed(&sink), ["stored"]);
    sink.inspect(|state| assert!(!state.requests().last().unwrap().is_acknowledged()));
}

#[test]
fn the_queue_is_used_up_in_order_before_the_fallback() {
    let sink = FaultSink::start().unwrap();
    sink.set_fallback(Mode::status(503));
    sink.push(Mode::status(500));
    sink.push(Mode::commit());
    let codes: Vec<_> = (0..4)
        .map(|_| {
            push(&sink, &["a"])
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(codes, ["500", "204", "503", "503"]);
    sink.set_fallback(Mode::commit());
    assert!(push(&sink, &["a"]).unwrap().contains("204"));
}

#[test]
fn a_rate_limit_says_when_to_come_again() {
    let sink = FaultSink::start().unwrap();
    for value in ["2", "Wed, 21 Oct 2037 07:28:00 GMT", "soon"] {
        sink.push(Mode::too_many_requests(value));
        let answer = push(&sink, &["abc"]).unwrap();
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(
            answer.contains(&format!("\r\nRetry-After: {value}\r\n")),
            "{answer}"
        );
        assert!(answer.contains("'1' lines totaling '3' bytes"), "{answer}");
    }
    assert!(committed(&sink).is_empty());
}

#[test]
fn connections_are_reset_before_and_after_storing() {
    let sink = FaultSink::start().unwrap();
    for (mode, stored) in [
        (Mode::reset_before_commit(), 0),
        (Mode::reset_after_commit(), 1),
    ] {
        sink.push(mode);
        let error = push(&sink, &["a"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(
            (committed(&sink).len(), last_given(&sink)),
            (stored, Given::Reset)
        );
    }
}

#[test]
fn connections_are_closed_before_and_after_storing() {
    let sink = FaultSink::start().unwrap();
    for (mode, stored) in [(Mode::close(), 0), (Mode::commit_then_close(), 1)] {
        sink.push(mode);
        assert_eq!(push(&sink, &["a"]).unwrap(), "");
        assert_eq!(
            (committed(&sink).len(), last_given(&sink)),
            (stored, Given::Closed)
        );
    }
}

#[test]
fn clients_are_left_without_an_answer_before_and_after_storing() {
    let sink = FaultSink::start().unwrap();
    for (mode, stored) in [(Mode::hang(), 0), (Mode::commit_then_hang(), 1)] {
        sink.push(mode);
        let mut stream = connect(&sink);
        stream.write_all(&request(&json(&["a"]), "")).unwrap();
        let requests = 1 + stored;
        assert!(sink.wait_until(|state| state.requests().len() == requests, DEADLINE));
        stream.set_read_timeout(Some(IMPATIENCE)).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "no answer and no end");
        assert_eq!(
            (committed(&sink).len(), last_given(&sink)),
            (stored, Given::Hung)
        );
    }
}

#[test]
fn an_answer_drips_byte_by_byte() {
    let sink = FaultSink::start().unwrap();
    sink.push(Mode::drip(Duration::from_millis(2)));
    let mut stream = connect(&sink);
    stream.write_all(&request(&json(&["a"]), "")).unwrap();
    let mut answer = Vec::new();
    let mut reads = 0;
    while !answer.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 64];
        let count = stream.read(&mut bytes).unwrap();
        answer.extend_from_slice(&bytes[..count]);
        reads += 1;
    }
    assert_eq!(answer, b"HTTP/1.1 204 No Content\r\n\r\n");
    assert!(reads > 1, "it came in one piece");
    assert_eq!(
        (committed(&sink).len(), last_given(&sink)),
        (1, Given::Dripped(204))
    );
}

#[test]
fn half_an_answer_is_all_there_is() {
    let sink = FaultSink::start().unwrap();
    sink.push(Mode::half_response());
    assert_eq!(push(&sink, &["a"]).unwrap(), "HTTP/1.1 204 ");
    assert_eq!(
        (committed(&sink).len(), last_given(&sink)),
        (1, Given::Half)
    );
}

#[test]
fn a_mode_can_be_put_together_from_its_parts() {
    let sink = FaultSink::start().unwrap();
    sink.push(Mode {
        commit: Commit::Nothing,
        answer: Answer::Half,
    });
    assert_eq!(push(&sink, &["a"]).unwrap(), "HTTP/1.1 204 ");
    assert!(committed(&sink).is_empty());
}

#[test]
fn a_poisoned_line_has_the_whole_request_refused() {
    let sink = FaultSink::start().unwrap();
    sink.push(Mode::commit());
    sink.script(|script| {
        script.rules.poison = Some(Poison {
            substring: b"poison".to_vec(),
            others: Stored::Nothing,
        });
    });
    let answer = push(&sink, &["good", "a poisoned line"]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains("has timestamp too old: 1001, oldest"),
        "{answer}"
    );
    assert!(committed(&sink).is_empty());
    push(&sink, &["good"]).unwrap();
    assert_eq!(committed(&sink), ["good"]);
    sink.script(|script| {
        assert!(
            script.queue.is_empty(),
            "only the good request was scripted"
        );
    });
}

#[test]
fn a_poisoned_line_is_ignored_and_counted_while_the_others_are_stored() {
    let sink = FaultSink::start().unwrap();
    sink.script(|script| {
        script.rules.poison = Some(Poison {
            substring: b"poison".to_vec(),
            others: Stored::GoodLines,
        });
    });
    let answer = push(&sink, &["good", "a poisoned line", "fine"]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let total = "user 'fake', total ignored: 1 out of 3 for stream: {job=\"test\"}\n";
    assert!(answer.ends_with(total), "{answer}");
    assert!(
        answer.contains("entry with timestamp 1001 ignored, reason:"),
        "{answer}"
    );
    assert_eq!(committed(&sink), ["good", "fine"]);
    sink.push(Mode::status(503));
    assert!(
        push(&sink, &["poison"]).unwrap().contains(" 503 "),
        "the mode fails on its own"
    );
}

#[test]
fn bodies_over_the_limit_are_too_large() {
    let sink = FaultSink::start().unwrap();
    let body = json(&["a"]);
    sink.script(|script| script.rules.max_body_bytes = Some(body.len()));
    assert!(push_with(&sink, &body, "").unwrap().contains(" 204 "));
    let answer = push(&sink, &["ab"]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let text = format!("{} bytes, limit: {} bytes", body.len() + 1, body.len());
    assert!(answer.contains(&text), "{answer}");
    assert_eq!(committed(&sink), ["a"]);
}

#[test]
fn requests_without_the_token_are_not_let_in() {
    let sink = FaultSink::start().unwrap();
    sink.script(|script| script.rules.bearer = Some("right".into()));
    assert!(push(&sink, &["a"]).unwrap().contains(" 401 "));
    let with = |token| {
        let header = format!("Authorization: Bearer {token}\r\n");
        push_with(&sink, &json(&["b"]), &header).unwrap()
    };
    assert!(with("wrong").contains(" 401 "));
    assert!(with("right").contains(" 204 "));
    assert_eq!(committed(&sink), ["b"]);
}

#[test]
fn bodies_that_cannot_be_read_are_refused() {
    let sink = FaultSink::start().unwrap();
    let answer = push_with(&sink, b"{\"streams\":", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(last_given(&sink), Given::Status(400));
}

#[test]
fn an_outage_refuses_connections_and_keeps_what_was_stored() {
    let mut sink = FaultSink::start().unwrap();
    push(&sink, &["before"]).unwrap();
    let (url, address) = (sink.url(), sink.address());
    let mut idle = connect(&sink);
    idle.write_all(&request(&json(&["during"]), "")).unwrap();
    idle.read_exact(&mut [0; 27]).unwrap();
    sink.stop();
    let error = TcpStream::connect(address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "open connections end");
    sink.start_at(address.port()).unwrap();
    assert_eq!(sink.url(), url);
    push(&sink, &["after"]).unwrap();
    assert_eq!(committed(&sink), ["before", "during", "after"]);
}

#[test]
fn what_is_waited_for_is_seen_or_not_within_its_time() {
    let sink = FaultSink::start().unwrap();
    assert!(!sink.wait_until(
        |state| state.committed_entries() > 0,
        Duration::from_millis(1)
    ));
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| push(&sink, &["a"]).unwrap());
        assert!(sink.wait_until(|state| state.committed_entries() > 0, DEADLINE));
        pushing.join().unwrap();
    });
}

#[test]
fn a_tenant_is_answered_in_a_mode_of_its_own_and_uses_up_no_other() {
    let sink = FaultSink::start().unwrap();
    sink.script(|script| {
        script
            .rules
            .tenants
            .insert("poor".into(), Mode::status(429));
        script.queue.push_back(Mode::status(500));
    });
    let push_for = |tenant: &str| {
        let header = format!("X-Scope-OrgID: {tenant}\r\n");
        push_with(&sink, &json(&["a"]), &header).unwrap();
        last_given(&sink)
    };
    assert_eq!(push_for("poor"), Given::Status(429));
    assert_eq!(push_for("rich"), Given::Status(500));
    assert_eq!(push_for("rich"), Given::Status(204));
    assert_eq!(committed(&sink), ["a"]);
}

#[test]
fn what_was_not_stored_is_named_by_its_numbers() {
    let sink = FaultSink::start_keeping(Keep::Counts).unwrap();
    let mut line = Vec::new();
    let id = tailwater_testkit::line::LineId { file: 3, seq: 1 };
    tailwater_testkit::line::push_line(&mut line, id, 10);
    push(&sink, &[&String::from_utf8(line).unwrap()]).unwrap();
    let written = |file| tailwater_testkit::writer::Written {
        file,
        acked: 3,
        attempted: 4,
    };
    sink.inspect(|state| {
        assert_eq!(state.missing(written(3)), [0, 2]);
        assert_eq!(state.missing(written(4)), [0, 1, 2]);
    });
}

#[test]
fn counts_are_kept_without_entries() {
    let sink = FaultSink::start_keeping(Keep::Counts).unwrap();
    let mut line = Vec::new();
    let id = tailwater_testkit::line::LineId { file: 3, seq: 2 };
    tailwater_testkit::line::push_line(&mut line, id, 10);
    let line = String::from_utf8(line).unwrap();
    sink.push(Mode::status_after_commit(500));
    push(&sink, &[&line]).unwrap();
    push(&sink, &[&line, "no such line"]).unwrap();
    sink.inspect(|state| {
        assert!(state.entries().is_empty());
        let copies = state.tally().file(3).unwrap().copies(2);
        assert_eq!(
            (copies.committed, copies.excused, copies.unexcused()),
            (2, 1, 0)
        );
        assert_eq!((state.tally().torn(), state.committed_entries()), (1, 3));
    });
}

#[test]
fn the_sink_is_ready_as_a_loki_is() {
    let sink = FaultSink::start().unwrap();
    let address: SocketAddr = sink.address();
    let response = tailwater_testkit::client::get(address, "/ready").unwrap();
    assert_eq!((response.status, &*response.text()), (200, "ready\n"));
}
