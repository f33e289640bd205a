//! The first lines of a file.

use std::io;
use std::path::Path;

use tailwater_record::Span;
use tailwater_tailer::{
    AllowedRoots, ChunkEnd, Compression, Damage, FrameConfig, FrameState, FrameStats, Framer,
    ListedEnd, ListedFile,
};

/// Bytes that are read, of an archive those that it stands for.
const MAX_BYTES: usize = 1 << 20;

/// A line without its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) span: Span,
    pub(super) text: Vec<u8>,
}

/// The first lines of a file.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) all: Vec<Line>,
    /// Bytes of the file that they are of, decoded.
    pub(super) bytes: u64,
    /// Whether the file goes on.
    pub(super) is_cut: bool,
    pub(super) compression: Option<Compression>,
    /// What is wrong with the archive behind these lines.
    pub(super) damage: Option<Damage>,
}

/// Reads the first whole lines of a file, and of a short one a last line without its end as well.
///
/// # Errors
/// Why the file cannot be opened or read.
pub(super) fn read(path: &Path, frame: &FrameConfig) -> anyhow::Result<Lines> {
    // Who asks has named the file: a link may lead wherever it leads.
    let real = std::fs::canonicalize(path)?;
    let file = ListedFile::open(&real, &AllowedRoots::new([]))?;
    if let Some(packed) = file.packed_as() {
        anyhow::bail!("it is {packed}, which is not read: unpack it first");
    }
    // One more tells whether there are more.
    let mut bytes = vec![0; MAX_BYTES + 1];
    let filled = file.read_from(0).fill(&mut bytes)?;
    let is_cut = filled.bytes > MAX_BYTES;
    bytes.truncate(filled.bytes.min(MAX_BYTES));
    Ok(Lines {
        all: frame_all(&bytes, is_cut, frame),
        bytes: u64::try_from(bytes.len()).map_err(io::Error::other)?,
        is_cut,
        compression: file.compression(),
        damage: match filled.end {
            Some(ListedEnd::Damaged(damage)) if !is_cut => Some(damage),
            Some(ListedEnd::Damaged(_) | ListedEnd::Whole) | None => None,
        },
    })
}

fn frame_all(bytes: &[u8], is_cut: bool, frame: &FrameConfig) -> Vec<Line> {
    let mut place = FrameState::default();
    let (mut scratch, mut stats) = (Vec::new(), FrameStats::default());
    let mut framer = Framer::new(
        frame,
        frame.encoding.resolve(bytes),
        &mut place,
        bytes,
        0,
        if is_cut {
            ChunkEnd::MoreMayFollow
        } else {
            ChunkEnd::Finished
        },
        &mut scratch,
        &mut stats,
    );
    let mut all = Vec::new();
    while let Some(framed) = framer.next() {
        all.push(Line {
            span: framed.span,
            text: framed.line.to_vec(),
        });
    }
    all
}
