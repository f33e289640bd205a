//! The way back to Promtail: `export`.

use std::os::unix::fs::PermissionsExt as _;

use tailwater_testkit::fault_sink::Mode;

use crate::rig::{DEADLINE, Rig, stop, wait_for};

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let rig = Rig::new();
    let names = ["logs/a.log", "logs/b c.log", "logs/ünïcode.log"];
    for name in names {
        rig.write_log(name, 10);
    }
    rig.save(&[(names[0], 100), (names[1], 50), (names[2], 0)]);
    rig.import(&[]).clean();
    let before = rig.listed();
    let file = rig.text("positions.yaml");
    let ran = rig.run(&["export", "--format", "promtail", "--output", &file]);
    assert_eq!((ran.code, &*ran.out), (Some(0), ""), "{}", ran.errors);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        text,
        format!(
            "positions:\n  {}: \"100\"\n  \"{}\": \"50\"\n  \"{}\": \"0\"\n",
            rig.text(names[0]),
            rig.text(names[1]),
            rig.text(names[2])
        )
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    std::fs::remove_dir_all(rig.at("data")).unwrap();
    rig.import(&[]).clean();
    let positions = |listed: &serde_json::Value| {
        let files = listed.pointer("/files").unwrap().as_array().unwrap();
        files
            .iter()
            .map(|file| (file["path"].clone(), file["positions"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(positions(&rig.listed()), positions(&before));
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_export_goes_to_the_terminal_where_no_file_is_named() {
    let rig = Rig::new();
    rig.write_log("logs/a.log", 10);
    rig.save(&[("logs/a.log", 100)]);
    rig.import(&[]).clean();
    let out = rig.run(&["export", "--format", "promtail"]).clean();
    assert_eq!(
        out,
        format!("positions:\n  {}: \"100\"\n", rig.text("logs/a.log"))
    );
    rig.run(&["export"]).failed(64);
    rig.run(&["export", "--format", "other"]).failed(64);
    let errors = rig
        .run(&[
            "export",
            "--format",
            "promtail",
            "-o",
            "/nowhere/at/all.yaml",
        ])
        .failed(1);
    assert!(
        errors.contains("there is no directory /nowhere/at"),
        "{errors}"
    );
}

#[test]
fn what_was_acked_is_exported_whole() {
    let rig = Rig::new();
    let mut agent = rig.start();
    let mut writer = rig.writer("logs/a.log", 1);
    writer.write_lines(100).unwrap();
    let written = [writer.written()];
    assert!(
        rig.sink
            .wait_until(|state| state.has_all(&written), DEADLINE)
    );
    stop(&mut agent);
    let out = rig.run(&["export", "--format", "promtail"]).clean();
    let bytes = std::fs::metadata(rig.at("logs/a.log")).unwrap().len();
    assert!(out.contains(&format!(": \"{bytes}\"\n")), "{out}");
}

#[test]
fn what_waits_in_a_spill_comes_after_what_is_exported() {
    let rig = Rig::new();
    rig.sink.set_fallback(Mode::status(503));
    let mut agent = rig.start();
    let mut writer = rig.writer("logs/a.log", 1);
    writer.write_lines(2_000).unwrap();
    wait_for(&agent, "tailwater_read_records_total", 1_999.5);
    stop(&mut agent);
    let ran = rig.run(&["export", "--format", "promtail"]);
    assert_eq!(ran.code, Some(0), "{}", ran.errors);
    assert!(ran.out.ends_with(": \"0\"\n"), "{}", ran.out);
    assert!(
        ran.errors
            .contains("wait in a spill: Promtail sends them again"),
        "{}",
        ran.errors
    );
}

#[test]
fn a_rotated_file_with_a_rest_is_told() {
    let rig = Rig::new();
    rig.write_log("logs/a.log", 10);
    rig.save(&[("logs/a.log", 50)]);
    rig.import(&[]).clean();
    std::fs::rename(rig.at("logs/a.log"), rig.at("logs/a.log.1")).unwrap();
    let ran = rig.run(&["export", "--format", "promtail"]);
    assert_eq!((ran.code, &*ran.out), (Some(0), "positions: {}\n"));
    assert!(
        ran.errors
            .contains("rotated, and bytes 50 to 100 were not sent"),
        "{}",
        ran.errors
    );
}
