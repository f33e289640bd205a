//! Bad input: the message, the hint and the exit code.

use std::path::Path;
use std::process::{Command, Output};

use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, stop};

fn tailwater(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

/// Checks a configuration and compares what is said.
fn refused(text: &str, expected: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    put(&directory.path().join("c.yaml"), text.as_bytes());
    let output = tailwater(&["check", "--config", "c.yaml"], directory.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    for part in expected {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

fn put(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

const SINK: &str = "sinks: { out: { loki: { url: \"http://127.0.0.1:9\" } } }\n";

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_valid_one() {
    refused(
        &format!("sources:\n  a:\n    include: [\"/tmp/*.log\"]\n    lables: {{ job: x }}\n{SINK}"),
        &[
            "c.yaml:4:5",
            "lables",
            "did you mean `labels`?",
            "4 |     lables: { job: x }",
            "labels: { job: nginx }",
        ],
    );
    refused(
        &format!("source: {{}}\n{SINK}"),
        &["c.yaml:1:1", "did you mean `sources`?"],
    );
    refused(
        "sources: { a: { include: [\"/tmp/*.log\"] } }\nsinks: { out: { loki: { urll: \"http://x\" } } }\n",
        &["c.yaml:2:", "did you mean `url`?"],
    );
}

#[test]
fn a_wrong_type_a_bad_size_and_a_bad_duration_are_named_with_their_place() {
    refused(
        &format!("sources: {{ a: {{ include: 5 }} }}\n{SINK}"),
        &["c.yaml:1:"],
    );
    refused(
        &format!("memory_limit: lots\nsources: {{ a: {{ include: [\"/x\"] }} }}\n{SINK}"),
        &["c.yaml:1:15", "512KiB"],
    );
    refused(
        &format!("shutdown_timeout: 5\nsources: {{ a: {{ include: [\"/x\"] }} }}\n{SINK}"),
        &["c.yaml:1:", "10s"],
    );
}

#[test]
fn a_bad_glob_is_named_with_its_place() {
    refused(
        &format!("sources:\n  a:\n    include:\n      - /tmp/*.log\n      - /tmp/[z.log\n{SINK}"),
        &["c.yaml:5:9", "/tmp/[z.log"],
    );
}

#[test]
fn every_mistake_is_shown_in_one_run() {
    refused(
        "sources:\n  a: { include: [\"/tmp/*.log\"], sinks: [nowhere] }\nsinks:\n  out: { batch: { max_wait: 1s } }\n",
        &[
            "there is no sink `nowhere`",
            "sink `out` has no kind",
            "give it exactly one of: loki, file",
        ],
    );
}

#[test]
fn a_variable_that_is_not_set_and_secrets_are_handled_with_care() {
    refused(
        "sources: { a: { include: [\"/x\"] } }\nsinks: { out: { loki: { url: \"${TAILWATER_NOT_SET}\" } } }\n",
        &["c.yaml:2:", "TAILWATER_NOT_SET"],
    );
    let directory = tempfile::tempdir().unwrap();
    put(
        &directory.path().join("c.yaml"),
        b"sources: { a: { include: [\"/x\"] } }\nsinks:\n  out:\n    loki: { url: \"http://user:hunter2@x\" }\n",
    );
    let output = tailwater(&["check", "--config", "c.yaml"], directory.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("use `basic_auth`"), "{said}");
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str| {
        let output = tailwater(&["check", "--config", name], directory.path());
        assert_eq!(output.status.code(), Some(78));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(check("missing.yaml").contains("missing.yaml: cannot open it"));
    assert!(check(".").contains("it is a directory"));
    put(&directory.path().join("empty.yaml"), b"# nothing\n");
    assert!(check("empty.yaml").contains("the configuration is empty"));
    put(
        &directory.path().join("binary.yaml"),
        b"sources:\n \xFF\xFE\n",
    );
    assert!(check("binary.yaml").contains("line 2 is not UTF-8"));
    put(&directory.path().join("huge.yaml"), &vec![b'#'; 2 << 20]);
    assert!(check("huge.yaml").contains("larger than"));
}

#[test]
fn a_wrong_command_line_ends_with_64_and_help_with_0() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(
        tailwater(&["runn"], directory.path()).status.code(),
        Some(64)
    );
    assert_eq!(
        tailwater(&["tail"], directory.path()).status.code(),
        Some(64)
    );
    assert_eq!(
        tailwater(&["--help"], directory.path()).status.code(),
        Some(0)
    );
    assert_eq!(
        tailwater(&["--version"], directory.path()).status.code(),
        Some(0)
    );
}

#[test]
fn check_says_what_would_be_tailed_and_where_it_goes() {
    let rig = Rig::new("", "");
    rig.writer("a.log", 1).write_lines(3).unwrap();
    put(&rig.directory.path().join("c.yaml"), rig.config.as_bytes());
    let output = tailwater(&["check", "--config", "c.yaml"], rig.directory.path());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        said.contains("a.log") && said.contains("1 file,") && said.contains(&rig.sink.url()),
        "{said}"
    );
}

#[test]
fn a_second_agent_on_the_data_directory_is_refused_by_name() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let output = tailwater(&["run", "--config", "tailwater.yaml"], rig.directory.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("in use by process") && said.contains("hint: "),
        "{said}"
    );
    stop(&mut agent);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused_by_name() {
    let rig = Rig::new("", "");
    put(
        &rig.directory.path().join("c.yaml"),
        rig.config
            .replace("data_dir: data", "data_dir: /proc/nowhere")
            .as_bytes(),
    );
    let output = tailwater(&["run", "--config", "c.yaml"], rig.directory.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("/proc/nowhere") && said.contains("hint: "),
        "{said}"
    );
}

#[test]
fn a_damaged_generation_of_positions_falls_back_to_the_one_before_and_is_counted() {
    let rig = Rig::new("", "");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(500).unwrap();
    let mut agent = rig.start();
    rig.settle(&agent, &[writer.written()]);
    stop(&mut agent);
    let data = rig.directory.path().join("data");
    let newest = journals(&data).pop().unwrap();
    let name = newest.file_stem().unwrap().to_str().unwrap();
    let generation: u64 = name.strip_prefix("positions-").unwrap().parse().unwrap();
    let width = name.len() - "positions-".len();
    let next = data.join(format!("positions-{:0width$}.journal", generation + 1));
    put(&next, &std::fs::read(&newest).unwrap());
    damage(&next);
    let mut agent = rig.start();
    wait::until(DEADLINE, "the damage is said", || {
        agent.log().contains("positions were damaged")
    })
    .unwrap();
    writer.write_lines(100).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_at_least_once(0);
    stop(&mut agent);
}

#[test]
fn positions_that_are_all_damaged_are_refused_with_a_way_out() {
    let rig = Rig::new("", "");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(10).unwrap();
    let mut agent = rig.start();
    rig.settle(&agent, &[writer.written()]);
    stop(&mut agent);
    for journal in journals(&rig.directory.path().join("data")) {
        damage(&journal);
    }
    let output = tailwater(&["run", "--config", "tailwater.yaml"], rig.directory.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("hint: ") && said.contains(".journal"),
        "{said}"
    );
}

fn journals(data: &Path) -> Vec<std::path::PathBuf> {
    let mut journals: Vec<_> = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "journal")
        })
        .collect();
    journals.sort();
    journals
}

fn damage(journal: &Path) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(journal)
        .unwrap();
    file.write_all_at(&[0xAA; 64], 0).unwrap();
}
