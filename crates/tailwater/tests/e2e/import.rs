//! A host that Promtail was shipping: its positions are taken over, and nothing is sent again or skipped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tailwater_testkit::wait;
use tailwater_testkit::writer::{LogWriter, Written};

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

/// Lines that Promtail has sent carry the number of their file plus this. The oracle is not told of them:
/// one that arrives comes from nowhere.
const SENT_BY_PROMTAIL: u32 = 1_000_000;

/// The positions file of a rig.
struct Promtail {
    path: PathBuf,
    offsets: BTreeMap<PathBuf, u64>,
}

impl Promtail {
    /// Has the rig import a positions file that is not there yet.
    fn of(rig: &mut Rig) -> Self {
        let path = rig.directory.path().join("positions.yaml");
        let key = format!("import_positions: \"{}\"\n", path.display());
        rig.config.insert_str(0, &key);
        Self {
            path,
            offsets: BTreeMap::new(),
        }
    }

    /// Writes lines that Promtail sends, and notes where it is then.
    fn read(&mut self, rig: &Rig, name: &str, file: u32, lines: u64) {
        let mut writer = rig.writer(name, SENT_BY_PROMTAIL + file);
        writer.write_lines(lines).unwrap();
        let offset = fs::metadata(rig.log(name)).unwrap().len();
        self.offsets.insert(rig.log(name), offset);
    }

    /// Writes the positions file as Promtail does.
    #[expect(
        clippy::disallowed_methods,
        reason = "it stands in for another program"
    )]
    fn save(&self) {
        let mut text = String::from("positions:\n  cursor-journal: s=0;i=1\n");
        for (path, offset) in &self.offsets {
            writeln!(text, "  {}: \"{offset}\"", path.display()).unwrap();
        }
        fs::write(&self.path, text).unwrap();
        self.wait_for_the_next_tick();
    }

    /// Times of files are as coarse as the kernel's tick: what is made from here on is made later.
    #[expect(
        clippy::disallowed_methods,
        reason = "it stands in for another program"
    )]
    fn wait_for_the_next_tick(&self) {
        let saved = modified(&self.path);
        let probe = self.path.with_extension("probe");
        wait::until(DEADLINE, "the clock of the files goes on", || {
            fs::write(&probe, "probe").unwrap();
            modified(&probe) > saved
        })
        .unwrap();
    }
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "it stands in for logrotate")]
fn rename(rig: &Rig, from: &str, to: &str) {
    fs::rename(rig.log(from), rig.log(to)).unwrap();
}

fn write(rig: &Rig, name: &str, file: u32, lines: u64) -> Written {
    let mut writer: LogWriter = rig.writer(name, file);
    writer.write_lines(lines).unwrap();
    writer.written()
}

/// Goal: of 1,000 files that Promtail has read half of, the other half arrives, once; also of those that
/// were rotated meanwhile, and what is there of one that was truncated.
#[test]
fn a_thousand_files_go_on_where_promtail_was() {
    let mut rig = Rig::new("", "");
    let mut promtail = Promtail::of(&mut rig);
    let name = |file: u32| format!("app-{file:04}.log");
    for file in 0..1_000 {
        promtail.read(&rig, &name(file), file, 20);
    }
    promtail.save();
    let positions = fs::read(&promtail.path).unwrap();
    let mut written = Vec::new();
    // Rotated, with a new file that is shorter than the offset, and with one that is longer.
    for (file, lines) in [(1, 5), (2, 60)] {
        written.push(write(&rig, &name(file), file, 20));
        rename(&rig, &name(file), &format!("{}.1", name(file)));
        written.push(write(&rig, &name(file), 2_000 + file, lines));
    }
    // Rotated twice: one generation was never seen by Promtail.
    written.push(write(&rig, &name(3), 3, 20));
    rename(&rig, &name(3), &format!("{}.2", name(3)));
    written.push(write(&rig, &name(3), 2_003, 30));
    rename(&rig, &name(3), &format!("{}.1", name(3)));
    written.push(write(&rig, &name(3), 3_003, 10));
    // Truncated.
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(rig.log(&name(4)))
        .unwrap();
    written.push(write(&rig, &name(4), 4, 5));
    for file in 5..1_000 {
        written.push(write(&rig, &name(file), file, 20));
    }
    let mut agent = rig.start();
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    let log = agent.log();
    assert!(log.contains("positions of promtail imported"), "{log}");
    assert!(log.contains("imported=999"), "{log}");
    assert!(log.contains("in_rotated=3"), "{log}");
    assert!(log.contains("restarted=1"), "{log}");
    stop(&mut agent);
    assert_eq!(fs::read(&promtail.path).unwrap(), positions, "not ours");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it stands in for another program"
)]
fn a_second_start_does_not_import_again() {
    let mut rig = Rig::new("", "");
    let mut promtail = Promtail::of(&mut rig);
    promtail.read(&rig, "a.log", 1, 20);
    promtail.save();
    let mut written = vec![write(&rig, "a.log", 1, 20)];
    let mut agent = rig.start();
    rig.settle(&agent, &written);
    stop(&mut agent);
    // What Promtail says now would send everything again.
    fs::write(&promtail.path, "positions: {}\n").unwrap();
    written.push(write(&rig, "b.log", 2, 20));
    let mut agent = rig.start();
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    let log = agent.log();
    assert!(log.contains("are not imported again"), "{log}");
    stop(&mut agent);
}

#[test]
fn an_agent_that_is_killed_after_the_import_goes_on_where_promtail_was() {
    let mut rig = Rig::new("", "");
    let mut promtail = Promtail::of(&mut rig);
    promtail.read(&rig, "a.log", 1, 50);
    promtail.read(&rig, "b.log", 2, 50);
    promtail.save();
    let mut agent = rig.start();
    agent.sigkill().unwrap();
    fs::remove_file(&promtail.path).unwrap();
    let written = [write(&rig, "a.log", 1, 20), write(&rig, "b.log", 2, 20)];
    let mut agent = rig.start();
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it stands in for another program"
)]
fn a_file_without_a_usable_number_is_told_and_read_from_the_start() {
    let mut rig = Rig::new("", "");
    let promtail = Promtail::of(&mut rig);
    let written = [write(&rig, "a.log", 1, 20)];
    let text = format!("positions:\n  {}: half\n", rig.log("a.log").display());
    fs::write(&promtail.path, text).unwrap();
    let mut agent = rig.start();
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    let log = agent.log();
    assert!(log.contains("position of promtail refused"), "{log}");
    assert!(log.contains("refused=1"), "{log}");
    wait_settled(&agent);
    stop(&mut agent);
}
