//! What `inspect` counts, and that it changes and reveals nothing.

use tailwater_testkit::fault_sink::Mode;
use tailwater_testkit::line::parse_line;

use crate::rig::{Rig, files, inspected, only_books, spill, stop, text, wait_for, write_files};

#[test]
fn what_was_spilled_is_counted_and_nothing_is_changed_or_shown() {
    let rig = Rig::with_dead_sink("");
    rig.spill_lines();
    let before = files(&rig.spill());
    let report = inspected(&rig.spill());
    assert_eq!(report["kind"], "spill");
    assert_eq!(report["name"], "central%2eone@shop");
    assert_eq!(report["records"], 1000);
    assert_eq!(report["segments"], before.len());
    let bytes: usize = before.values().map(Vec::len).sum();
    assert_eq!(report["bytes"], bytes);
    assert_eq!(report["wires"]["loki-protobuf-snappy"], report["frames"]);
    let group = serde_json::json!([{
        "sink": "central.one", "tenant": "shop", "source": "app", "reason": null, "records": 1000,
    }]);
    assert_eq!(report["groups"], group);
    assert!(report["oldest_batch"].as_u64() < report["newest_batch"].as_u64());
    for nothing in [
        "lost_frames",
        "damaged_bytes",
        "torn_tail_bytes",
        "void_frames",
    ] {
        assert_eq!(report[nothing], 0, "{nothing}");
    }
    assert_eq!(files(&rig.spill()), before);

    let out = spill(&["inspect", "--data-dir", &text(&rig.data_dir())]).clean();
    assert!(out.starts_with("spill of central%2eone@shop, "), "{out}");
    assert!(out.contains("with 1000 records, in 1 segment of "), "{out}");
    assert!(
        out.contains("  from app for central.one, tenant shop: 1000 records\n"),
        "{out}"
    );
    assert!(out.lines().all(|line| parse_line(line.as_bytes()).is_err()));
    let with_config = spill(&["inspect", "--config", &text(&rig.config_path())]).clean();
    assert_eq!(with_config, out);
}

#[test]
fn a_running_agent_is_looked_at_without_being_disturbed() {
    let rig = Rig::with_dead_sink("");
    let mut agent = rig.start();
    let mut writer = rig.writer("one.log", 1);
    writer.write_lines(600).unwrap();
    wait_for(&agent, "it spills", |books| books.spilled > 100.0);
    for _ in 0..20 {
        writer.write_lines(20).unwrap();
        let report = inspected(&rig.spill());
        assert!(report["records"].as_u64().unwrap() > 100, "{report}");
        assert_eq!(report["lost_frames"], 0, "{report}");
        assert_eq!(report["damaged_stretches"], 0, "{report}");
    }
    assert!(only_books(&agent.metrics().unwrap()).is_balanced());
    stop(&mut agent);
}

#[test]
fn what_was_delivered_already_does_not_count_as_waiting() {
    let rig = Rig::with_dead_sink("");
    let written = rig.spill_lines();
    let whole = files(&rig.spill());
    rig.sink.set_fallback(Mode::commit());
    rig.run_to_the_end(&written);
    assert!(files(&rig.spill()).is_empty());
    // As after a power cut: the file has come back, and the positions know better.
    write_files(&rig.spill(), &whole);
    let report = inspected(&rig.spill());
    assert_eq!(
        (&report["frames"], &report["records"]),
        (&0.into(), &0.into())
    );
    assert!(report["delivered_frames"].as_u64().unwrap() > 1);
    assert_eq!(report["lost_frames"], 0);
    let exported = spill(&["export", "--data-dir", &text(&rig.data_dir())]).clean();
    assert_eq!(exported, "");
}

#[test]
fn dead_letters_are_told_with_their_reasons() {
    let rig = Rig::with_poison();
    let mut agent = rig.start();
    rig.writer("one.log", 1).write_lines(50).unwrap();
    rig.write_poison("one.log", "hunter2");
    wait_for(&agent, "it is refused", |books| books.rejected > 0.5);
    let out = spill(&["inspect", "--data-dir", &text(&rig.data_dir())]).clean();
    assert!(
        out.contains("dead letters of central%2eone, ")
            && out.contains("tenant shop, refused as ")
            && out.contains(": 1 record\n"),
        "{out}"
    );
    assert!(!out.contains("hunter2"), "{out}");
    stop(&mut agent);
}

#[test]
fn directories_with_nothing_in_them_hold_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let directory = text(folder.path());
    let out = spill(&["inspect", "--data-dir", &directory]).clean();
    assert_eq!(out, "nothing was spilled, and nothing refused\n");
    assert_eq!(inspected(folder.path())["frames"], 0);
    assert_eq!(spill(&["export", &directory]).clean(), "");
    for arguments in [
        ["inspect", "/nowhere/at/all"],
        ["export", "/nowhere/at/all"],
    ] {
        let errors = spill(&arguments).failed();
        assert!(
            errors.starts_with("tailwater: cannot look at /nowhere/at/all: "),
            "{errors}"
        );
    }
    let errors = spill(&["inspect", "--data-dir", "/nowhere/at/all"]).failed();
    assert!(
        errors.contains("\n\nhint: name it with `--data-dir`"),
        "{errors}"
    );
    assert!(!std::path::Path::new("/nowhere").exists());
}
