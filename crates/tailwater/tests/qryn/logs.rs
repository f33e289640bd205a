//! The logs that are written: what they hold on disk is what must be read back.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tailwater_testkit::logrotate::{Logrotate, Rule};
use tailwater_testkit::writer::{LogWriter, WriterOptions};

/// Lines that something on the way may take for what they are not.
const HOSTILE: &[&[u8]] = &[
    b"",
    b" ",
    b"{}",
    b"null",
    b"  spaces at both ends  ",
    b"\ttabs\tinside\t",
    br#""quoted" 'twice' `thrice`"#,
    br"back\slash \n \u0041 \\ \",
    "über größe 日本語 🦀 e\u{301} \u{202e}right\u{202c} \u{2028} \u{feff}".as_bytes(),
    b"'; DROP TABLE samples_v3; -- /* not a comment",
    br#"{"fingerprint":1,"string":"x"} FORMAT JSONEachRow"#,
    b"{{.template}} ${variable} %s %d",
    b"\x1b[31mred\x1b[0m nul \0 bell \x07",
    b"invalid UTF-8: \xff \xe2\x82 end",
];

/// Bytes of the longest line; the agent takes 256 KiB.
const LONG_BYTES: usize = 200_000;

/// Names that have to be quoted as the value of a label.
const NAMES: &[&str] = &["app.log", "größe 日本.log", "say \"hi\" \\o.log"];

/// A directory of logs with their writers.
pub(crate) struct Logs {
    directory: PathBuf,
    writers: Vec<LogWriter>,
    hostile: HostileLog,
    logrotate: Logrotate,
    rotations: u32,
}

impl Logs {
    /// Makes the directory `logs` in this one.
    pub(crate) fn new(directory: &Path) -> Self {
        let rotate = directory.join("rotate");
        let directory = directory.join("logs");
        fs::create_dir(&directory).unwrap();
        fs::create_dir(&rotate).unwrap();
        let pattern = directory.join("*.log").display().to_string();
        let numbered = (1..).zip(NAMES);
        let writers = numbered.map(|(file, name)| {
            LogWriter::open(directory.join(name), file, WriterOptions::default()).unwrap()
        });
        Self {
            writers: writers.collect(),
            hostile: HostileLog {
                path: directory.join("hostile.log"),
                written: 0,
            },
            logrotate: Logrotate::new(&rotate, &[Rule::new([pattern])]).unwrap(),
            rotations: 0,
            directory,
        }
    }

    /// Appends to every log.
    pub(crate) fn write(&mut self, lines: u64) {
        for writer in &mut self.writers {
            writer.write_lines(lines).unwrap();
        }
        self.hostile.write(lines);
    }

    /// Rotates every log; the writers go on with the old files for a while.
    pub(crate) fn rotate(&mut self, late_lines: u64) {
        self.logrotate.force().unwrap();
        self.rotations += 1;
        for writer in &mut self.writers {
            writer.write_lines(late_lines).unwrap();
            writer.reopen().unwrap();
        }
    }

    /// Returns the lines by path, those of rotated files first, as a reader of UTF-8 sees them.
    pub(crate) fn lines(&self) -> BTreeMap<String, Vec<String>> {
        let paths = NAMES.iter().copied().chain(["hostile.log"]);
        paths
            .map(|name| {
                let path = self.directory.join(name).display().to_string();
                let lines = lines_of(&path, self.rotations);
                (path, lines)
            })
            .collect()
    }
}

/// Reads a log with what was rotated away from it.
fn lines_of(path: &str, rotations: u32) -> Vec<String> {
    let rotated = (1..=rotations).rev();
    let oldest_first = rotated
        .map(|number| format!("{path}.{number}"))
        .chain([path.to_owned()]);
    let bytes: Vec<u8> = oldest_first
        .flat_map(|path| fs::read(path).unwrap())
        .collect();
    let lines = bytes
        .strip_suffix(b"\n")
        .unwrap()
        .split(|byte| *byte == b'\n');
    lines
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}

/// A log of hostile lines, opened anew for each write.
struct HostileLog {
    path: PathBuf,
    written: u64,
}

impl HostileLog {
    /// Appends the hostile lines in turn, every other one with a number.
    fn write(&mut self, lines: u64) {
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)
            .unwrap();
        if self.written == 0 {
            let longest = [b"long ".as_slice(), &vec![b'x'; LONG_BYTES], b" end\n"].concat();
            log.write_all(&longest).unwrap();
        }
        for (line, number) in HOSTILE
            .iter()
            .cycle()
            .zip(self.written..self.written + lines)
        {
            log.write_all(line).unwrap();
            if number % 2 == 1 {
                write!(log, " {number}").unwrap();
            }
            log.write_all(b"\n").unwrap();
        }
        self.written += lines;
    }
}
