//! SIGHUP: what stands in both configurations goes on undisturbed.

use tailwater_testkit::wait;
use tailwater_testkit::writer::WriterOptions;

use crate::rig::{DEADLINE, Rig, stop};

pub(crate) fn rewrite(rig: &Rig, config: &str) {
    use std::io::Write as _;
    let path = rig.directory.path().join("tailwater.yaml");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(config.as_bytes()).unwrap();
}

#[test]
fn a_reload_under_load_adds_files_and_loses_and_repeats_nothing() {
    let rig = Rig::new("", "");
    let other = rig.directory.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let mut agent = rig.start();
    let mut first = rig.writer("a.log", 1);
    let mut second = tailwater_testkit::writer::LogWriter::open(
        other.join("b.txt"),
        2,
        WriterOptions::default(),
    )
    .unwrap();
    first.write_lines(1000).unwrap();
    second.write_lines(1000).unwrap();
    let more = rig.config.replace(
        "sources:\n",
        &format!(
            "sources:\n  more:\n    include: [\"{}/*.txt\"]\n    labels: {{ job: more }}\n",
            other.display()
        ),
    );
    rewrite(&rig, &more);
    agent.sighup().unwrap();
    first.write_lines(1000).unwrap();
    wait::until(DEADLINE, "it is reloaded", || {
        agent.log().contains("configuration reloaded")
    })
    .unwrap();
    first.write_lines(1000).unwrap();
    let written = [first.written(), second.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn a_bad_configuration_is_refused_and_the_running_one_goes_on() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(100).unwrap();
    rewrite(&rig, &rig.config.replace("include:", "inclde:"));
    agent.sighup().unwrap();
    wait::until(DEADLINE, "it is refused", || {
        agent.log().contains("configuration not reloaded")
    })
    .unwrap();
    assert!(
        agent.log().contains("did you mean `include`"),
        "{}",
        agent.log()
    );
    writer.write_lines(100).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn a_sink_that_is_changed_first_delivers_what_it_holds() {
    let rig = Rig::new("", "");
    let mut agent = rig.start();
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(1000).unwrap();
    rewrite(&rig, &rig.config.replace("timeout: 2s", "timeout: 3s"));
    agent.sighup().unwrap();
    writer.write_lines(1000).unwrap();
    wait::until(DEADLINE, "it is reloaded", || {
        agent.log().contains("configuration reloaded")
    })
    .unwrap();
    writer.write_lines(1000).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}
