//! Lines of a range of times.

use crate::rig::{Rig, pack};

const STAGES: &str = "    stages:\n      - regex: { expression: '^(?P<t>\\S+) ' }\n      - timestamp: { source: t, format: RFC3339 }\n";

/// Writes lines of ten days, a hundred each, into two files.
fn days(rig: &Rig) {
    let line = |day: u32, number: u32| {
        let (hour, minute) = (number / 60, number % 60);
        format!("2026-11-{day:02}T{hour:02}:{minute:02}:00Z line {day} {number}\n")
    };
    let days = |days: std::ops::Range<u32>| -> String {
        days.flat_map(|day| (0..100).map(move |number| line(day, number)))
            .collect()
    };
    rig.write("app.log.1", days(1..6).as_bytes());
    pack("xz", &[], &rig.log("app.log.1"));
    rig.write("app.log", days(6..11).as_bytes());
}

#[test]
fn only_lines_of_the_range_are_sent_under_their_own_times() {
    let rig = Rig::new();
    days(&rig);
    let config = rig.config(STAGES);
    let range = [
        "--config",
        &config,
        "--since",
        "2026-11-03",
        "--until",
        "2026-11-08T00:10:00Z",
    ];
    let report = rig.run_with(&range).assert_complete();
    let sink = &report["sinks"][0];
    assert_eq!(sink["delivered"], 510, "{report}");
    assert_eq!(sink["outside_time_range"], 490);
    let lines = rig.lines();
    assert_eq!(lines.len(), 510);
    assert!(lines[0].ends_with("line 3 0"), "{}", lines[0]);
    assert!(lines[509].ends_with("line 8 9"), "{}", lines[509]);
    let first = rig.sink.inspect(|state| {
        let times = state.entries().iter().map(|entry| entry.timestamp_ns);
        times.min().unwrap()
    });
    assert_eq!(first, 1_793_664_000_000_000_000);
    // Another range is another run: what was left out of the first is sent.
    let rest = ["--config", &config, "--since", "2026-11-08T00:10:00Z"];
    rig.run_with(&rest).assert_complete();
    assert_eq!(rig.stored(), 800);
}

#[test]
fn a_range_without_times_is_a_mistake_that_says_what_to_do() {
    let rig = Rig::new();
    days(&rig);
    let config = rig.config("");
    let outcome = rig.run_with(&["--config", &config, "--since", "7d"]);
    assert_eq!(outcome.code, Some(64), "{}", outcome.errors);
    assert!(
        outcome.errors.contains("`timestamp` stage"),
        "{}",
        outcome.errors
    );
    let outcome = rig.run(&["--until", "2026-11-08", &rig.glob("*")]);
    assert_eq!(outcome.code, Some(64), "{}", outcome.errors);
    assert_eq!(rig.stored(), 0);
}

#[test]
fn what_stages_drop_is_told_by_reason_and_was_wanted() {
    let rig = Rig::new();
    days(&rig);
    let config = rig.config(&format!(
        "{STAGES}      - drop: {{ expression: ' 7$', drop_counter_reason: sevens }}\n"
    ));
    let report = rig.run_with(&["--config", &config]).assert_complete();
    let sink = &report["sinks"][0];
    assert_eq!(sink["dropped_by_stages"]["sevens"], 10, "{report}");
    assert_eq!(sink["delivered"], 990);
}
