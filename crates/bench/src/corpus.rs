//! The logs that are drained, kept from one run to the next.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::kind::{Kind, Log, Made};
use crate::tally::Tally;

const READ_BYTES: usize = 1 << 20;

/// A file of log lines and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Corpus {
    /// Where it is.
    pub path: PathBuf,
    /// Its size, newlines included.
    pub bytes: u64,
    /// Its lines.
    pub tally: Tally,
    /// The records that the stages of its kind make of them.
    pub made: Tally,
}

/// Returns the corpus of `min_bytes` (up to a record more) for `seed` in `dir`, made if missing.
///
/// A kept corpus is read once from end to end, so that its tally is that of the bytes on disk, and
/// so that the file is in the page cache when the measurement starts.
///
/// # Errors
/// When `dir` cannot be created or the file cannot be written or read.
pub(crate) fn prepare(dir: &Path, kind: Kind, min_bytes: u64, seed: u64) -> anyhow::Result<Corpus> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(format!("{}-{seed}-{min_bytes}.log", kind.name()));
    if !path.exists() {
        generate(dir, &path, kind, min_bytes, seed)?;
    }
    read(path, kind, min_bytes)
}

/// Writes the corpus aside and gives it its name when it is whole: a run that was cut short leaves
/// no corpus that a later one would take for a whole one.
fn generate(dir: &Path, path: &Path, kind: Kind, min_bytes: u64, seed: u64) -> anyhow::Result<()> {
    let unfinished = tempfile::NamedTempFile::new_in(dir)
        .with_context(|| format!("cannot create a file in {}", dir.display()))?;
    let mut writer = BufWriter::with_capacity(READ_BYTES, unfinished);
    let mut log = Log::new(kind, seed);
    let mut record = Vec::new();
    let mut written: u64 = 0;
    while written < min_bytes {
        record.clear();
        log.put_record(&mut record);
        writer
            .write_all(&record)
            .with_context(|| format!("cannot write {}", path.display()))?;
        written = written.saturating_add(u64::try_from(record.len())?);
    }
    let finished = writer
        .into_inner()
        .with_context(|| format!("cannot write {}", path.display()))?;
    finished
        .persist(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    Ok(())
}

fn read(path: PathBuf, kind: Kind, min_bytes: u64) -> anyhow::Result<Corpus> {
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut made = Made::new(kind);
    let (bytes, tally) = tally_of(file, |line| made.add(line))
        .with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        bytes >= min_bytes,
        "{} holds {bytes} bytes instead of {min_bytes}: remove it",
        path.display()
    );
    let made = made.finish();
    Ok(Corpus {
        path,
        bytes,
        tally,
        made,
    })
}

/// Counts the bytes and the newline-terminated lines of `source`, and gives each line to `each`.
fn tally_of(mut source: impl Read, mut each: impl FnMut(&[u8])) -> std::io::Result<(u64, Tally)> {
    let mut tally = Tally::default();
    let mut add = |line: &[u8]| {
        tally.add(line);
        each(line);
    };
    let mut bytes: u64 = 0;
    let mut window = vec![0; READ_BYTES];
    let mut partial: Vec<u8> = Vec::new();
    loop {
        let count = source.read(&mut window)?;
        let Some(mut rest) = window.get(..count).filter(|read| !read.is_empty()) else {
            return Ok((bytes, tally));
        };
        bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        while let Some((line, after)) =
            memchr::memchr(b'\n', rest).and_then(|at| rest.split_at_checked(at))
        {
            if partial.is_empty() {
                add(line);
            } else {
                partial.extend_from_slice(line);
                add(&partial);
                partial.clear();
            }
            rest = after.get(1..).unwrap_or_default();
        }
        partial.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_corpus_is_the_one_that_would_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let made = prepare(dir.path(), Kind::Access, 3_000_000, 5).unwrap();
        let modified = std::fs::metadata(&made.path).unwrap().modified().unwrap();
        let kept = prepare(dir.path(), Kind::Access, 3_000_000, 5).unwrap();
        assert_eq!((made.bytes, made.tally), (kept.bytes, kept.tally));
        assert_eq!(made.made, made.tally);
        assert_eq!(
            std::fs::metadata(&kept.path).unwrap().modified().unwrap(),
            modified
        );
        assert!((3_000_000..3_001_024).contains(&made.bytes));
        assert_eq!(made.tally.line_bytes + made.tally.lines, made.bytes);
    }

    #[test]
    fn a_cut_corpus_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let made = prepare(dir.path(), Kind::Access, 10_000, 5).unwrap();
        File::options()
            .write(true)
            .open(&made.path)
            .unwrap()
            .set_len(5_000)
            .unwrap();
        let error = prepare(dir.path(), Kind::Access, 10_000, 5).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("holds 5000 bytes instead of 10000"),
            "{error}"
        );
    }

    #[test]
    fn lines_are_counted_across_reads() {
        let mut text = vec![b'x'; READ_BYTES + 10];
        text.extend_from_slice(b"\n\nabc\nunfinished");
        let (bytes, tally) = tally_of(text.as_slice(), |_| ()).unwrap();
        let mut expected = Tally::default();
        for line in [vec![b'x'; READ_BYTES + 10], Vec::new(), b"abc".to_vec()] {
            expected.add(&line);
        }
        assert_eq!(bytes, text.len() as u64);
        assert_eq!(tally, expected);
    }
}
