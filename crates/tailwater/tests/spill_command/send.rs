//! What `send` delivers, keeps and refuses.

use std::time::Duration;

use tailwater_testkit::fault_sink::{Given, Mode, Poison, SinkState, Stored, Times};

use crate::rig::{
    DEADLINE, Rig, command, files, frame_offsets, inspected, spill, stop, text, wait_for,
    write_files,
};

/// Lets a real agent be refused these many lines among others.
fn refused(rig: &Rig, poisons: u32) -> u64 {
    let mut agent = rig.start();
    let mut writer = rig.writer("one.log", 1);
    for number in 0..poisons {
        writer.write_lines(20).unwrap();
        rig.write_poison("one.log", &number.to_string());
    }
    wait_for(&agent, "all are refused", |books| {
        books.rejected > f64::from(poisons) - 0.5 && books.in_flight < 0.5
    });
    stop(&mut agent);
    u64::from(poisons)
}

fn poisons_stored(rig: &Rig) -> Vec<String> {
    rig.sink.inspect(|state| {
        let entries = state.entries().iter();
        let lines = entries.map(|entry| String::from_utf8(entry.line.clone()).unwrap());
        lines.filter(|line| line.starts_with("POISON")).collect()
    })
}

#[test]
fn letters_that_are_still_too_old_cost_a_few_requests() {
    let rig = Rig::with_poison();
    let old = Times {
        max_age: Duration::ZERO,
        behind: Duration::MAX,
    };
    rig.sink.script(|script| script.rules.times = Some(old));
    let mut writer = rig.writer("one.log", 1);
    writer.write_lines(3000).unwrap();
    let mut agent = rig.start();
    wait_for(&agent, "all are refused", |books| books.rejected > 2999.5);
    stop(&mut agent);
    assert_eq!(inspected(&rig.dead_letters())["records"], 3000);
    let requests = || rig.sink.inspect(|state| state.requests().len());

    let before = requests();
    let errors = rig.send(&["--dead-letters"]).failed();
    assert!(errors.contains("3000 records refused again"), "{errors}");
    assert_eq!(inspected(&rig.dead_letters())["records"], 3000);
    let sent = requests() - before;
    // As many as the agent itself has made for its batches.
    assert!((1..=before).contains(&sent), "{sent} after {before}");

    rig.sink.script(|script| script.rules.times = None);
    rig.send(&["--dead-letters"]).clean();
    rig.verdict(&[writer.written()]).assert_at_least_once(0);
}

#[test]
fn dead_letters_are_sent_once_the_sink_takes_them() {
    let rig = Rig::with_poison();
    let letters = refused(&rig, 5);
    assert_eq!(inspected(&rig.dead_letters())["records"], letters);

    // It still refuses them: they stay, all of them, and nothing else does.
    for _ in 0..2 {
        let run = rig.send(&["--dead-letters"]);
        assert!(
            run.out.contains("0 records of 0 batches sent"),
            "{}",
            run.out
        );
        assert_eq!(run.out.matches("refused as ").count(), 5, "{}", run.out);
        assert!(run.out.contains("one.log"), "{}", run.out);
        let errors = run.failed();
        assert!(errors.contains("5 records refused again"), "{errors}");
        assert!(errors.contains("\n\nhint: it stays in "), "{errors}");
        let report = inspected(&rig.dead_letters());
        assert_eq!(report["records"], letters);
        assert_eq!(report["lost_frames"], 0);
    }
    assert!(poisons_stored(&rig).is_empty());

    rig.sink.script(|script| script.rules.poison = None);
    let out = rig.send(&["--dead-letters"]).clean();
    assert!(
        out.starts_with("5 records of 5 batches sent to central.one, http://"),
        "{out}"
    );
    let expected: Vec<String> = (0..5).map(|number| format!("POISON {number}")).collect();
    assert_eq!(poisons_stored(&rig), expected);
    assert!(files(&rig.dead_letters()).is_empty());
    assert_eq!(
        rig.send(&["--dead-letters"]).clean(),
        "0 records of 0 batches sent to central.one, ".to_owned()
            + out.trim_end().rsplit(", ").next().unwrap()
            + "\n"
    );
}

