//! A sink that is down: for a while, or for ever.

use std::time::Duration;

use tailwater_testkit::fault_sink::{Answer, Commit, Mode};

use crate::rig::{DEADLINE, Rig, pack};

#[test]
fn a_sink_that_is_down_at_first_is_waited_for() {
    let rig = Rig::new();
    let mut writer = rig.writer("app.log.1", 1);
    writer.write_lines(5000).unwrap();
    pack("gzip", &[], &rig.log("app.log.1"));
    rig.sink.set_fallback(Mode::status(503));
    let config = rig.config("");
    let running = rig.start_with(&["--config", &config, &rig.glob("app*")]);
    let tried = rig
        .sink
        .wait_until(|state| state.requests().len() >= 20, DEADLINE);
    assert!(tried, "it is not tried");
    rig.sink.set_fallback(Mode::commit());
    let report = running.wait().assert_complete();
    rig.verdict(&[writer.written()]).assert_exact_by_timestamp();
    assert_eq!(report["sinks"][0]["delivered"], 5000);
}

/// The files are far more than what fits into memory, so that some are not even opened.
#[test]
fn giving_up_says_exactly_how_many_lines_are_left() {
    let rig = Rig::new();
    let mut written = Vec::new();
    for (file, name) in [(1, "a.log.1"), (2, "a.log"), (3, "b.log.1"), (4, "b.log")] {
        let mut writer = rig.writer(name, file);
        writer.write_lines(60_000).unwrap();
        written.push(writer.written());
        if name.ends_with('1') {
            pack("gzip", &["-1"], &rig.log(name));
        }
    }
    for _ in 0..7 {
        rig.sink.push(Mode::commit());
    }
    rig.sink.set_fallback(Mode::status(503));
    let config = rig.config("");
    let arguments = ["--config", &config, "--jobs", "1", "--give-up-after", "1s"];
    let report = rig.run_with(&arguments).assert_incomplete();
    assert_eq!(report["ended"], "gave_up");
    let all = 4 * 60_000;
    let stored = rig.stored();
    assert!(stored > 0);
    assert_eq!(report["sinks"][0]["undelivered"], all - stored, "{report}");
    // Up again, and run again.
    rig.sink.set_fallback(Mode::commit());
    let report = rig.run_with(&arguments).assert_complete();
    rig.verdict(&written).assert_exact_without_repeats();
    // Several requests are on their way at once: of what the sink took behind the first that it refused, each
    // line is sent again as it was.
    let avoided = report["duplicates_avoided"]["lines"].as_u64().unwrap();
    assert!(avoided > 0 && avoided <= stored, "{report}");
    assert_eq!(rig.stored(), all + stored - avoided, "{report}");
}

#[test]
fn what_is_left_is_told_in_lines_where_entries_have_several() {
    let rig = Rig::new();
    let entry = |number: u32| format!("entry {number}\n\tat one\n\tat two\n");
    let entries = |range: std::ops::Range<u32>| range.map(entry).collect::<String>();
    rig.write("a.log.1", entries(0..20_000).as_bytes());
    pack("gzip", &["-1"], &rig.log("a.log.1"));
    rig.write("a.log", entries(20_000..40_000).as_bytes());
    let config = rig.config("    stages:\n      - multiline: { firstline: '^entry' }\n");
    let arguments = ["--config", &config, "--give-up-after", "1s"];
    // More than are on their way at once: the first one is among them.
    for _ in 0..7 {
        rig.sink.push(Mode::commit());
    }
    rig.sink.set_fallback(Mode::status(503));
    let report = rig.run_with(&arguments).assert_incomplete();
    let left = report["sinks"][0]["undelivered"].as_u64().unwrap();
    assert!(left >= 3 * (40_000 - rig.stored()), "{report}");
    assert!(left < 120_000, "{report}");
    // That much, and no more, is read by the run that delivers it.
    rig.sink.set_fallback(Mode::commit());
    let report = rig.run_with(&arguments).assert_complete();
    assert_eq!(report["lines_read"], left, "{report}");
}

#[test]
fn a_sink_that_is_never_there_leaves_everything() {
    let mut rig = Rig::new();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    rig.sink.stop();
    let outcome = rig.run(&[&rig.glob("a.log"), "--give-up-after", "500ms"]);
    let report = outcome.assert_incomplete();
    assert_eq!(report["sinks"][0]["undelivered"], 500, "{report}");
    assert!(outcome.errors.contains("500 lines"), "{}", outcome.errors);
}

#[test]
fn a_sink_that_only_answers_slowly_is_not_given_up() {
    let rig = Rig::new();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(2000).unwrap();
    rig.sink.set_fallback(Mode::drip(Duration::from_millis(5)));
    let arguments = [&rig.glob("a.log"), "--give-up-after", "5s"];
    rig.run(&arguments).assert_complete();
    rig.verdict(&[writer.written()]).assert_exact_by_timestamp();
}

#[test]
fn a_sink_that_refuses_line_after_line_is_not_given_up() {
    let rig = Rig::new();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(12).unwrap();
    // Some 20 requests, each answered a byte at a time.
    rig.sink.set_fallback(Mode {
        commit: Commit::Nothing,
        answer: Answer::Drip {
            code: 400,
            interval: Duration::from_millis(1),
        },
    });
    let arguments = [&rig.glob("a.log"), "--give-up-after", "2s"];
    let report = rig.run(&arguments).assert_incomplete();
    assert_eq!(report["ended"], "finished", "{report}");
    assert_eq!(report["sinks"][0]["undelivered"], 0, "{report}");
    let rejected = report["sinks"][0]["rejected"].as_object().unwrap();
    let rejected = rejected.values().filter_map(serde_json::Value::as_u64);
    assert_eq!(rejected.sum::<u64>(), 12, "{report}");
}
