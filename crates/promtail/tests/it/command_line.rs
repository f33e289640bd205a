//! Flags.

use std::path::PathBuf;

use tailwater_promtail::{FlagError, Flags, is_promtail_flag, load};

use super::{CLIENT, errors, flags, host, native, read};

const JOB: &str =
    "scrape_configs: [{ job_name: a, static_configs: [{ labels: { __path__: /a.log } }] }]\n";

fn refused(arguments: &[&str]) -> FlagError {
    Flags::parse(arguments.iter().copied()).unwrap_err()
}

#[test]
fn flags_have_one_dash_or_two_and_their_value_with_or_without_an_equals_sign() {
    for arguments in [
        &["-config.file=/a.yaml"][..],
        &["--config.file=/a.yaml"],
        &["-config.file", "/a.yaml"],
        &["--config.file", "/a.yaml"],
    ] {
        assert_eq!(flags(arguments).config_files, [PathBuf::from("/a.yaml")]);
    }
}

#[test]
fn booleans_stand_alone_or_with_an_equals_sign() {
    assert!(flags(&["-dry-run"]).dry_run);
    assert!(flags(&["--dry-run=true"]).dry_run);
    assert!(flags(&["-dry-run=1"]).dry_run);
    assert!(!flags(&["-dry-run=false"]).dry_run);
    assert!(!flags(&["-dry-run", "-dry-run=F"]).dry_run);
}

#[test]
fn the_modes_are_read() {
    let flags = flags(&[
        "-check-syntax",
        "-inspect",
        "-print-config-stderr",
        "-log-config-reverse-order",
        "-version",
        "-config.expand-env=true",
        "-h",
    ]);
    assert!(flags.check_syntax && flags.inspect && flags.print_config_stderr && flags.help);
    assert!(flags.log_config_reverse_order && flags.version && flags.expand_env);
}

#[test]
fn a_value_may_hold_equals_signs() {
    let found = native(
        JOB,
        &[
            "-client.url=http://loki/push?a=b",
            "-client.external-labels=a=b,c=d=e",
        ],
    );
    assert!(
        found.text.contains("url: 'http://loki/push?a=b'"),
        "{}",
        found.text
    );
    assert!(
        found.text.contains("labels:\n      a: b\n      c: 'd=e'\n"),
        "{}",
        found.text
    );
}

#[test]
fn an_unknown_flag_names_the_nearest_one() {
    let error = refused(&["-config.fil=/a.yaml"]);
    assert_eq!(
        error.to_string(),
        "there is no flag `-config.fil`: did you mean `-config.file`?"
    );
    let error = refused(&["-zebra"]);
    assert_eq!(error.to_string(), "there is no flag `-zebra`");
}

#[test]
fn a_flag_without_its_value_is_refused() {
    assert!(matches!(
        refused(&["-config.file"]),
        FlagError::NoValue { .. }
    ));
}

