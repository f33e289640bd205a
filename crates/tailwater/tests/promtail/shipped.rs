//! The configurations that installations have, as they are but for paths and ports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use tailwater_testkit::writer::{LogWriter, Written};

use crate::rig::{Rig, append, labels, text};

/// Lines of each file.
const LINES: u64 = 50;

/// Writes a case as the configuration, with the directory before its paths and the sink's address.
fn configure(rig: &Rig, case: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../promtail/tests/cases")
        .join(case);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let key = line.trim_start().trim_start_matches("- ");
        lines.push(if key.starts_with("url:") {
            let (before, _) = line.split_once("http").unwrap();
            format!("{before}URL")
        } else if key.starts_with("http_listen_port:") {
            "  http_listen_port: 0".to_owned()
        } else {
            line.replace("/tmp/positions.yaml", "DIR/positions.yaml")
                .replace("/run/promtail/positions.yaml", "DIR/positions.yaml")
                .replace("/var/", "DIR/var/")
        });
    }
    rig.write("promtail.yaml", &(lines.join("\n") + "\n"));
}

/// The label sets that the lines of each numbered file came with.
fn labels_by_file(rig: &Rig) -> BTreeMap<u32, BTreeSet<String>> {
    let mut found: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for entry in rig.entries() {
        let id = tailwater_testkit::line::parse_line(&entry.line).unwrap();
        found.entry(id.file).or_default().insert(labels(&entry));
    }
    found
}

/// Goal: with this configuration, these files arrive once, with these labels and no others. It is run as
/// Promtail would be, and then by `tailwater run`, which goes on where that was.
fn check(case: &str, files: &[(&str, &str)]) {
    let rig = Rig::new();
    configure(&rig, case);
    let writers = files.iter().zip(1_u32..);
    let mut writers: Vec<LogWriter> = writers
        .map(|((name, _), number)| rig.writer(name, number))
        .collect();
    let mut as_promtail = rig.launch(&[]);
    let mut written = write(&mut writers);
    rig.settle(&as_promtail, &written);
    as_promtail.stop();
    let mut as_itself = rig.run_native();
    written = write(&mut writers);
    rig.settle(&as_itself, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    let found = labels_by_file(&rig);
    for ((name, expected), number) in files.iter().zip(1_u32..) {
        let path = rig.path(name);
        let expected = expected.replace("PATH", &path.display().to_string());
        let expected = BTreeSet::from([expected]);
        assert_eq!(found.get(&number), Some(&expected), "{name}");
    }
    as_itself.stop();
}

fn write(writers: &mut [LogWriter]) -> Vec<Written> {
    let written = writers.iter_mut().map(|writer| {
        writer.write_lines(LINES).unwrap();
        writer.written()
    });
    written.collect()
}

#[test]
fn the_configuration_of_the_packages_ships_its_file() {
    check(
        "package.yaml",
        &[("var/log/messages", r#"{filename="PATH", job="varlogs"}"#)],
    );
}

#[test]
fn the_configuration_of_the_container_image_ships_its_files() {
    check(
        "docker.yaml",
        &[
            ("var/log/app.log", r#"{filename="PATH", job="varlogs"}"#),
            ("var/log/syslog", r#"{filename="PATH", job="varlogs"}"#),
        ],
    );
}

#[test]
fn the_local_sample_ships_its_files() {
    let labels = r#"{filename="PATH", job="varlogs", stream="stdout"}"#;
    check("local.yaml", &[("var/log/kern.log", labels)]);
}

#[test]
fn the_configuration_of_a_real_deployment_ships_its_files_with_their_labels() {
    let files = [
        (
            "var/log/nginx/access.log",
            r#"{filename="PATH", host="wp2", job="nginx-access-log-wp2"}"#,
        ),
        (
            "var/log/nginx/error.log",
            r#"{filename="PATH", host="wp2", job="nginx-error-log-wp2"}"#,
        ),
        (
            "var/log/php8.1-fpm-slow.log",
            r#"{filename="PATH", host="wp2", job="php-slow-request-log-wp2"}"#,
        ),
        (
            "var/log/php8.1-fpm.log",
            r#"{filename="PATH", host="wp2", job="php-error-log-wp2"}"#,
        ),
        (
            "var/www/html/wp-content/debug.log",
            r#"{filename="PATH", host="wp2", job="wordpress-debug-log-wp2"}"#,
        ),
        (
            "var/log/mysql/mysql-slow.log",
            r#"{filename="PATH", host="mysql-master", job="mysql-slow-query-log-production"}"#,
        ),
        (
            "var/log/mysql/error.log",
            r#"{filename="PATH", host="mysql-master", job="mysql-error-log-production"}"#,
        ),
        (
            "var/log/postgresql/pg_log/a.log",
            r#"{filename="PATH", host="odoo-db", job="postgres-server-live-odoo-slow-query-log"}"#,
        ),
        (
            "var/log/postgresql/pg_log/b.log",
            r#"{filename="PATH", host="odoo-db", job="postgres-server-live-odoo-slow-query-log"}"#,
        ),
        (
            "var/log/odoo/odoo-server.log",
            r#"{filename="PATH", host="odoo1", job="odoo-application-log"}"#,
        ),
    ];
    check("wordpress.yaml", &files);
}

#[test]
fn the_helm_chart_with_the_files_of_the_node_ships_the_lines_of_containers() {
    let rig = Rig::new();
    configure(&rig, "helm-files.yaml");
    let name = "var/log/pods/shop_web-0_uid/app/0.log";
    std::fs::create_dir_all(rig.path(name).parent().unwrap()).unwrap();
    let mut written = String::new();
    for number in 0..LINES {
        let time = format!("2026-11-21T10:00:00.{number:09}Z");
        writeln!(written, "{time} stdout P first {number} ").unwrap();
        writeln!(written, "{time} stderr F beside {number}").unwrap();
        writeln!(written, "{time} stdout F second {number}").unwrap();
    }
    append(&rig.path(name), &written);
    let mut promtail = rig.start(&[]);
    rig.settle_lines(&promtail, usize::try_from(LINES).unwrap() * 2);
    let path = rig.path(name).display().to_string();
    let labels_of = |stream: &str| {
        format!(
            r#"{{container="app", filename="{path}", job="pods", namespace="shop", pod="web-0", stream="{stream}"}}"#
        )
    };
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    for number in 0..LINES {
        expected.insert((labels_of("stderr"), format!("beside {number}")));
        let joined = format!("first {number} second {number}");
        expected.insert((labels_of("stdout"), joined));
    }
    let entries = rig.entries();
    let found = entries.iter().map(|entry| (labels(entry), text(entry)));
    assert_eq!(found.collect::<BTreeSet<_>>(), expected);
    assert_eq!(entries.len(), expected.len(), "each line once");
    promtail.stop();
}
