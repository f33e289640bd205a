//! Every row of the decision table on a real disk, and what is entered then.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests stand in for Promtail, logrotate and programs that write logs"
)]

use std::collections::BTreeMap;
use std::fs;
use std::time::UNIX_EPOCH;

use tailwater_durable::{MemoryStorage, Storage};
use tailwater_position_store::promtail::PromtailPositions;
use tailwater_position_store::{StoreLimits, StoredFile};
use tailwater_record::Marker;

use super::*;
use crate::config;

/// Ten bytes a line.
const LINES: &[u8] = b"line one.\nline two.\nline 333.\nline four\n";

struct Rig {
    directory: tempfile::TempDir,
    config: EngineConfig,
    store: PositionStore,
    file: PromtailFile,
}

impl Rig {
    fn new() -> Self {
        Self::with_limits(StoreLimits::default())
    }

    fn with_limits(limits: StoreLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "sources: {{ logs: {{ include: [\"{}/*.log\"], sinks: [one, two] }} }}\n\
             sinks:\n  one: {{ loki: {{ url: \"http://a\" }} }}\n  two: {{ loki: {{ url: \"http://b\" }} }}\n",
            directory.path().display()
        );
        let config = config::parse(&text, "test", Some(directory.path()), &HashMap::new());
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let (store, _, _) = tailwater_position_store::open(storage, limits, 0).unwrap();
        Self {
            directory,
            config: config.unwrap().engine,
            store,
            file: PromtailFile {
                saved_ns: Some(u64::MAX / 2),
                ..PromtailFile::default()
            },
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
    }

    /// Promtail saves an offset before the file was made, which is at the path now.
    fn save_before(&mut self, name: &str) {
        let made = fs::metadata(self.at(name)).unwrap().created().unwrap();
        let made = made.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        self.file.saved_ns = Some(u64::try_from(made).unwrap() - 1);
    }

    fn entry(&mut self, name: &str, offset: u64) {
        let path = self.at(name);
        self.file.positions.offsets.insert(path, offset);
    }

    fn import(&mut self, known: Known) -> BTreeMap<String, Outcome> {
        let mut told = BTreeMap::new();
        let mut tell = |path: &Path, outcome: Outcome| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            told.insert(name, outcome);
        };
        let (config, file) = (&self.config, &self.file);
        let summary = import(config, file, &mut self.store, known, &mut tell);
        let count = u64::try_from(told.len()).unwrap();
        let counted: u64 = Outcome::ALL
            .map(|outcome| summary.count(outcome))
            .iter()
            .sum();
        assert_eq!(counted, count);
        told
    }

    /// Imports the only entry.
    #[track_caller]
    fn check(&mut self, expected: Outcome) {
        let told = self.import(Known::Keep);
        assert_eq!(told.values().collect::<Vec<_>>(), [&expected]);
    }

    /// Returns what is stored of the file that has a name now.
    fn stored(&self, name: &str) -> Option<&StoredFile> {
        let opened = open_log(&self.at(name), &roots_of(&self.config)).unwrap();
        self.store.find(opened.device, opened.inode).next()
    }

    /// Asserts where both sinks go on in the file that has a name now, and under which path.
    #[track_caller]
    fn check_position(&self, name: &str, path: &str, offset: u64) {
        let stored = self.stored(name).unwrap();
        assert_eq!(*stored.path, *self.at(path));
        let sinks: Vec<&str> = stored
            .positions
            .iter()
            .map(|stored| &*stored.sink)
            .collect();
        assert_eq!(sinks, ["one", "two"]);
        let bytes = fs::read(self.at(name)).unwrap();
        let before = &bytes[..usize::try_from(offset).unwrap()];
        for position in &stored.positions {
            assert_eq!(position.position.offset, offset);
            assert_eq!(position.position.marker, Marker::of_tail(before));
            assert_eq!(position.position.place, 0);
        }
        assert!(stored.identity.fingerprint.matches_head(&bytes));
    }
}

#[test]
fn a_file_goes_on_for_every_sink() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    rig.entry("a.log", 20);
    rig.check(Outcome::Resumed);
    rig.check_position("a.log", "a.log", 20);
}