#[test]
fn what_is_taken_is_released_and_what_is_refused_again_stays() {
    let rig = Rig::with_poison();
    refused(&rig, 4);
    rig.sink.script(|script| {
        let poison = script.rules.poison.as_mut().unwrap();
        poison.substring = b"POISON 1".to_vec();
    });
    let errors = rig.send(&["--dead-letters"]).failed();
    assert!(errors.contains("1 record refused again"), "{errors}");
    assert_eq!(poisons_stored(&rig), ["POISON 0", "POISON 2", "POISON 3"]);
    let left = spill(&["export", &text(&rig.dead_letters())]).clean();
    assert!(
        left.contains("POISON 1") && left.lines().count() == 1,
        "{left}"
    );
    let report = inspected(&rig.dead_letters());
    assert_eq!(
        (&report["segments"], &report["frames"]),
        (&1.into(), &1.into())
    );
    // An agent goes on with such a directory.
    let mut agent = rig.start();
    rig.write_poison("one.log", "1 again");
    wait_for(&agent, "it is refused", |books| books.rejected > 4.5);
    stop(&mut agent);
    assert_eq!(inspected(&rig.dead_letters())["records"], 2);
}

#[test]
fn nothing_is_sent_beside_a_running_agent() {
    let rig = Rig::with_poison();
    refused(&rig, 1);
    let mut agent = rig.start();
    let before = files(&rig.dead_letters());
    let errors = rig.send(&["--dead-letters"]).failed();
    assert!(
        errors.contains("is in use by process")
            && errors.contains("\n\nhint: stop the agent first"),
        "{errors}"
    );
    assert_eq!(files(&rig.dead_letters()), before);
    stop(&mut agent);
}

#[test]
fn a_copy_of_a_spill_is_sent_in_order_and_only_once() {
    let rig = Rig::with_dead_sink("");
    let written = rig.spill_lines();
    let copy = rig.directory.path().join("copy");
    write_files(&copy, &files(&rig.spill()));
    // The sink answers badly at first: its retries are those of the configuration.
    rig.sink.set_fallback(Mode::commit());
    rig.sink.push(Mode::status(500));
    rig.sink.push(Mode::reset_before_commit());
    let run = rig.send(&[&text(&copy)]);
    assert_eq!(run.code, Some(0), "{}", run.errors);
    assert!(run.out.starts_with("1000 records of "), "{}", run.out);
    assert!(
        run.errors.starts_with("tailwater: central.one fails ("),
        "{}",
        run.errors
    );
    rig.verdict(&written).assert_exact();
    assert!(files(&copy).is_empty());
    let tenants = rig.sink.inspect(|state| {
        state
            .entries()
            .iter()
            .all(|entry| entry.tenant.as_deref() == Some("shop"))
    });
    assert!(tenants);
}

#[test]
fn a_poison_line_in_a_spilled_batch_stays_alone() {
    let rig = Rig::with_dead_sink("");
    let mut agent = rig.start();
    let mut writer = rig.writer("one.log", 1);
    writer.write_lines(200).unwrap();
    let offset = rig.write_poison("one.log", "hunter2");
    writer.write_lines(200).unwrap();
    wait_for(&agent, "all is read", |books| books.read > 400.5);
    stop(&mut agent);
    let copy = rig.directory.path().join("copy");
    write_files(&copy, &files(&rig.spill()));
    rig.sink.script(|script| {
        script.fallback = Mode::commit();
        script.rules.poison = Some(Poison {
            substring: b"POISON".to_vec(),
            others: Stored::Nothing,
        });
    });
    let run = rig.send(&[&text(&copy)]);
    let told = format!("1 record from offset {offset} of ");
    assert!(
        run.out.contains(&told) && !run.out.contains("hunter2"),
        "{}",
        run.out
    );
    run.failed();
    rig.verdict(&[writer.written()]).assert_exact();
    let left = spill(&["export", &text(&copy)]).clean();
    let record: serde_json::Value = serde_json::from_str(&left).unwrap();
    assert_eq!(record["line"], "POISON hunter2");
    assert_eq!(record["offset"], offset);
    assert!(!record["reason"].as_str().unwrap().is_empty());
}

