//! What a sink may do to an agent: nothing is lost, and what is refused is counted and named.

use std::time::Duration;

use tailwater_testkit::fault_sink::{Given, Mode, Poison, Stored};
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

/// Writes while the sink answers in these ways, and then well; every line must be there.
fn survives(modes: Vec<Mode>) -> Rig {
    let rig = Rig::new("", "");
    rig.sink.script(|script| script.queue.extend(modes));
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(3000).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    assert_eq!(
        rig.verdict(&written).restamped.count,
        0,
        "a repeat is the same bytes"
    );
    stop(&mut agent);
    rig
}

#[test]
fn server_errors_are_waited_out() {
    let rig = survives(vec![
        Mode::status(500),
        Mode::status(503),
        Mode::status(502),
        Mode::status(504),
    ]);
    assert_eq!(
        rig.sink
            .inspect(|state| state.count_given(Given::Status(503))),
        1
    );
}

#[test]
fn too_many_requests_are_waited_out_whatever_retry_after_says() {
    survives(
        [
            "1",
            "0",
            "soon",
            "Sat, 21 Nov 2026 10:00:00 GMT",
            "999999999",
        ]
        .map(Mode::too_many_requests)
        .to_vec(),
    );
}

#[test]
fn a_connection_reset_before_the_commit_loses_nothing() {
    survives(vec![Mode::reset_before_commit(); 3]);
}

#[test]
fn a_connection_reset_after_the_commit_repeats_the_same_bytes() {
    let rig = survives(vec![Mode::reset_after_commit(); 3]);
    assert_eq!(rig.sink.inspect(|state| state.count_given(Given::Reset)), 3);
}

#[test]
fn a_sink_that_never_answers_is_left_at_the_time_out_and_asked_again() {
    survives(vec![Mode::hang(), Mode::commit_then_hang()]);
}

#[test]
fn an_answer_that_drips_or_breaks_off_loses_nothing() {
    survives(vec![
        Mode::drip(Duration::from_millis(300)),
        Mode::half_response(),
        Mode::close(),
        Mode::commit_then_close(),
    ]);
}

#[test]
fn errors_after_the_commit_repeat_the_same_bytes() {
    survives(vec![Mode::status_after_commit(500); 4]);
}

#[test]
fn credentials_that_are_refused_are_an_outage_and_the_token_file_is_read_again() {
    let mut rig = Rig::new("", ", bearer_token_file: token");
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(rig.directory.path().join("token"))
        .unwrap();
    let token = rig.directory.path().join("token");
    write(&token, "old\n");
    rig.config = rig.config.replace(
        "bearer_token_file: token",
        &format!("bearer_token_file: \"{}\"", token.display()),
    );
    rig.sink
        .script(|script| script.rules.bearer = Some("new".into()));
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(100).unwrap();
    assert!(
        rig.sink
            .wait_until(|state| state.count_given(Given::Status(401)) >= 2, DEADLINE)
    );
    write(&token, "new\n");
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    assert!(
        !agent.log().contains("old") && !agent.log().contains("new\n"),
        "a token is in the log"
    );
    stop(&mut agent);
}

fn poisoned(others: Stored) {
    let rig = Rig::new("", "");
    rig.sink.script(|script| {
        script.rules.poison = Some(Poison {
            substring: b"POISON-hunter2".to_vec(),
            others,
        });
    });
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    let offset = std::fs::metadata(rig.log("a.log")).unwrap().len();
    append(&rig.log("a.log"), b"POISON-hunter2 is refused\n");
    writer.write_lines(499).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    let rejected = || {
        agent
            .metrics()
            .unwrap()
            .sum("tailwater_rejected_records_total", &[])
    };
    wait::until(DEADLINE, "the poison is counted", || rejected() > 0.5).unwrap();
    wait_settled(&agent);
    assert!(
        (rejected() - 1.0).abs() < 0.5,
        "one line is rejected, not {}",
        rejected()
    );
    rig.verdict(&written)
        .assert_at_least_once(u64::from(others == Stored::GoodLines) * 10_000);
    let log = agent.log();
    assert!(
        log.contains("record rejected")
            && log.contains("a.log")
            && log.contains(&format!("offset={offset}")),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "a line's content is in the log");
    stop(&mut agent);
}

#[test]
fn one_poison_line_in_a_thousand_is_rejected_alone_and_named_by_its_offset() {
    poisoned(Stored::Nothing);
}

#[test]
fn one_poison_line_that_the_sink_has_counted_itself_is_rejected_alone() {
    poisoned(Stored::GoodLines);
}

#[test]
fn a_body_that_is_too_large_is_halved_until_it_passes() {
    let rig = Rig::new("", "");
    rig.sink
        .script(|script| script.rules.max_body_bytes = Some(6000));
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(2000).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    assert!(
        rig.sink
            .inspect(|state| state.count_given(Given::Status(413)))
            > 0
    );
    assert!(
        agent
            .metrics()
            .unwrap()
            .sum("tailwater_rejected_records_total", &[])
            < 0.5
    );
    stop(&mut agent);
}

#[test]
fn a_sink_that_is_unreachable_at_the_start_is_tried_until_it_is_there() {
    let mut rig = Rig::new("", "");
    let port = rig.sink.port();
    rig.sink.stop();
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(100).unwrap();
    wait::until(DEADLINE, "the outage is said", || {
        agent.log().contains("delivery failed, will retry")
    })
    .unwrap();
    let status = agent.status().unwrap();
    assert_eq!(status["sinks"][0]["state"], "retrying");
    rig.sink.start_at(port).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn a_dead_sink_does_not_hold_up_a_stop_and_its_lines_come_after_the_restart() {
    let mut rig = Rig::new("", "");
    let port = rig.sink.port();
    rig.sink.stop();
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(1000).unwrap();
    wait::until(DEADLINE, "the outage is said", || {
        agent.log().contains("delivery failed, will retry")
    })
    .unwrap();
    let status = agent.sigterm(Duration::from_secs(5)).unwrap();
    assert!(status.success());
    rig.sink.start_at(port).unwrap();
    let mut agent = rig.start();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn with_one_batch_in_flight_the_order_of_arrival_is_strict_through_retries() {
    let mut rig = Rig::new("", "");
    rig.config.push_str("    max_in_flight: 1\n");
    rig.sink.script(|script| {
        for _ in 0..5 {
            script.queue.extend([
                Mode::status(500),
                Mode::commit(),
                Mode::reset_before_commit(),
            ]);
        }
    });
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(5000).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact();
    stop(&mut agent);
}

fn append(path: &std::path::Path, bytes: &[u8]) {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

fn write(path: &std::path::Path, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
