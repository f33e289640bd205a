//! Writes stamped lines at a steady rate, and says when it could not keep it.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use anyhow::Context;

use crate::access_log::AccessLog;
use crate::clock::{self, wait};
use crate::number::float;
use crate::outcome::Outcome;
use crate::stamp::Stamp;

/// A rate of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Time from one burst to the next.
    pub interval: Duration,
    /// Lines of a burst.
    pub lines_per_burst: u32,
    /// How often.
    pub bursts: u32,
}

/// Appends lines to files in turn, one `write` each, every line stamped with its file and time.
#[derive(Debug)]
pub(crate) struct PacedWriter {
    files: Vec<File>,
    next_file: usize,
    log: AccessLog,
    line: Vec<u8>,
}

impl PacedWriter {
    /// Will write to `files`, whose places are their indexes in the stamps.
    pub(crate) fn new(files: Vec<File>) -> Self {
        Self {
            files,
            next_file: 0,
            log: AccessLog::new(2),
            line: Vec::new(),
        }
    }

    /// Appends one line without a stamp to every file, so that all of them are known to be there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn announce(&mut self) -> anyhow::Result<()> {
        for file in &mut self.files {
            file.write_all(b"announced\n")
                .context("cannot append a line")?;
        }
        Ok(())
    }

    /// Writes at `pace`; returns how many seconds longer than planned it took.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn run(&mut self, pace: Pace) -> anyhow::Result<f64> {
        let start_ns = clock::monotonic_ns();
        for burst in 0..pace.bursts {
            for _ in 0..pace.lines_per_burst {
                self.put_line()?;
            }
            // From the start, not from the last burst: a late burst does not move the later ones.
            let due = pace.interval.saturating_mul(burst.saturating_add(1));
            let elapsed = Duration::from_nanos(clock::monotonic_ns().saturating_sub(start_ns));
            wait(due.saturating_sub(elapsed));
        }
        let planned = pace.interval.saturating_mul(pace.bursts).as_secs_f64();
        Ok(float(clock::monotonic_ns().saturating_sub(start_ns)) / 1e9 - planned)
    }

    /// Says in an outcome what was not as planned: how late the lines were written, and whether all of them
    /// arrived.
    pub(crate) fn note(outcome: &mut Outcome, late_seconds: f64, lines: u64, arrived: u64) {
        if late_seconds > 0.1 {
            let note = format!("the writer was {late_seconds:.1} s late");
            outcome.notes.push(note);
        }
        if arrived != lines {
            let fault = format!("{arrived} lines arrived instead of {lines}");
            outcome.faults.push(fault);
        }
    }

    fn put_line(&mut self) -> anyhow::Result<()> {
        let index = self.next_file;
        self.next_file = (index + 1) % self.files.len().max(1);
        let file = self.files.get_mut(index).context("no file to write to")?;
        self.line.clear();
        let file_index = u32::try_from(index).context("more files than a stamp can tell apart")?;
        Stamp {
            file_index,
            written_ns: clock::monotonic_ns(),
        }
        .put(&mut self.line);
        self.log.put_line(&mut self.line);
        self.line.push(b'\n');
        file.write_all(&self.line).context("cannot append a line")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_get_their_lines_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("0"), dir.path().join("1")];
        let files = paths
            .iter()
            .map(|path| crate::scratch::create(path).unwrap())
            .collect();
        let mut writer = PacedWriter::new(files);
        writer.announce().unwrap();
        writer
            .run(Pace {
                interval: Duration::ZERO,
                lines_per_burst: 3,
                bursts: 2,
            })
            .unwrap();
        for (index, path) in paths.iter().enumerate() {
            let text = std::fs::read_to_string(path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!((lines.len(), lines[0]), (4, "announced"));
            for line in &lines[1..] {
                let stamp = Stamp::of(line.as_bytes()).unwrap();
                assert_eq!(usize::try_from(stamp.file_index).unwrap(), index);
            }
        }
    }
}
