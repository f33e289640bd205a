//! `-dry-run` and `-inspect`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, append};

/// A run whose output is read while it goes on.
struct DryRun {
    child: Child,
    out: PathBuf,
    errors: PathBuf,
}

impl DryRun {
    fn start(rig: &Rig, flags: &[&str]) -> Self {
        let (out, errors) = (rig.path("out.txt"), rig.path("err.txt"));
        let open = |path| {
            std::fs::File::options()
                .create(true)
                .append(true)
                .open(path)
        };
        let child = Command::new(rig.path("promtail"))
            .args(["-config.file=promtail.yaml", "-dry-run"])
            .args(flags)
            .current_dir(rig.directory.path())
            .stdin(Stdio::null())
            .stdout(open(&out).unwrap())
            .stderr(open(&errors).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, errors }
    }

    fn wait_for(&self, what: &str) -> String {
        let read = || std::fs::read_to_string(&self.out).unwrap();
        wait::until(DEADLINE, what, || read().contains(what)).unwrap_or_else(|error| {
            let errors = std::fs::read_to_string(&self.errors).unwrap();
            panic!("{error}\n{}\n{errors}", read())
        });
        read()
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Lists all there is in the directory of a test, but for what the test itself writes.
fn names(rig: &Rig) -> Vec<String> {
    let entries = std::fs::read_dir(rig.directory.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["out.txt", "err.txt"].contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

const STAGES: &str = "scrape_configs:\n\
    - job_name: app\n  \
      pipeline_stages:\n  \
      - regex: { expression: '^(?P<level>[a-z]+) (?P<at>\\S+) ' }\n  \
      - labels: { level: }\n  \
      - timestamp: { source: at, format: RFC3339Nano }\n  \
      - drop: { source: level, value: debug }\n  \
      static_configs:\n  \
      - labels: { job: app, __path__: DIR/logs/*.log }\n";

#[test]
fn a_dry_run_prints_every_line_pushes_none_and_makes_no_file() {
    let rig = Rig::new();
    rig.configure(STAGES);
    append(
        &rig.path("logs/a.log"),
        "info 2026-02-28T23:59:59.250Z one\ndebug 2026-02-28T23:59:59Z two\nwarn 2026-02-28T23:59:58Z three\n",
    );
    let before = names(&rig);
    let run = DryRun::start(&rig, &[]);
    let printed = run.wait_for("three");
    run.stop();
    let path = rig.path("logs/a.log").display().to_string();
    let (clients, lines) = printed.split_once("\n\n").unwrap();
    assert!(
        clients.starts_with("Clients configured:\n----------------------\nurl: "),
        "{clients}"
    );
    assert_eq!(
        lines,
        format!(
            "2026-02-28T23:59:59.25+0000\t{{filename=\"{path}\", job=\"app\", level=\"info\"}}\tinfo 2026-02-28T23:59:59.250Z one\n\
             2026-02-28T23:59:58+0000\t{{filename=\"{path}\", job=\"app\", level=\"warn\"}}\twarn 2026-02-28T23:59:58Z three\n"
        )
    );
    assert_eq!(names(&rig), before);
    assert!(rig.entries().is_empty());
}

#[test]
fn a_dry_run_goes_on_where_promtail_was_and_leaves_that_as_it_is() {
    let rig = Rig::new();
    rig.configure(STAGES);
    append(&rig.path("logs/a.log"), "info - sent before\ninfo - new\n");
    let positions = "positions:\n  DIR/logs/a.log: \"19\"\n";
    rig.write("positions.yaml", positions);
    let stored = std::fs::read(rig.path("positions.yaml")).unwrap();
    let before = names(&rig);
    let run = DryRun::start(&rig, &[]);
    let printed = run.wait_for("info - new");
    run.stop();
    assert!(!printed.contains("sent before"), "{printed}");
    assert_eq!(std::fs::read(rig.path("positions.yaml")).unwrap(), stored);
    assert_eq!(names(&rig), before);
}

#[test]
fn a_dry_run_goes_on_where_the_agent_is_which_does_not_notice() {
    let rig = Rig::new();
    rig.configure(STAGES);
    append(&rig.path("logs/a.log"), "info - sent before\n");
    let mut promtail = rig.start(&[]);
    rig.settle_lines(&promtail, 1);
    promtail.stop();
    append(&rig.path("logs/a.log"), "info - new\n");
    let run = DryRun::start(&rig, &[]);
    let printed = run.wait_for("info - new");
    run.stop();
    assert!(!printed.contains("sent before"), "{printed}");
    let mut promtail = rig.start(&[]);
    rig.settle_lines(&promtail, 2);
    assert_eq!(rig.entries().len(), 2, "each line once");
    promtail.stop();
}

#[test]
fn a_dry_run_ends_when_nobody_reads_it_any_more() {
    let rig = Rig::new();
    rig.configure(STAGES);
    append(&rig.path("logs/a.log"), "info - one\n");
    let mut child = Command::new(rig.path("promtail"))
        .args(["-config.file=promtail.yaml", "-dry-run"])
        .current_dir(rig.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0_u8; 1];
    std::io::Read::read_exact(&mut out, &mut first).unwrap();
    drop(out);
    append(&rig.path("logs/a.log"), "info - two\n");
    wait::until_ok(DEADLINE, "it has ended", || Ok(child.try_wait()?.is_some())).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn an_inspected_run_says_what_each_stage_does() {
    let rig = Rig::new();
    rig.configure(STAGES);
    append(
        &rig.path("logs/a.log"),
        "debug - gone\ninfo 2026-02-28T23:59:59Z here\n",
    );
    let run = DryRun::start(&rig, &["-inspect"]);
    run.wait_for("here");
    let errors = run.errors.clone();
    run.stop();
    let told = std::fs::read_to_string(errors).unwrap();
    let steps = [
        "[inspect: regex stage]: \n{stages.Entry}.Extracted[\"at\"]:\n\t+: -\n{stages.Entry}.Extracted[\"level\"]:\n\t+: debug\n",
        "[inspect: labels stage]: \n{stages.Entry}.Entry.Labels[\"level\"]:\n\t+: debug\n",
        "[inspect: drop stage]: dropped\n",
        "\t+: 2026-02-28T23:59:59Z\n",
        "[inspect: drop stage]: none\n",
    ];
    let mut rest = told.as_str();
    for step in steps {
        let at = rest.find(step);
        let at = at.unwrap_or_else(|| panic!("{step}\nis not in order in\n{told}"));
        rest = rest.split_at(at + step.len()).1;
    }
}

#[test]
fn a_dry_run_takes_the_null_device_for_no_positions() {
    let rig = Rig::new();
    rig.configure(STAGES);
    append(&rig.path("logs/a.log"), "info - one\n");
    let run = DryRun::start(&rig, &["-positions.file=/dev/null"]);
    run.wait_for("info - one");
    run.stop();
    assert!(!std::path::Path::new("/dev/null.tailwater").exists());
}