#[test]
fn an_offset_within_a_line_goes_back_to_its_start() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    rig.entry("a.log", 27);
    rig.check(Outcome::ResumedAtLineStart);
    rig.check_position("a.log", "a.log", 20);
}

#[test]
fn a_file_that_was_rotated_after_the_save_goes_on_under_its_new_name() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    fs::rename(rig.at("a.log"), rig.at("a.log.1")).unwrap();
    rig.write("a.log", b"new\n");
    rig.entry("a.log", 20);
    rig.file.saved_ns = Some(made_ns(&rig, "a.log.1"));
    rig.check(Outcome::ResumedInRotated);
    rig.check_position("a.log.1", "a.log", 20);
    assert!(rig.stored("a.log").is_none(), "it is new to the agent");
}

#[test]
fn a_longer_file_that_was_made_after_the_save_is_not_taken_for_the_rotated_one() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    fs::rename(rig.at("a.log"), rig.at("a.log-20261121")).unwrap();
    rig.entry("a.log", 20);
    let saved = made_ns(&rig, "a.log-20261121");
    rig.file.saved_ns = Some(saved);
    // Times of files are as coarse as the kernel's tick.
    while !rig.at("a.log").exists() || made_ns(&rig, "a.log") <= saved {
        drop(fs::remove_file(rig.at("a.log")));
        rig.write("a.log", &LINES.repeat(5));
    }
    rig.check(Outcome::ResumedInRotated);
    rig.check_position("a.log-20261121", "a.log", 20);
    assert!(rig.stored("a.log").is_none(), "it is new to the agent");
}

fn made_ns(rig: &Rig, name: &str) -> u64 {
    facts_of(&fs::metadata(rig.at(name)).unwrap())
        .made_ns
        .unwrap()
}

#[test]
fn a_rotated_file_that_was_not_made_again_goes_on() {
    let mut rig = Rig::new();
    rig.write("a.log.1", LINES);
    rig.file.saved_ns = Some(made_ns(&rig, "a.log.1"));
    rig.entry("a.log", 30);
    rig.check(Outcome::ResumedInRotated);
    rig.check_position("a.log.1", "a.log", 30);
}

#[test]
fn a_truncated_file_starts_anew() {
    let mut rig = Rig::new();
    rig.write("a.log", b"new\n");
    rig.entry("a.log", 20);
    rig.check(Outcome::Restarted);
    rig.check_position("a.log", "a.log", 0);
}

#[test]
fn a_copy_of_a_truncated_file_holds_the_rest() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    rig.file.saved_ns = Some(made_ns(&rig, "a.log"));
    fs::copy(rig.at("a.log"), rig.at("a.log.1")).unwrap();
    rig.write("a.log", b"new\n");
    rig.entry("a.log", 20);
    rig.check(Outcome::ResumedInRotated);
    rig.check_position("a.log.1", "a.log", 20);
}

#[test]
fn several_generations_that_nothing_tells_apart_are_all_read_from_the_start() {
    let mut rig = Rig::new();
    rig.write("a.log", b"new\n");
    rig.write("a.log.1", LINES);
    rig.write("a.log.2", LINES);
    rig.entry("a.log", 20);
    // Written to after the save, and all made before it: a clock that was set.
    let newest = made_ns(&rig, "a.log.2");
    rig.file.saved_ns = Some(newest.max(made_ns(&rig, "a.log")));
    rig.check(Outcome::ReadAgain);
    rig.check_position("a.log.1", "a.log", 0);
    rig.check_position("a.log.2", "a.log", 0);
}

#[test]
fn a_file_that_is_gone_is_told() {
    let mut rig = Rig::new();
    rig.entry("a.log", 20);
    rig.check(Outcome::Missing);
    assert!(rig.store.is_empty());
}