#[test]
fn a_sink_of_another_format_is_given_nothing() {
    let rig = Rig::with_dead_sink("");
    rig.spill_lines();
    let before = files(&rig.spill());
    let other = rig
        .config
        .replace("timeout: 2s", "timeout: 2s, encoding: json");
    write_files(
        &rig.directory.path().join("other"),
        &[("tailwater.yaml".to_owned(), other.into_bytes())].into(),
    );
    let config = text(&rig.directory.path().join("other/tailwater.yaml"));
    let spilled = text(&rig.spill());
    let arguments = [
        "send",
        &spilled,
        "--config",
        &config,
        "--sink",
        "central.one",
    ];
    let errors = spill(&arguments).failed();
    assert!(
        errors
            .contains("is `loki-protobuf-snappy`, and the sink central.one sends `loki-json-gzip`"),
        "{errors}"
    );
    assert_eq!(files(&rig.spill()), before);
}

#[test]
fn a_wrong_command_line_is_told_before_anything_is_done() {
    let rig = Rig::with_poison();
    refused(&rig, 1);
    let config = text(&rig.config_path());
    for arguments in [
        &[
            "send",
            "--config",
            &config,
            "--sink",
            "nobody",
            "--dead-letters",
        ][..],
        &["send", "--config", &config, "--sink", "central.one"],
        &["send", "--sink", "central.one", "--dead-letters"],
        &["salvage", "x"],
        &["eject"],
    ] {
        let run = spill(arguments);
        assert_eq!(run.code, Some(64), "{run:?}");
        assert!(run.out.is_empty() && !run.errors.is_empty(), "{run:?}");
    }
    let run = spill(&[
        "send",
        "--config",
        "/nowhere.yaml",
        "--sink",
        "x",
        "--dead-letters",
    ]);
    assert_eq!(run.code, Some(78));
}

#[test]
fn a_send_that_is_killed_is_finished_by_the_next_one() {
    let rig = Rig::with_dead_sink("");
    let written = rig.spill_lines();
    let copy = rig.directory.path().join("copy");
    write_files(&copy, &files(&rig.spill()));
    let config = text(&rig.config_path());
    let directory = text(&copy);
    let mut child = command(&[
        "send",
        &directory,
        "--config",
        &config,
        "--sink",
        "central.one",
    ])
    .stderr(std::process::Stdio::null())
    .spawn()
    .unwrap();
    let asked = |state: &SinkState| state.count_given(Given::Status(503)) >= 20;
    assert!(rig.sink.wait_until(asked, DEADLINE));
    child.kill().unwrap();
    child.wait().unwrap();
    rig.sink.set_fallback(Mode::commit());
    rig.send(&[&directory]).clean();
    rig.verdict(&written).assert_exact();
}

#[test]
fn what_is_damaged_is_told_and_the_rest_is_sent() {
    let rig = Rig::with_dead_sink("");
    let written = rig.spill_lines();
    let (name, mut bytes) = files(&rig.spill()).pop_first().unwrap();
    let offsets = frame_offsets(&bytes);
    bytes[offsets[2] + 100] ^= 1;
    // A copy of spills, without the positions: it is no data directory, and none is begun there.
    let backup = rig.directory.path().join("backup");
    let copy = backup.join("spill").join("central%2eone@shop");
    write_files(&copy, &[(name, bytes)].into());
    let whole = inspected(&copy)["records"].as_u64().unwrap();
    rig.sink.set_fallback(Mode::commit());
    let errors = rig.send(&[&text(&copy)]).failed();
    assert!(errors.contains("1 batch damaged or missing"), "{errors}");
    let verdict = rig.verdict(&written);
    assert_eq!(verdict.missing(), 1000 - whole, "{verdict}");
    assert_eq!(verdict.duplicates(), 0, "{verdict}");
    assert!(files(&copy).is_empty());
    assert_eq!(std::fs::read_dir(&backup).unwrap().count(), 1);
}
