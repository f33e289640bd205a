//! The command line: what is printed, where, and the exit codes.

#![expect(
    clippy::unwrap_used,
    reason = "functions of tests outside of `#[test]`"
)]

use std::path::Path;
use std::process::{Command, Output};

fn tailwater(arguments: &[&str]) -> (Output, String, String) {
    let program = env!("CARGO_BIN_EXE_tailwater");
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, out, errors)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of a test need not outlive a crash"
)]
fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.display().to_string()
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["--version"], &["check", "--help"]] {
        let (output, out, errors) = tailwater(arguments);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        assert!(!out.is_empty() && errors.is_empty(), "{errors}");
    }
    assert_eq!(
        tailwater(&["--version"]).1,
        format!("tailwater {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    for arguments in [
        &[][..],
        &["rum"],
        &["run", "--nope"],
        &["tail"],
        &["tail", "--label", "x", "a"],
    ] {
        let (output, out, errors) = tailwater(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {errors}");
        assert!(out.is_empty() && !errors.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_wrong_configuration_ends_with_78_and_a_hint_after_a_blank_line() {
    for command in ["check", "run"] {
        let (output, out, errors) = tailwater(&[command, "--config", "/nowhere.yaml"]);
        assert_eq!(output.status.code(), Some(78), "{errors}");
        assert!(out.is_empty());
        assert!(
            errors.starts_with(
                "tailwater: /nowhere.yaml: cannot open it: there is no such file\n\nhint: "
            ),
            "{errors}"
        );
    }
}

#[test]
fn errors_are_readable_without_color() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(
        &folder.path().join("bad.yaml"),
        "sources:\n  a: { inclde: [] }\n",
    );
    let (output, _, errors) = tailwater(&["check", "--config", &config]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        errors.contains("bad.yaml:2:8: unknown key `inclde` in `sources.a`"),
        "{errors}"
    );
    assert!(
        errors.contains("did you mean `include`?") && !errors.contains('\u{1b}'),
        "{errors}"
    );
}

#[test]
fn check_says_what_is_tailed_now_and_where_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let root = root.display();
    write(&folder.path().join("a.log"), "1234\n");
    write(&folder.path().join("b.log"), &"x".repeat(2048));
    let config = write(
        &folder.path().join("tailwater.yaml"),
        &format!(
            "data_dir: {root}/state\n\
             sources:\n\
             \x20 first: {{ include: [\"{root}/a.log\", \"{root}/none.log\"], tenant: shop }}\n\
             \x20 rest: {{ include: [\"{root}/*.log\"] }}\n\
             sinks:\n\
             \x20 out: {{ file: {{ path: \"{root}/out.log\" }} }}\n"
        ),
    );
    let (output, out, errors) = tailwater(&["check", "--config", &config]);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let expected = "The configuration is valid.

positions in ROOT/state
status on http://127.0.0.1:9080/

source first
  matches no file now: ROOT/none.log
         5 B  ROOT/a.log
  1 file, 5 B now
  goes to out, tenant shop

source rest
         5 B  ROOT/a.log
       2 KiB  ROOT/b.log
  2 files, 2 KiB now
  1 of them for a source above as well
  goes to out

sink out
  ROOT/out.log
  batches of up to 1 MiB, 65536 records or 1s; at most 1 unanswered
  up to 4 MiB wait for it, then its files are not read further; tried again after 500ms to 30s

2 files, 2 KiB in all now
";
    assert_eq!(out.replace(&root.to_string(), "ROOT"), expected);
}

#[test]
fn check_names_the_files_that_it_may_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    write(&elsewhere.path().join("secret.txt"), "x");
    std::os::unix::fs::symlink(elsewhere.path().join("secret.txt"), root.join("a.log")).unwrap();
    let config = write(
        &folder.path().join("tailwater.yaml"),
        &format!(
            "sources: {{ s: {{ include: [\"{}/*.log\"] }} }}\n\
             sinks: {{ o: {{ loki: {{ url: \"http://127.0.0.1:1\" }} }} }}\n",
            root.display()
        ),
    );
    let (output, out, errors) = tailwater(&["check", "--config", &config]);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(
        out.contains("not readable: ") && out.contains("tailing.allowed_roots"),
        "{out}"
    );
    assert!(out.contains("0 files, 0 B now"), "{out}");
}

const PROMTAIL: &str = "clients: [{ url: 'http://localhost:3100/loki/api/v1/push' }]
scrape_configs: [{ job_name: system, static_configs: [{ labels: { __path__: /nowhere/*.log } }] }]
";

#[test]
fn promtails_configuration_is_printed_in_the_native_form() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(&directory.path().join("promtail.yaml"), PROMTAIL);
    let (output, out, errors) = tailwater(&["convert", "--config", &path]);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(
        out.contains("\nsources:\n  system:\n") && errors.is_empty(),
        "{out}{errors}"
    );
    let (_, out, _) = tailwater(&[
        "convert",
        "-c",
        &path,
        "--",
        "-client.tenant-id=t",
        "-client.url=http://l",
    ]);
    assert!(out.contains("tenant: t"), "{out}");
    let (output, _, errors) = tailwater(&["convert"]);
    assert_eq!(output.status.code(), Some(64), "{errors}");
}

#[test]
fn promtails_flags_make_it_promtail() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(&directory.path().join("promtail.yaml"), PROMTAIL);
    let (output, out, errors) = tailwater(&["-check-syntax", "-config.file", &path]);
    assert_eq!(
        out, "Valid config file! No syntax issues found\n",
        "{errors}"
    );
    assert_eq!(output.status.code(), Some(0));
    let (_, out, _) = tailwater(&["-check-syntax", "-version"]);
    assert!(out.starts_with("promtail, version "), "{out}");
    let (_, out, _) = tailwater(&["-dry-run", "-help"]);
    assert!(out.contains("\n  -client.url=TEXT\n"), "{out}");
    let (output, _, errors) = tailwater(&["-config.file=/a", "-cleint.url=x"]);
    assert!(errors.contains("did you mean `-client.url`?"), "{errors}");
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn an_error_in_promtails_configuration_names_its_file_and_place() {
    let directory = tempfile::tempdir().unwrap();
    let text = PROMTAIL.replace("static_configs", "static_confs");
    let path = write(&directory.path().join("promtail.yaml"), &text);
    for arguments in [
        &["-check-syntax", "-config.file", &path][..],
        &["-config.file", &path],
        &["check", "--config", &path],
        &["run", "--config", &path],
        &["convert", "--config", &path],
    ] {
        let (output, out, errors) = tailwater(arguments);
        assert_eq!(output.status.code(), Some(78), "{errors}");
        let place = format!("{path}:2:38: unknown key `static_confs`");
        assert!(
            out.is_empty() && errors.contains(&place),
            "{arguments:?}: {errors}"
        );
    }
}

#[test]
fn without_a_target_the_reasons_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let text = PROMTAIL.replace("__path__", "path");
    let path = write(&directory.path().join("promtail.yaml"), &text);
    let (output, out, errors) = tailwater(&["check", "--config", &path]);
    assert!(output.status.success(), "{errors}");
    for told in [
        "a target of job system is not followed: no_path\n",
        "no target is followed: nothing is read until there is one\n",
    ] {
        assert!(out.contains(told), "{out}");
    }
}

#[test]
fn presets_are_listed_with_what_they_are_and_where_such_files_stand() {
    let (output, out, errors) = tailwater(&["presets"]);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    for preset in tailwater_presets::all() {
        let is_its_line = |line: &&str| line.split_whitespace().next() == Some(preset.name);
        let line = out.lines().find(is_its_line).unwrap();
        assert!(line.ends_with(preset.summary), "{line}");
        for path in tailwater::presets::read(preset).paths {
            assert!(out.contains(&format!(" {path}\n")), "{path}");
        }
    }
}

#[test]
fn the_stages_of_a_preset_are_printed_as_a_source_may_have_them() {
    let folder = tempfile::tempdir().unwrap();
    for preset in tailwater_presets::all() {
        let (output, out, errors) = tailwater(&["presets", preset.name]);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        let stages: String = out.lines().flat_map(|line| ["    ", line, "\n"]).collect();
        let config = format!(
            "sinks: {{ o: {{ loki: {{ url: \"http://127.0.0.1:1\" }} }} }}\n\
             sources:\n  s:\n    include: [\"/nowhere/*.log\"]\n{stages}"
        );
        let config = write(&folder.path().join("copied.yaml"), &config);
        let (output, _, errors) = tailwater(&["check", "--config", &config]);
        assert_eq!(output.status.code(), Some(0), "{}: {errors}", preset.name);
    }
    let (output, out, errors) = tailwater(&["presets", "logfnt"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        out.is_empty() && errors.contains("there is no preset `logfnt`; did you mean `logfmt`?"),
        "{errors}"
    );
}