#[test]
fn files_that_no_source_reads_archives_and_pipes_get_no_position() {
    let mut rig = Rig::new();
    rig.write("a.txt", LINES);
    rig.entry("a.txt", 20);
    rig.check(Outcome::NotRead);
    let mut rig = Rig::new();
    let text = format!(
        "sources: {{ logs: {{ include: [\"{}/*\"] }} }}\nsinks: {{ o: {{ loki: {{ url: \"http://a\" }} }} }}\n",
        rig.directory.path().display()
    );
    rig.config = config::parse(&text, "test", None, &HashMap::new())
        .unwrap()
        .engine;
    rig.write("a.log.gz", LINES);
    rig.entry("a.log.gz", 20);
    rig.check(Outcome::Archive);
    let mut rig = Rig::new();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        rig.at("a.log"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    rig.entry("a.log", 20);
    rig.check(Outcome::Unreadable);
    assert!(rig.store.is_empty());
}

#[test]
fn a_value_that_is_no_number_is_told() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    rig.file.positions = PromtailPositions {
        refused: vec![rig.at("a.log")],
        ..PromtailPositions::default()
    };
    rig.check(Outcome::NoNumber);
    assert!(rig.store.is_empty());
}

#[test]
fn positions_of_the_agent_stay_unless_they_are_to_be_replaced() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    rig.entry("a.log", 30);
    rig.check(Outcome::Resumed);
    rig.entry("a.log", 10);
    rig.check(Outcome::Known);
    rig.check_position("a.log", "a.log", 30);
    assert_eq!(rig.import(Known::Replace)["a.log"], Outcome::Resumed);
    rig.check_position("a.log", "a.log", 10);
}

#[test]
fn positions_of_sources_count_as_those_of_their_sink() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    rig.entry("a.log", 30);
    rig.check(Outcome::Resumed);
    let (key, position) = {
        let stored = rig.stored("a.log").unwrap();
        (stored.key, stored.positions[0].position)
    };
    // As after a run of the agent.
    for sink in ["one", "two"] {
        rig.store.remove_positions(key, &[sink.into()]);
        let route = format!("{sink}/logs");
        rig.store.set_position(key, &route, position, 0);
    }
    rig.entry("a.log", 10);
    rig.check(Outcome::Known);
    assert_eq!(rig.import(Known::Replace)["a.log"], Outcome::Resumed);
    rig.check_position("a.log", "a.log", 10);
}

#[test]
fn a_sink_that_has_no_position_yet_gets_one() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    rig.entry("a.log", 30);
    let two = rig.config.sinks.pop().unwrap();
    rig.check(Outcome::Resumed);
    rig.config.sinks.push(two);
    rig.entry("a.log", 10);
    rig.check(Outcome::Resumed);
    let stored = rig.stored("a.log").unwrap();
    let offsets: Vec<u64> = stored
        .positions
        .iter()
        .map(|stored| stored.position.offset)
        .collect();
    assert_eq!(offsets, [30, 10]);
}

#[test]
fn of_two_entries_about_one_file_the_lower_counts() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    std::os::unix::fs::symlink(rig.at("a.log"), rig.at("b.log")).unwrap();
    rig.entry("a.log", 30);
    rig.entry("b.log", 10);
    rig.import(Known::Keep);
    assert_eq!(rig.store.len(), 1);
    let stored = rig.stored("a.log").unwrap();
    assert!(
        stored
            .positions
            .iter()
            .all(|stored| stored.position.offset == 10)
    );
}

#[test]
fn a_full_store_is_told() {
    let mut rig = Rig::with_limits(StoreLimits {
        max_files: 1,
        ..StoreLimits::default()
    });
    rig.write("a.log", LINES);
    rig.write("b.log", b"another line of bytes\n");
    rig.entry("a.log", 10);
    rig.entry("b.log", 22);
    let told = rig.import(Known::Keep);
    assert_eq!(told["a.log"], Outcome::Resumed);
    assert_eq!(told["b.log"], Outcome::NoRoom);
}

#[test]
fn files_that_were_copied_here_later_go_on() {
    let mut rig = Rig::new();
    rig.write("a.log", LINES);
    rig.save_before("a.log");
    rig.entry("a.log", 20);
    rig.check(Outcome::Resumed);
    rig.check_position("a.log", "a.log", 20);
}
