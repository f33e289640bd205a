//! When batches are sent and when they are given up, as Promtail's own tests have it.

use std::io::Write as _;
use std::path::Path;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::{Given, Mode};
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

fn append(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn lines_by_request(rig: &Rig) -> Vec<Vec<String>> {
    rig.sink.inspect(|state| {
        let of_request = |number| {
            let entries = state.entries().iter();
            entries
                .filter(|entry| entry.request == number)
                .map(|entry| String::from_utf8(entry.line.clone()).unwrap())
                .collect()
        };
        let requests = state.requests().iter();
        requests.map(|request| of_request(request.number)).collect()
    })
}

#[test]
fn case_24_a_full_batch_is_sent_at_once_and_the_rest_when_its_time_is_up() {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace(
        "max_wait: 50ms, max_bytes: 64KiB",
        "max_wait: 100ms, max_records: 2",
    );
    append(&rig.log("a.log"), "line1\nline2\nline3\n");
    let mut agent = rig.start();
    let has_all = |state: &tailwater_testkit::fault_sink::SinkState| state.entries().len() == 3;
    assert!(rig.sink.wait_until(has_all, DEADLINE));
    wait_settled(&agent);
    assert_eq!(
        lines_by_request(&rig),
        [vec!["line1", "line2"], vec!["line3"]]
    );
    stop(&mut agent);
}

#[test]
fn case_26_entries_further_apart_than_the_wait_are_requests_of_their_own() {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace("max_wait: 50ms", "max_wait: 100ms");
    let mut agent = rig.start();
    for count in 1..=2 {
        append(&rig.log("a.log"), &format!("line{count}\n"));
        let arrived = rig
            .sink
            .wait_until(|state| state.entries().len() == count, DEADLINE);
        assert!(arrived);
    }
    assert_eq!(lines_by_request(&rig), [vec!["line1"], vec!["line2"]]);
    wait_settled(&agent);
    stop(&mut agent);
}

/// Sends one line to a sink that answers nothing but `status`.
fn refused_for_good(status: u16, retry_keys: &str) -> (Rig, Agent) {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace(
        "min_wait: 20ms, max_wait: 200ms",
        &format!("min_wait: 10ms, max_wait: 20ms{retry_keys}"),
    );
    rig.sink.set_fallback(Mode::status(status));
    append(&rig.log("a.log"), "line1\n");
    let agent = rig.start();
    wait::until_ok(DEADLINE, "the line is given up", || {
        let metrics = agent.metrics()?;
        let lost = ["dropped", "rejected"]
            .map(|word| metrics.sum(&format!("tailwater_{word}_records_total"), &[]));
        Ok(lost.iter().sum::<f64>() > 0.5)
    })
    .unwrap();
    wait_settled(&agent);
    (rig, agent)
}

/// Asserts how many requests were made, and that the line stands in the books under `reason`; then
/// stops, and asserts that the line is not read again.
fn assert_dropped((rig, mut agent): (Rig, Agent), requests: usize, reason: &str) {
    let metrics = agent.metrics().unwrap();
    let dropped = metrics.get("tailwater_dropped_records_total", &[("reason", reason)]);
    assert_eq!(dropped, Some(1.0));
    assert_eq!(rig.sink.inspect(|state| state.requests().len()), requests);
    assert!(agent.log().contains("records dropped"), "{}", agent.log());
    stop(&mut agent);
    rig.sink.set_fallback(Mode::commit());
    let mut agent = rig.start();
    append(&rig.log("a.log"), "line2\n");
    let arrived = rig
        .sink
        .wait_until(|state| !state.entries().is_empty(), DEADLINE);
    assert!(arrived);
    let first = rig
        .sink
        .inspect(|state| state.entries().first().map(|entry| entry.line.clone()));
    assert_eq!(
        first.as_deref(),
        Some(&b"line2"[..]),
        "the position moved on"
    );
    wait_settled(&agent);
    stop(&mut agent);
}

#[test]
fn case_27_a_server_error_is_given_up_after_the_last_attempt() {
    assert_dropped(
        refused_for_good(500, ", max_attempts: 3"),
        3,
        "ingester_error",
    );
}

#[test]
fn case_27_a_rate_limit_is_given_up_after_the_last_attempt() {
    assert_dropped(
        refused_for_good(429, ", max_attempts: 3"),
        3,
        "rate_limited",
    );
}

#[test]
fn case_27_a_rate_limit_is_given_up_at_once_where_that_is_wanted() {
    let keys = ", max_attempts: 3, drop_rate_limited: true";
    assert_dropped(refused_for_good(429, keys), 1, "rate_limited");
}

#[test]
fn case_27_a_line_that_is_refused_is_asked_about_once() {
    let (rig, mut agent) = refused_for_good(400, ", max_attempts: 3");
    let metrics = agent.metrics().unwrap();
    let rejected = metrics.get("tailwater_rejected_records_total", &[]);
    assert_eq!(rejected, Some(1.0));
    assert_eq!(rig.sink.inspect(|state| state.requests().len()), 1);
    stop(&mut agent);
}

#[test]
fn refused_credentials_count_as_attempts_where_there_is_a_last_one() {
    for status in [401, 403] {
        let given_up = refused_for_good(status, ", max_attempts: 2");
        assert_dropped(given_up, 2, "ingester_error");
    }
}

#[test]
fn a_dead_connection_is_given_up_as_well_and_what_comes_after_arrives() {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace(
        "max_wait: 200ms",
        "max_wait: 20ms, max_attempts: 2, drop_rate_limited: true",
    );
    rig.sink
        .script(|script| script.queue.extend([(); 2].map(|()| Mode::close())));
    append(&rig.log("a.log"), "line1\n");
    let mut agent = rig.start();
    wait::until_ok(DEADLINE, "the line is given up", || {
        let dropped = agent.metrics()?.sum("tailwater_dropped_records_total", &[]);
        Ok(dropped > 0.5)
    })
    .unwrap();
    append(&rig.log("a.log"), "line2\n");
    let arrived = rig
        .sink
        .wait_until(|state| !state.entries().is_empty(), DEADLINE);
    assert!(arrived);
    assert_eq!(
        rig.sink.inspect(|state| state.count_given(Given::Closed)),
        2
    );
    wait_settled(&agent);
    assert!(agent.log().contains("delivering again"), "{}", agent.log());
    stop(&mut agent);
}

#[test]
fn what_is_spilled_is_given_up_when_it_is_sent_from_there() {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace(
        "max_wait: 200ms }",
        "max_wait: 40ms, max_attempts: 2 }\n    when_full: spill\n    queue: { max_bytes: 128KiB }",
    );
    rig.sink.set_fallback(Mode::status(503));
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(20_000).unwrap();
    let mut agent = rig.start();
    wait::until_ok(DEADLINE, "every line is dropped", || {
        let metrics = agent.metrics()?;
        Ok(metrics.sum("tailwater_dropped_records_total", &[]) > 19_999.5)
    })
    .unwrap();
    wait_settled(&agent);
    let metrics = agent.metrics().unwrap();
    assert!(metrics.sum("tailwater_spill_batches_total", &[]) > 0.5);
    assert!(metrics.sum("tailwater_spilled_records", &[]) < 0.5);
    let reason = [("reason", "ingester_error")];
    let dropped = metrics.get("tailwater_dropped_records_total", &reason);
    assert_eq!(dropped, Some(20_000.0));
    let logged = agent.log().matches("records dropped").count();
    assert!(logged < 20, "{logged} lines for every batch");
    stop(&mut agent);
}
