use std::io::Write as _;
use std::process::Command;

use super::*;
use crate::backfill::find;

const LINES: &[u8] = b"one\ntwo\nthree\n";

struct Logs(tempfile::TempDir);

impl Logs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        file.write_all(bytes).unwrap();
        path
    }

    /// Writes a file and compresses it beside itself.
    fn gzip(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.write(name, bytes);
        let packed = Command::new("gzip").arg(&path).status().unwrap();
        assert!(packed.success());
        self.0.path().join(format!("{name}.gz"))
    }

    fn choose(&self) -> (Vec<String>, Vec<(String, SkipReason)>) {
        let data_dir = self.0.path().join("data").display().to_string();
        let text = format!(
            "data_dir: {data_dir}\nsources: {{ s: {{ include: [/x], labels: {{ a: b }} }} }}\nsinks: {{ s: {{ file: {{ path: {}/out.log }} }} }}",
            self.0.path().display()
        );
        let config = crate::config::parse(&text, "test", None, &std::collections::HashMap::new());
        let mut config = config.unwrap();
        let globs = [self.0.path().join("**/*").display().to_string()];
        let (selection, patterns) = find::named(&globs).unwrap();
        config.engine.sources[0].patterns = patterns;
        let roots = roots(&config);
        let chosen = choose(&config, selection, None, &roots);
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let chains = chosen.chains();
        let files = chains.iter().flat_map(|chain| &chain.files);
        let files = files.map(|path| name(path)).collect();
        let skipped = chosen.skipped.into_iter();
        let skipped = skipped.map(|skipped| (name(&skipped.path), skipped.reason));
        (files, skipped.collect())
    }
}

#[test]
fn of_a_file_and_its_archive_the_archive_is_read() {
    let logs = Logs::new();
    let archive = logs.gzip("app.log.1", LINES);
    logs.write("app.log.1", LINES);
    let (files, skipped) = logs.choose();
    assert_eq!(files, ["app.log.1.gz"]);
    assert_eq!(
        skipped,
        [("app.log.1".to_owned(), SkipReason::Copy(archive))]
    );
}

#[test]
fn of_a_file_and_what_there_is_yet_of_its_archive_the_file_is_read() {
    let logs = Logs::new();
    let archive = logs.gzip("app.log.1", &LINES.repeat(10_000));
    let bytes = std::fs::read(&archive).unwrap();
    logs.write("app.log.1.gz", &bytes[..bytes.len() / 2]);
    let plain = logs.write("app.log.1", &LINES.repeat(10_000));
    let (files, skipped) = logs.choose();
    assert_eq!(files, ["app.log.1"]);
    assert_eq!(
        skipped,
        [("app.log.1.gz".to_owned(), SkipReason::Copy(plain))]
    );
}

#[test]
fn files_of_one_name_with_other_content_are_both_read() {
    let logs = Logs::new();
    logs.gzip("app.log.1", b"another\n");
    logs.write("app.log.1", LINES);
    let (files, skipped) = logs.choose();
    assert_eq!(files.len(), 2);
    assert_eq!(skipped, []);
}

#[test]
fn three_of_one_name_leave_one() {
    let logs = Logs::new();
    logs.gzip("app.log.1", LINES);
    logs.write("app.log.1.zst", LINES);
    logs.write("app.log.1", &LINES[..4]);
    let (files, skipped) = logs.choose();
    assert_eq!(files.len(), 1);
    assert_eq!(skipped.len(), 2);
}

#[test]
fn what_the_agent_writes_is_not_read() {
    let logs = Logs::new();
    logs.write("app.log", LINES);
    logs.write("out.log", LINES);
    std::fs::create_dir(logs.0.path().join("data")).unwrap();
    logs.write("data/positions.log", LINES);
    let (files, skipped) = logs.choose();
    assert_eq!(files, ["app.log"]);
    assert_eq!(skipped.len(), 2);
    assert!(skipped.iter().all(|(_, reason)| *reason == SkipReason::Own));
}
