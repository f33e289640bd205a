//! `tailwater check --sample`: what is shown of the lines of a file.

#![expect(
    clippy::unwrap_used,
    reason = "functions of tests outside of `#[test]`"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

struct Shown {
    status: Option<i32>,
    out: String,
    errors: String,
}

fn check(arguments: &[&str]) -> Shown {
    let output = Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .arg("check")
        .args(arguments)
        .env_clear()
        .env("TZ", "Europe/Berlin")
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    Shown {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Shows a file that can be shown.
fn shown(file: &str, arguments: &[&str]) -> String {
    let shown = check(&[&["--sample", file], arguments].concat());
    assert_eq!(shown.status, Some(0), "{}", shown.errors);
    assert!(shown.errors.is_empty(), "{}", shown.errors);
    shown.out
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of a test need not outlive a crash"
)]
fn write(folder: &Path, name: &str, text: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

const ACCESS_LOG: &str = r#"192.0.2.1 - - [21/Nov/2026:11:15:30 +0100] "GET / HTTP/1.1" 200 5316
192.0.2.1 - - [21/Nov/2026:11:15:31 +0100] "GET /none HTTP/1.1" 404 196
a line that fits nothing
"#;

#[test]
fn lines_of_each_preset_fit_it_best() {
    let folder = tempfile::tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../presets/samples");
    for preset in tailwater_presets::all() {
        let sample = std::fs::read(samples.join(preset.name).join("input.log")).unwrap();
        // The odd ones and the garbage come last. Entries of slow logs have many lines.
        let count = if preset.name.ends_with("_slow") {
            40
        } else {
            9
        };
        let lines = sample.split_inclusive(|byte| *byte == b'\n').take(count);
        let file = write(
            folder.path(),
            preset.name,
            &lines.collect::<Vec<_>>().concat(),
        );
        let out = shown(&file, &["--lines", "0"]);
        let best = format!("\npreset {}: {}\nit fits ", preset.name, preset.summary);
        assert!(out.contains(&best), "{}: {out}", preset.name);
    }
}

#[test]
fn entries_are_a_table_and_their_figures_follow() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "access.log", ACCESS_LOG.as_bytes());
    let out = shown(&file, &["--preset", "apache_combined"]);
    let expected = r#"FILE, all 166 B
preset apache_combined: Apache's access log, combined or common, with a virtual host before it or without

lines  timestamp             level  metadata         line
    1  2026-11-21T10:15:30Z  INFO   http_status=200  192.0.2.1 - - [21/Nov/2026:11:15:30 +0100] "GE…
    1  2026-11-21T10:15:31Z  WARN   http_status=404  192.0.2.1 - - [21/Nov/2026:11:15:31 +0100] "GE…
    1  -                     -      -                a line that fits nothing

of 3 lines: 3 entries
  timestamp found in 66 %
  level found in 66 %
  1 fit nothing
"#;
    assert_eq!(out, expected.replace("FILE", &file));
}

#[test]
fn entries_of_several_lines_are_one_row_and_times_are_the_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let text = "2026-11-21 11:15:30,123 ERROR [main] a.B - x\njava.lang.Error: x\n\tat a.B.c(B.java:1)\n\
                2026-07-21 11:15:31,123 INFO  [main] a.B - y\n";
    let file = write(folder.path(), "app.log", text.as_bytes());
    let out = shown(&file, &[]);
    let expected = r"FILE, all 129 B
preset java: text of log4j, logback, java.util.logging, Tomcat and the like, with stack traces
it fits 100 % of the entries; no other one does

lines  timestamp                 level  line
    3  2026-11-21T10:15:30.123Z  ERROR  2026-11-21 11:15:30,123 ERROR [main] a.B - x\njava.lang.Err…
    1  2026-07-21T09:15:31.123Z  INFO   2026-07-21 11:15:31,123 INFO  [main] a.B - y

of 4 lines: 2 entries
  timestamp found in 100 %
  level found in 100 %
  0 fit nothing
";
    assert_eq!(out, expected.replace("FILE", &file));
}

#[test]
fn so_many_entries_are_shown_as_asked_and_all_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "app.log",
        "level=info ts=2026-11-21T10:00:00Z\n".repeat(50).as_bytes(),
    );
    let rows = |arguments: &[&str]| {
        let out = shown(&file, arguments);
        assert!(out.contains("\nof 50 lines: 50 entries\n"), "{out}");
        out.matches(" level=info").count()
    };
    assert_eq!(rows(&[]), 20);
    assert_eq!(rows(&["--lines", "3"]), 3);
    assert_eq!(rows(&["--lines", "0"]), 0);
}

#[test]
fn a_source_shows_what_its_stages_make_of_lines_and_what_they_drop() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "access.log", ACCESS_LOG.as_bytes());
    let config = r#"
sources:
  web:
    include: ["/nowhere/*.log"]
    labels: { job: web }
    preset: apache_combined
    stages:
      - drop: { expression: "fits nothing", drop_counter_reason: odd }
      - labels: { status: }
  other: { include: ["/nowhere/*.txt"] }
