//! What a run would do.

use std::io::{self, Write};

use tailwater_tailer::pattern::Found;
use tailwater_tailer::{AllowedRoots, Compression};

use super::choose::Chosen;
use super::content;
use super::stored::Stored;
use crate::check::{bytes_in_words, printable};

/// Lists the files as they would be read, and those that would not.
pub(super) fn print(
    chosen: &Chosen,
    former: &Stored,
    roots: &AllowedRoots,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut files = 0_usize;
    let mut bytes = 0_u64;
    for log in &chosen.logs {
        writeln!(out, "{}", printable(&log.live))?;
        for file in &log.files {
            let what = describe(file, former, roots);
            let size = bytes_in_words(file.len);
            writeln!(out, "  {size:>10}  {}  {what}", printable(&file.path))?;
            files += 1;
            bytes = bytes.saturating_add(file.len);
        }
    }
    for error in &chosen.unreadable {
        let reason = error.reason.escape_debug();
        writeln!(out, "not readable: {}: {reason}", printable(&error.path))?;
    }
    for skipped in &chosen.skipped {
        let path = printable(&skipped.path);
        writeln!(out, "skipped: {path}: {}", skipped.reason.words())?;
    }
    let noun = if files == 1 { "file" } else { "files" };
    writeln!(
        out,
        "{files} {noun}, {} in all; nothing was sent",
        bytes_in_words(bytes)
    )
}

/// Says how a file is compressed, and where reading it would begin.
fn describe(file: &Found, former: &Stored, roots: &AllowedRoots) -> String {
    let opened = match content::open(&file.path, roots) {
        Ok(opened) => opened,
        Err(error) => return format!("not readable: {error}").escape_debug().to_string(),
    };
    if let Some(packed) = opened.packed_as() {
        return format!("not readable: it is {packed}, which is not read: unpack it first");
    }
    let form = match opened.compression() {
        None => "plain",
        Some(Compression::Gzip) => "gzip",
        Some(Compression::Zlib) => "zlib",
        Some(Compression::Bzip2) => "bzip2",
        Some(Compression::Zstd) => "zstd",
        Some(Compression::Xz) => "xz",
    };
    match former.position(&opened) {
        Some(position) if Stored::is_at_end(&opened, position) => {
            format!("{form}, delivered already")
        }
        Some(position) if position.offset > 0 => {
            format!("{form}, from byte {} of its text on", position.offset)
        }
        Some(_) | None => format!("{form}, all of it"),
    }
}
