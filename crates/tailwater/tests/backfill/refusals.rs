//! Lines that the backend does not take.

use tailwater_testkit::fault_sink::{Poison, Stored};

use crate::rig::{Rig, pack};

/// Answers as Loki does to lines that are too old, or too far behind the newest of their stream.
fn refuse(rig: &Rig, others: Stored) {
    rig.sink.script(|script| {
        script.rules.poison = Some(Poison {
            substring: b"OLD".to_vec(),
            others,
        });
    });
}

fn lines(count: usize) -> Vec<u8> {
    let line = |number: usize| {
        let word = if number.is_multiple_of(100) {
            "OLD"
        } else {
            "new"
        };
        format!("{word} line {number}\n")
    };
    (0..count).map(line).collect::<String>().into_bytes()
}

#[test]
fn lines_that_loki_refuses_for_their_age_are_counted_by_reason_and_not_tried_for_ever() {
    for (others, reason) in [
        (Stored::Nothing, "too_old"),
        (Stored::GoodLines, "too_far_behind"),
    ] {
        let rig = Rig::new();
        refuse(&rig, others);
        rig.write("app.log.1", &lines(2000));
        pack("gzip", &[], &rig.log("app.log.1"));
        let report = rig.run(&[&rig.glob("app*")]).assert_incomplete();
        assert_eq!(report["ended"], "finished");
        let sink = &report["sinks"][0];
        assert_eq!(sink["rejected"][reason], 20, "{report}");
        assert_eq!(sink["delivered"], 1980);
        assert_eq!(sink["undelivered"], 0);
        let stored: std::collections::BTreeSet<String> = rig.lines().into_iter().collect();
        assert_eq!(stored.len(), 1980);
        // They are done with, and were not delivered: the next run has nothing to send, and says so.
        let requests = rig.sink.inspect(|state| state.requests().len());
        let again = rig.run(&[&rig.glob("app*")]).assert_incomplete();
        assert_eq!(again["files"]["already_delivered"], 1, "{again}");
        assert_eq!(again["refused_before"], 20, "{again}");
        assert_eq!(rig.sink.inspect(|state| state.requests().len()), requests);
    }
}

#[test]
fn the_table_says_what_to_do_about_lines_that_are_too_old() {
    let rig = Rig::new();
    refuse(&rig, Stored::Nothing);
    rig.write("app.log", &lines(200));
    let (url, data_dir) = (rig.sink.url(), rig.data_dir());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .args(["backfill", "--to", &url, "--data-dir"])
        .arg(data_dir)
        .arg(rig.log("app.log"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("rejected           2: 2 too_old"), "{table}");
    assert!(table.contains("delivered          198"), "{table}");
    assert!(table.contains("reject_old_samples_max_age"), "{table}");
}

#[test]
fn what_was_refused_is_sent_from_the_dead_letters_and_then_everything_is_delivered() {
    let rig = Rig::new();
    refuse(&rig, Stored::Nothing);
    rig.write("app.log", &lines(500));
    let config = rig.config("");
    let arguments = ["--config", &config];
    let report = rig.run_with(&arguments).assert_incomplete();
    assert_eq!(report["sinks"][0]["rejected"]["too_old"], 5, "{report}");
    rig.sink.script(|script| script.rules.poison = None);
    assert_eq!(
        rig.run_with(&arguments).assert_incomplete()["refused_before"],
        5
    );
    let sent = std::process::Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .args(["spill", "send", "--dead-letters", "--sink", "loki"])
        .args(["--config", &config, "--data-dir"])
        .arg(rig.data_dir().join("backfill"))
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    rig.run_with(&arguments).assert_complete();
    let stored: std::collections::BTreeSet<String> = rig.lines().into_iter().collect();
    assert_eq!(stored.len(), 500);
}