#[test]
fn values_of_the_wrong_kind_are_refused_and_not_shown() {
    for argument in [
        "-dry-run=hunter2",
        "-client.batch-wait=hunter2",
        "-client.batch-size-bytes=hunter2",
        "-server.http-listen-port=70000",
        "-limit.readline-rate=hunter2",
        "-max-line-size=hunter2",
        "-client.external-labels=hunter2",
    ] {
        let error = refused(&[argument]);
        assert!(matches!(error, FlagError::BadValue { .. }), "{argument}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn what_is_no_flag_is_refused() {
    assert!(matches!(
        refused(&["config.yaml"]),
        FlagError::NoFlag { .. }
    ));
    assert!(matches!(refused(&["-"]), FlagError::NoFlag { .. }));
    assert!(matches!(refused(&["---x"]), FlagError::NoFlag { .. }));
    assert!(matches!(
        refused(&["-dry-run", "--", "x"]),
        FlagError::NoFlag { .. }
    ));
}

#[test]
fn promtails_flags_are_told_from_others() {
    for argument in [
        "-config.file=/a",
        "--config.file",
        "-dry-run",
        "-client.url",
        "-stdin",
    ] {
        assert!(is_promtail_flag(argument), "{argument}");
    }
    for argument in [
        "run",
        "--config",
        "-c",
        "--help",
        "-h",
        "--version",
        "-",
        "",
    ] {
        assert!(!is_promtail_flag(argument), "{argument}");
    }
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    let found = native(JOB, &["-client.url=http://a/x", "-client.url=http://b/x"]);
    assert!(found.text.contains("url: 'http://b/x'") && !found.text.contains("http://a/x"));
}

#[test]
fn flags_come_before_the_file_and_the_file_before_defaults() {
    let text = format!("{CLIENT}{JOB}server: {{ http_listen_port: 9080 }}\n");
    let listen = |arguments: &[&str]| {
        let found = native(&text, arguments).text;
        let line = found
            .lines()
            .find(|line| line.trim().starts_with("listen:"))
            .unwrap();
        line.trim().to_owned()
    };
    assert_eq!(listen(&[]), "listen: '0.0.0.0:9080'");
    assert_eq!(
        listen(&["-server.http-listen-port=9081"]),
        "listen: '0.0.0.0:9081'"
    );
    assert_eq!(
        listen(&["-server.http-listen-address=127.0.0.1"]),
        "listen: '127.0.0.1:9080'"
    );
    assert_eq!(listen(&["-server.disable"]), "listen: ''");
    let found = native(&format!("{CLIENT}{JOB}"), &[]).text;
    assert!(found.contains("listen: '0.0.0.0:80'"), "{found}");
}

#[test]
fn the_url_of_the_command_line_is_one_more_client() {
    let found = native(
        &format!("{CLIENT}{JOB}"),
        &[
            "-client.url=http://other/push",
            "-client.tenant-id=t",
            "-client.batch-wait=2s",
        ],
    );
    let (_, sinks) = found.text.split_once("\nsinks:\n").unwrap();
    assert!(
        sinks.contains("  client:\n    loki:\n      url: 'http://loki:3100/"),
        "{sinks}"
    );
    let (_, second) = sinks.split_once("  client-2:\n").unwrap();
    assert!(
        second.contains("tenant: t") && second.contains("max_wait: 2s"),
        "{second}"
    );
}

#[test]
fn external_labels_go_into_every_client_and_the_files_own_win() {
    let text = format!(
        "clients: [{{ url: 'http://a/x', external_labels: {{ dc: eu }} }}, {{ url: 'http://b/x' }}]\n{JOB}"
    );
    let found = native(&text, &["-client.external-labels=dc=us,host=h"]).text;
    assert!(found.contains("dc: eu\n      host: h\n"), "{found}");
    assert!(found.contains("dc: us\n      host: h\n"), "{found}");
}

#[test]
fn limits_and_positions_are_set_by_flags() {
    let found = native(
        &format!("{CLIENT}{JOB}"),
        &[
            "-positions.file=/p.yaml",
            "-limit.readline-rate-enabled",
            "-limit.readline-rate=7.5",
            "-limit.readline-burst=9",
            "-max-line-size=1kb",
            "-max-line-size-truncate",
            "-target.sync-period=20s",
            "-file-watch.min_poll_frequency=1s",
        ],
    );
    let text = found.text;
    assert!(text.contains("import_positions: /p.yaml"), "{text}");
    assert!(
        text.contains("lines_per_second: 8\n  burst: 9\n  when_exceeded: drop"),
        "{text}"
    );
    assert!(
        text.contains("truncate:\n          max_bytes: 1024"),
        "{text}"
    );
    assert!(
        text.contains("rescan_interval: 20s") && text.contains("poll_interval: 1s"),
        "{text}"
    );
}

#[test]
fn flags_without_effect_are_noted() {
    let found = native(
        &format!("{CLIENT}{JOB}"),
        &[
            "-server.grpc-listen-port=0",
            "-server.grpc.keepalive.time=1h",
        ],
    );
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("-server.grpc-listen-port"))
    );
}

#[test]
fn the_first_file_that_exists_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let second = directory.path().join("second.yaml");
    std::fs::copy(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/package.yaml"),
        &second,
    )
    .unwrap();
    let files = format!(
        "{}/none.yaml,{}",
        directory.path().display(),
        second.display()
    );
    let loaded = load(&flags(&["-config.file", &files]), &host()).unwrap();
    assert_eq!(loaded.path(), Some(second.as_path()));
    let none = flags(&["-config.file=/nowhere/a.yaml,/nowhere/b.yaml"]);
    let error = load(&none, &host()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/a.yaml, /nowhere/b.yaml: there is no such file"
    );
}

#[test]
fn flags_alone_are_a_configuration() {
    let loaded = load(&flags(&["-stdin", "-client.url=http://loki/push"]), &host()).unwrap();
    assert!(loaded.is_stdin() && loaded.path().is_none());
}

#[test]
fn a_dry_run_needs_no_client() {
    let loaded = read(JOB, &["-dry-run"]).unwrap();
    let text = tailwater_promtail::convert(&loaded, &loaded.targets()).text;
    assert!(
        text.contains("  stdout:\n    file:\n      path: '-'\n"),
        "{text}"
    );
    assert!(errors(JOB, &[]).contains("client needs target URL"));
}
