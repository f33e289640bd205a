//! `tailwater spill salvage`: what is whole of a damaged directory, in a new one.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tailwater_durable::{Disk, Storage};
use tailwater_spill_buffer::{Limits, Read, ReadError, Seq, SpillBuffer, inspect, open};

use super::place::Place;
use super::{counted, hinted, look};
use crate::check::{bytes_in_words, printable};

/// Bytes of payloads that are copied before they are synced.
const SYNC_BYTES: usize = 8 << 20;

/// What was done.
#[derive(Debug, Default)]
struct Salvaged {
    frames: u64,
    bytes: u64,
    lost_frames: u64,
    newer_segments: u64,
    unreadable_segments: u64,
}

/// Copies every frame that can be read into a new directory, under its own number, so that the copy can
/// stand in for the directory. That one is not changed.
///
/// # Durability
/// On `Ok` the copy survives a power cut.
///
/// # Errors
/// The new directory holds something, or a directory cannot be read or written.
pub(super) fn salvage(from: &Path, to: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let place = Place::of(from)?;
    refuse_used(to)?;
    let source = look::open(&place)?;
    let segments = inspect(&*source)?;
    let Some(first) = segments.into_iter().next().map(|segment| segment.first()) else {
        writeln!(out, "{} holds no segment", place.title()).context("cannot print")?;
        return Ok(());
    };
    let (mut damaged, recovery) = open(Arc::clone(&source), Limits::new(u64::MAX), Seq::FIRST)?;
    let target: Arc<dyn Storage> = Arc::new(Disk::open(to)?);
    let (mut whole, _) = open(target, Limits::new(u64::MAX), first)?;
    let salvaged = copy(&mut damaged, &mut whole, first)
        .with_context(|| format!("{} is not finished", printable(to)))?;
    salvaged
        .print(to, recovery.torn_tail_bytes, out)
        .context("cannot print")
}

/// Two spills in one directory would have frames of the same number.
fn refuse_used(to: &Path) -> anyhow::Result<()> {
    let is_unused = match std::fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look at {}", printable(to)));
        }
    };
    let refused = || anyhow::anyhow!("{} is not empty", printable(to));
    ensure!(
        is_unused,
        hinted(refused(), "name a directory that is empty or not there yet")
    );
    Ok(())
}

fn copy(
    damaged: &mut SpillBuffer,
    whole: &mut SpillBuffer,
    first: Seq,
) -> anyhow::Result<Salvaged> {
    let mut salvaged = Salvaged::default();
    let mut unsynced_bytes = 0;
    let mut at = first;
    loop {
        match damaged.read(at) {
            Ok(Read::Frame { seq, payload }) => {
                whole.reserve(seq)?;
                whole.append(&[&payload])?;
                unsynced_bytes += payload.len();
                if unsynced_bytes >= SYNC_BYTES {
                    whole.sync()?;
                    unsynced_bytes = 0;
                }
                salvaged.frames += 1;
                salvaged.bytes += payload.len() as u64;
                at = seq.next();
            }
            Ok(Read::Lost { first, next }) => {
                salvaged.lost_frames += next.0.saturating_sub(first.0);
                at = next;
            }
            Ok(Read::Newer { next, .. }) => {
                salvaged.newer_segments += 1;
                at = next;
            }
            Err(ReadError::Storage { next, .. }) => {
                salvaged.unreadable_segments += 1;
                at = next;
            }
            Err(error) => return Err(error.into()),
            Ok(Read::End) => break,
        }
    }
    whole.sync()?;
    Ok(salvaged)
}

impl Salvaged {
    fn print(&self, to: &Path, torn_tail_bytes: u64, out: &mut dyn Write) -> std::io::Result<()> {
        let frames = counted(self.frames, "batch");
        let bytes = bytes_in_words(self.bytes);
        writeln!(out, "{frames}, {bytes}, salvaged to {}", printable(to))?;
        for (count, what, noun) in [
            (self.lost_frames, "lost, damaged or missing", "batch"),
            (
                self.newer_segments,
                "left out, of a newer version",
                "segment",
            ),
            (
                self.unreadable_segments,
                "left out, not readable",
                "segment",
            ),
            (torn_tail_bytes, "left out, unfinished at the end", "byte"),
        ] {
            if count > 0 {
                writeln!(out, "{what}: {}", counted(count, noun))?;
            }
        }
        Ok(())
    }
}
