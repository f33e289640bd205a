//! The way from Promtail: `import`, and `list` and `reset` of what it has entered.

use crate::rig::{Rig, stop};

#[test]
fn what_is_imported_is_listed() {
    let rig = Rig::new();
    rig.write_log("logs/a.log", 10);
    rig.write_log("logs/b.log", 10);
    rig.save(&[
        ("logs/a.log", 50),
        ("logs/b.log", 35),
        ("logs/gone.log", 7),
        ("elsewhere.log", 1),
    ]);
    let out = rig.import(&[]).clean();
    assert_eq!(
        out,
        format!(
            "{}: is not there any more\n\
             \x20     1  goes on where it was\n\
             \x20     1  goes on at the start of the line it was in\n\
             \x20     1  is not there any more\n\
             \x20     1  is read by no source\n",
            rig.text("logs/gone.log")
        )
    );
    let out = rig.run(&["list"]).clean();
    assert_eq!(
        out,
        format!(
            "{}, 100 bytes\n            50  central\n{}, 100 bytes\n            30  central\n",
            rig.text("logs/a.log"),
            rig.text("logs/b.log")
        )
    );
    let listed = rig.listed();
    let file = listed.pointer("/files/0").unwrap();
    assert_eq!(file.pointer("/positions/central").unwrap(), 50);
    assert_eq!(file.pointer("/bytes").unwrap(), 100);
}

#[test]
fn a_dry_run_says_the_same_and_leaves_no_trace() {
    let rig = Rig::new();
    rig.write_log("logs/a.log", 10);
    rig.save(&[("logs/a.log", 50)]);
    let dry = rig.import(&["--dry-run"]).clean();
    assert!(!rig.at("data").exists());
    assert_eq!(rig.import(&[]).clean(), dry);
    rig.save(&[("logs/a.log", 20)]);
    let before = rig.listed();
    assert!(
        rig.import(&["--dry-run", "--replace"])
            .clean()
            .contains("goes on where it was")
    );
    assert_eq!(rig.listed(), before);
}

#[test]
fn a_second_import_keeps_what_is_there_unless_it_is_told_to_replace_it() {
    let rig = Rig::new();
    rig.write_log("logs/a.log", 10);
    rig.save(&[("logs/a.log", 50)]);
    rig.import(&[]).clean();
    rig.save(&[("logs/a.log", 20)]);
    let offset = |rig: &Rig| {
        let listed = rig.listed();
        listed
            .pointer("/files/0/positions/central")
            .unwrap()
            .as_u64()
    };
    rig.import(&[]).clean();
    assert_eq!(offset(&rig), Some(50));
    rig.import(&["--replace"]).clean();
    assert_eq!(offset(&rig), Some(20));
}

#[test]
fn a_file_that_is_no_positions_file_is_refused_with_a_hint() {
    let rig = Rig::new();
    std::fs::write(rig.at("positions.yaml"), [0; 100]).unwrap();
    let errors = rig.import(&[]).failed(1);
    assert!(
        errors.contains("is not a positions file of Promtail"),
        "{errors}"
    );
    assert!(errors.contains("\n\nhint: "), "{errors}");
    assert!(!rig.at("data").exists());
    std::fs::remove_file(rig.at("positions.yaml")).unwrap();
    let errors = rig.import(&[]).failed(1);
    assert!(errors.contains("there is no file"), "{errors}");
}

#[test]
fn nothing_is_written_while_an_agent_runs() {
    let rig = Rig::new();
    rig.write_log("logs/a.log", 1);
    rig.save(&[("logs/a.log", 0)]);
    let mut agent = rig.start();
    let errors = rig.import(&[]).failed(1);
    assert!(errors.contains("is in use by process"), "{errors}");
    assert!(errors.contains("hint: stop the agent first"), "{errors}");
    let errors = rig.run(&["reset", "--all", "--yes"]).failed(1);
    assert!(errors.contains("is in use by process"), "{errors}");
    rig.run(&["list"]).clean();
    stop(&mut agent);
}

#[test]
fn a_reset_forgets_what_it_names_and_only_when_it_is_sure() {
    let rig = Rig::new();
    rig.write_log("logs/a.log", 10);
    rig.write_log("logs/b.log", 10);
    rig.save(&[("logs/a.log", 50), ("logs/b.log", 50)]);
    rig.import(&[]).clean();
    let path = rig.text("logs/a.log");
    let errors = rig.run(&["reset", &path]).failed(64);
    assert!(errors.contains("positions of 1 file, "), "{errors}");
    let errors = rig.run(&["reset", "/nowhere", "--yes"]).failed(1);
    assert!(
        errors.contains("no position of /nowhere is known"),
        "{errors}"
    );
    let out = rig.run(&["reset", &path, "--yes"]).clean();
    assert_eq!(out, "positions of 1 file forgotten\n");
    let out = rig.run(&["list"]).clean();
    assert!(!out.contains("a.log") && out.contains("b.log"), "{out}");
    rig.run(&["reset", "--all", "--yes"]).clean();
    assert_eq!(rig.run(&["list"]).clean(), "no file is known\n");
    rig.run(&["reset", "--yes"]).failed(64);
}

#[test]
fn a_data_directory_that_is_not_there_is_not_made() {
    let rig = Rig::new();
    for arguments in [
        &["list"][..],
        &["export", "--format", "promtail"],
        &["reset", "--all", "--yes"],
    ] {
        let errors = rig.run(arguments).failed(1);
        assert!(errors.contains("there is no data directory"), "{errors}");
    }
    assert!(!rig.at("data").exists());
}