sinks: { o: { loki: { url: "http://127.0.0.1:1" } } }
"#;
    let config = write(folder.path(), "tailwater.yaml", config.as_bytes());
    let out = shown(&file, &["--config", &config, "--source", "web"]);
    for expected in [
        "\nsource web\n\nlines  timestamp             level  labels      metadata         line\n",
        "    1  2026-11-21T10:15:31Z  WARN   status=404  http_status=404  192.0.2.1 - - [21/Nov",
        "\nof 3 lines: 2 entries\n  timestamp found in 100 %\n  level found in 100 %\n  0 fit nothing\n  1 line dropped: odd\n",
    ] {
        assert!(out.contains(expected), "{expected}{out}");
    }
    let wrong = check(&["--sample", &file, "--config", &config, "--source", "wep"]);
    assert_eq!(wrong.status, Some(64));
    let expected = "there is no source `wep`; did you mean `web`?";
    assert!(wrong.errors.contains(expected), "{}", wrong.errors);
    let unsaid = check(&["--sample", &file, "--config", &config]);
    assert_eq!(unsaid.status, Some(64));
    assert!(
        unsaid.errors.contains("the configuration has web, other"),
        "{}",
        unsaid.errors
    );
}

#[test]
fn that_no_preset_fits_is_said_and_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "prose.log",
        &b"some words\nof nobody\n".repeat(9),
    );
    let out = shown(&file, &[]);
    let count = tailwater_presets::all().len();
    assert!(
        out.contains(&format!("\nnone of the {count} presets fits\n")),
        "{out}"
    );
    assert!(!out.contains("nearest"), "{out}");
    let mixed = format!("{ACCESS_LOG}{}", "a line that fits nothing\n".repeat(7));
    let file = write(folder.path(), "mixed.log", mixed.as_bytes());
    let out = shown(&file, &[]);
    assert!(
        out.contains("presets fits\nthe nearest: ") && out.contains("apache_combined 20 %"),
        "{out}"
    );
    let file = write(folder.path(), "empty.log", b"");
    assert!(shown(&file, &[]).contains("presets fits\n"));
    assert!(shown(&file, &["--preset", "go"]).contains("\nof 0 lines: 0 entries\n"));
}

#[test]
fn lines_cannot_drive_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let line = b"level=info msg=\x1b]0;title\x07 \xff \xe2\x80\xae\n";
    let file = write(folder.path(), "app.log", line);
    let out = shown(&file, &["--preset", "logfmt"]);
    assert!(
        out.contains(r"msg=\u{1b}]0;title\u{7} \xff \u{202e}"),
        "{out}"
    );
    let is_harmless = |character: char| character == '\n' || !character.is_control();
    assert!(out.chars().all(is_harmless), "{out}");
}

#[test]
fn archives_are_read_and_of_a_long_file_its_first_mebibyte() {
    let folder = tempfile::tempdir().unwrap();
    let text = ACCESS_LOG.repeat(3 << 13);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    // Its name says nothing of what it is.
    let file = write(folder.path(), "access.log.1", &encoder.finish().unwrap());
    let out = shown(&file, &["--lines", "1"]);
    assert!(
        out.starts_with(&format!("{file}, gzip, the first 1 MiB\n")),
        "{out}"
    );
    assert!(
        out.contains(" 66 % of the entries") && out.contains("\nof 18949 lines: "),
        "{out}"
    );
}

#[test]
fn what_cannot_be_read_ends_with_1_and_what_is_not_there_with_64() {
    let folder = tempfile::tempdir().unwrap();
    let folder_name = folder.path().display().to_string();
    let packed = write(folder.path(), "a.log.lz4", b"\x04\x22\x4d\x18\x60\x40\x82");
    for (file, problem) in [
        ("/nowhere/x.log", "cannot read /nowhere/x.log: "),
        (&*folder_name, "is a directory"),
        (&*packed, "it is compressed by lz4, which is not read"),
    ] {
        let found = check(&["--sample", file]);
        assert_eq!(found.status, Some(1), "{}", found.errors);
        assert!(
            found.errors.contains(problem) && found.out.is_empty(),
            "{}",
            found.errors
        );
    }
    let file = write(folder.path(), "a.log", b"x\n");
    for (arguments, problem) in [
        (
            &["--sample", &*file, "--preset", "jaba"][..],
            "there is no preset `jaba`; did you mean `java`?",
        ),
        (&["--preset", "java"], "--sample"),
        (&["--sample", &file, "--source", "web"], "--config"),
        (
            &["--sample", &file, "--preset", "java", "--config", "x.yaml"],
            "cannot be used with",
        ),
    ] {
        let found = check(arguments);
        assert_eq!(found.status, Some(64), "{}", found.errors);
        assert!(
            found.errors.contains(problem) && found.out.is_empty(),
            "{}",
            found.errors
        );
    }
}
