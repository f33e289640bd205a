//! What the command line can say.

use std::process::Command;

use crate::rig::{Rig, pack};

#[test]
fn a_glob_that_matches_nothing_is_an_error_and_nothing_is_sent() {
    let rig = Rig::new();
    rig.write("a.log", b"one\n");
    let outcome = rig.run(&[&rig.glob("a.log"), &rig.glob("*.gz")]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.errors.contains("no file matches"),
        "{}",
        outcome.errors
    );
    assert_eq!(rig.stored(), 0);
}

#[test]
fn a_dry_run_lists_the_files_in_their_order_and_leaves_no_trace() {
    let rig = Rig::new();
    for (name, program) in [
        ("app.log.10", "gzip"),
        ("app.log.9", "bzip2"),
        ("app.log.1", "xz"),
    ] {
        rig.write(name, b"one\ntwo\n");
        pack(program, &[], &rig.log(name));
    }
    rig.write("app.log", b"three\n");
    let glob = rig.glob("app.log*");
    let outcome = rig.run(&[&glob, "--dry-run"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let place = |name: &str| {
        outcome
            .out
            .find(name)
            .unwrap_or_else(|| panic!("{}", outcome.out))
    };
    let places = [
        "app.log.10.gz",
        "app.log.9.bz2",
        "app.log.1.xz",
        "app.log  plain",
    ]
    .map(place);
    assert!(places.is_sorted(), "{}", outcome.out);
    assert!(outcome.out.contains("gzip, all of it"), "{}", outcome.out);
    assert!(outcome.out.contains("4 files,"), "{}", outcome.out);
    assert_eq!(rig.sink.inspect(|state| state.requests().len()), 0);
    assert!(!rig.data_dir().exists());
    rig.run(&[&glob]).assert_complete();
    let outcome = rig.run(&[&glob, "--dry-run"]);
    assert_eq!(
        outcome.out.matches("delivered already").count(),
        4,
        "{}",
        outcome.out
    );
}

#[test]
fn a_configuration_of_promtail_names_the_source_the_labels_and_the_sink() {
    let rig = Rig::new();
    let mut writer = rig.writer("app.log", 1);
    writer.write_lines(300).unwrap();
    let text = format!(
        "clients: [{{ url: {url} }}]\npositions: {{ filename: {data}/positions.yaml }}\n\
         scrape_configs:\n  - job_name: web\n    static_configs:\n      \
         - {{ targets: [localhost], labels: {{ job: web, __path__: {glob} }} }}\n",
        url = rig.sink.url(),
        data = rig.directory.path().display(),
        glob = rig.glob("*.log"),
    );
    let config = rig.write("../promtail.yaml", text.as_bytes());
    let config = config.display().to_string();
    let data_dir = rig.data_dir().display().to_string();
    let arguments = ["--config", &config, "--data-dir", &data_dir];
    rig.run_with(&arguments).assert_complete();
    rig.verdict(&[writer.written()]).assert_exact_by_timestamp();
    let labels = rig.sink.inspect(|state| {
        let entry = &state.entries()[0];
        ["job", "backfill"].map(|name| entry.label(name))
    });
    assert_eq!(labels, [Some("web".to_owned()), Some("true".to_owned())]);
}

#[test]
fn a_rate_is_kept() {
    let rig = Rig::new();
    rig.write(
        "a.log",
        &b"0123456789012345678901234567890123456789012345678\n".repeat(4000),
    );
    let report = rig
        .run(&[&rig.glob("a.log"), "--rate", "100000"])
        .assert_complete();
    // 196 kB of lines: a second's worth at once, and the rest within a second.
    let elapsed = report["elapsed_seconds"].as_f64().unwrap();
    assert!(elapsed > 0.8, "{elapsed}");
    assert_eq!(report["sinks"][0]["delivered"], 4000);
}

#[test]
fn tenant_and_labels_are_those_of_the_command_line() {
    let rig = Rig::new();
    rig.write("a.log", b"one\n");
    let glob = rig.glob("a.log");
    let arguments = [&glob, "--tenant", "acme", "--stream-label", "from=archive"];
    rig.run(&arguments).assert_complete();
    rig.sink.inspect(|state| {
        let entry = &state.entries()[0];
        assert_eq!(entry.tenant.as_deref(), Some("acme"));
        assert_eq!(entry.label("from").as_deref(), Some("archive"));
        assert_eq!(entry.label("job").as_deref(), Some("e2e"));
        assert_eq!(entry.label("backfill"), None);
    });
    // Another server has other positions.
    let report = rig
        .run(&[&glob, "--tenant", "other", "--no-stream-label"])
        .assert_complete();
    assert_eq!(rig.stored(), 2);
    // The books of the former one are stored, and none of this run's concern.
    assert_eq!(report["sinks"].as_array().unwrap().len(), 1, "{report}");
}

#[test]
fn a_reader_that_goes_away_changes_nothing_about_the_status() {
    let rig = Rig::new();
    rig.write("a.log", b"one\ntwo\n");
    let (glob, url, data_dir) = (rig.glob("a.log"), rig.sink.url(), rig.data_dir());
    let data_dir = data_dir.display().to_string();
    let whole = ["--to", &url, "--data-dir", &data_dir, &glob];
    // Nothing comes of the first of two globs.
    let broken = rig.glob("gone.log");
    std::os::unix::fs::symlink("nowhere", rig.log("gone.log")).unwrap();
    for (arguments, code) in [
        (whole.to_vec(), 0),
        ([&whole[..], &["--json"]].concat(), 0),
        ([&whole[..], &["--dry-run"]].concat(), 0),
        ([&whole[..], &[&broken]].concat(), 1),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = Command::new(env!("CARGO_BIN_EXE_tailwater"))
            .arg("backfill")
            .args(&arguments)
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {done:?}");
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(!errors.contains("cannot print"), "{errors}");
    }
    assert_eq!(rig.stored(), 2);
}
