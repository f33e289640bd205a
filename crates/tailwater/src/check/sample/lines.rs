//! The first lines of a file.

use std::io;
use std::path::Path;

use tailwater_record::Span;
use tailwater_tailer::archive::{Head, HeadEnd, read_head};
use tailwater_tailer::open::open_log;
use tailwater_tailer::{
    AllowedRoots, ChunkEnd, Compression, Damage, FrameConfig, FrameState, FrameStats, Framer,
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
    let opened = open_log(&real, &AllowedRoots::new([]))?;
    Ok(lines_of(read_head(&opened.file, MAX_BYTES)?, frame)?)
}

fn lines_of(head: Head, frame: &FrameConfig) -> io::Result<Lines> {
    let Head {
        bytes,
        compression,
        end,
    } = head;
    let is_cut = end == HeadEnd::Cut;
    let mut place = FrameState::default();
    let (mut scratch, mut stats) = (Vec::new(), FrameStats::default());
    let mut framer = Framer::new(
        frame,
        frame.encoding.resolve(&bytes),
        &mut place,
        &bytes,
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
    Ok(Lines {
        all,
        bytes: u64::try_from(bytes.len()).map_err(io::Error::other)?,
        is_cut,
        compression,
        damage: match end {
            HeadEnd::Damaged(damage) => Some(damage),
            HeadEnd::Whole | HeadEnd::Cut => None,
        },
    })
}
