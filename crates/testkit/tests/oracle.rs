//! The oracle finds what is wrong, and nothing else.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, also outside of #[test] functions"
)]

use tailwater_testkit::client;
use tailwater_testkit::fault_sink::{FaultSink, Keep, Mode};
use tailwater_testkit::line::{LineId, push_line};
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::writer::Written;

const WRITTEN: [Written; 1] = [Written {
    file: 1,
    acked: 5,
    attempted: 6,
}];

/// A line of file 1 at a time in nanoseconds.
#[derive(Clone)]
struct Sent {
    time: u64,
    line: String,
}

fn sent(seq: u64, time: u64) -> Sent {
    let mut line = Vec::new();
    push_line(&mut line, LineId { file: 1, seq }, 30);
    Sent {
        time,
        line: String::from_utf8(line).unwrap(),
    }
}

/// Five lines, each at the time of its number.
fn five() -> Vec<Sent> {
    (0..5).map(|seq| sent(seq, seq)).collect()
}

fn push(sink: &FaultSink, lines: &[Sent]) {
    let values: Vec<_> = lines
        .iter()
        .map(|sent| serde_json::json!([sent.time.to_string(), sent.line]))
        .collect();
    let stream = serde_json::json!({"stream": {"job": "test"}, "values": values});
    let body = serde_json::json!({ "streams": [stream] }).to_string();
    let headers = "Content-Type: application/json\r\n";
    // A 503 is as welcome as a 204: what the sink says is not what is judged.
    client::post(
        sink.address(),
        "/loki/api/v1/push",
        headers,
        body.as_bytes(),
    )
    .unwrap();
}

fn judge(keep: Keep, batches: &[&[Sent]]) -> Verdict {
    let sink = FaultSink::start_keeping(keep).unwrap();
    for batch in batches {
        push(&sink, batch);
    }
    sink.inspect(|state| Verdict::new(&WRITTEN, state))
}

fn is_refused(assertion: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    std::panic::catch_unwind(assertion).is_err()
}

#[test]
fn a_run_without_a_fault_is_exact() {
    for keep in [Keep::Everything, Keep::Counts] {
        let verdict = judge(keep, &[&five()[..2], &five()[2..]]);
        verdict.assert_exact();
        assert_eq!(verdict.files[&1].expected, 5);
    }
}

#[test]
fn a_line_whose_write_failed_may_be_there_or_not() {
    judge(Keep::Everything, &[&five()]).assert_exact();
    judge(Keep::Everything, &[&five(), &[sent(5, 5)]]).assert_exact();
}

#[test]
fn a_planted_loss_is_found() {
    for keep in [Keep::Everything, Keep::Counts] {
        let mut lines = five();
        lines.remove(3);
        let verdict = judge(keep, &[&lines]);
        assert_eq!(verdict.missing(), 1);
        assert!(
            verdict.to_string().contains("missing: 1\n    line 3\n"),
            "{verdict}"
        );
        assert!(is_refused(|| verdict.assert_at_least_once(9)));
    }
}

#[test]
fn a_file_of_which_nothing_arrived_is_missing_whole() {
    let verdict = judge(Keep::Everything, &[]);
    assert_eq!(verdict.missing(), 5);
}

#[test]
fn a_planted_duplicate_is_found_and_allowed_up_to_a_bound() {
    for keep in [Keep::Everything, Keep::Counts] {
        let verdict = judge(keep, &[&five(), &five()[1..3]]);
        assert_eq!((verdict.duplicates(), verdict.excused_duplicates()), (2, 0));
        verdict.assert_at_least_once(2);
        assert!(is_refused({
            let verdict = verdict.clone();
            move || verdict.assert_at_least_once(1)
        }));
        assert!(is_refused(move || verdict.assert_exact()));
    }
}

#[test]
fn a_duplicate_that_the_sink_provoked_is_excused() {
    let sink = FaultSink::start().unwrap();
    sink.push(Mode::status_after_commit(503));
    push(&sink, &five());
    push(&sink, &five());
    let verdict = sink.inspect(|state| Verdict::new(&WRITTEN, state));
    assert_eq!((verdict.duplicates(), verdict.excused_duplicates()), (0, 5));
    assert_eq!(verdict.restamped.count, 0);
    verdict.assert_exact();
}

#[test]
fn a_line_that_was_sent_again_under_another_time_is_found() {
    let sink = FaultSink::start().unwrap();
    sink.push(Mode::status_after_commit(503));
    push(&sink, &five());
    push(&sink, &[sent(4, 400)]);
    let verdict = sink.inspect(|state| Verdict::new(&WRITTEN, state));
    assert_eq!(verdict.restamped.count, 1);
    assert!(
        verdict.to_string().contains("file 1 line 4 as"),
        "{verdict}"
    );
}

#[test]
fn a_torn_line_is_found() {
    let mut lines = five();
    let half = lines[2].line.len() / 2;
    lines[2].line.truncate(half);
    for keep in [Keep::Everything, Keep::Counts] {
        let verdict = judge(keep, &[&lines]);
        assert_eq!((verdict.torn.count, verdict.missing()), (1, 1));
        assert!(is_refused(move || verdict.assert_at_least_once(9)));
    }
}

#[test]
fn a_line_that_nobody_wrote_is_unknown() {
    for keep in [Keep::Everything, Keep::Counts] {
        let verdict = judge(keep, &[&five(), &[sent(6, 6)]]);
        assert_eq!(verdict.unknown.first, ["file 1 line 6"]);
        assert!(is_refused(move || verdict.assert_at_least_once(9)));
    }
}

#[test]
fn lines_that_arrive_out_of_order_are_found_and_may_be_in_order_by_timestamp() {
    let mut lines = five();
    lines.swap(1, 2);
    let verdict = judge(Keep::Everything, &[&lines]);
    assert_eq!(verdict.files[&1].reordered_by_arrival.first, ["line 1"]);
    assert_eq!(verdict.reordered_by_timestamp.count, 0);
    verdict.assert_exact_by_timestamp();
    assert!(is_refused(move || verdict.assert_exact()));
}

#[test]
fn lines_that_are_out_of_order_by_timestamp_are_found() {
    let lines: Vec<_> = [(0, 0), (1, 2), (2, 1), (3, 3), (4, 4)]
        .into_iter()
        .map(|(seq, time)| sent(seq, time))
        .collect();
    let verdict = judge(Keep::Everything, &[&lines]);
    assert_eq!(verdict.reordered_by_arrival(), 0);
    assert_eq!(
        verdict.reordered_by_timestamp.first,
        ["file 1 line 1 after line 2"]
    );
    assert!(is_refused(move || verdict.assert_exact_by_timestamp()));
}

#[test]
fn lines_that_share_a_timestamp_in_their_stream_are_found() {
    let mut lines = five();
    lines[3].time = 4;
    let verdict = judge(Keep::Everything, &[&lines]);
    assert_eq!(verdict.shared_timestamps.count, 1);
    verdict.assert_exact();
}

#[test]
fn a_verdict_on_nothing_is_no_proof() {
    let sink = FaultSink::start().unwrap();
    let verdict = sink.inspect(|state| Verdict::new(&[], state));
    assert!(is_refused(move || verdict.assert_at_least_once(0)));
}
