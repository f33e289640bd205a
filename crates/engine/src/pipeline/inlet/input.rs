//! What was read of a stream and is not framed by everyone yet.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use tailwater_tailer::{CHUNK_BYTES, Chunk, ChunkEnd};

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// A stream, without its empty lines and without the carriage returns before its newlines: Promtail
/// sends neither.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    read: Box<[u8]>,
    bytes: Vec<u8>,
    /// At least a whole line with its delimiter.
    max_bytes: usize,
    /// The offset of the first byte.
    start: u64,
    /// Bytes of the line that is not ended yet.
    line_bytes: usize,
    is_ended: bool,
}

impl Input {
    pub(super) fn new(file: File, max_line_bytes: usize) -> Self {
        Self {
            file,
            read: vec![0; READ_BYTES].into_boxed_slice(),
            bytes: Vec::new(),
            max_bytes: CHUNK_BYTES.max(max_line_bytes.saturating_add(4)) + READ_BYTES,
            start: 0,
            line_bytes: 0,
            is_ended: false,
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns whether nothing follows what was read.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Takes what was read for all there is.
    pub(super) fn end(&mut self) {
        if !std::mem::replace(&mut self.is_ended, true) {
            self.trim_line();
        }
    }

    /// Returns the bytes from an offset on.
    pub(super) fn chunk(&self, offset: u64) -> Chunk<'_> {
        let end = if self.is_ended {
            ChunkEnd::Finished
        } else {
            ChunkEnd::MoreMayFollow
        };
        let from = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(from..).unwrap_or_default();
        Chunk::of_stream(bytes, offset, end)
    }

    /// Lets go of the bytes before an offset.
    pub(super) fn forget_before(&mut self, offset: u64) {
        let count = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count);
        self.start += count as u64;
    }

    /// Reads once; nothing where nothing is there, the end where nothing follows.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.bytes.len() + READ_BYTES > self.max_bytes {
            return Ok(());
        }
        let read = match self.file.read(&mut self.read) {
            Ok(0) => {
                self.end();
                return Ok(());
            }
            Ok(read) => read,
            Err(error) => {
                const NOT_YET: [io::ErrorKind; 2] =
                    [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock];
                return if NOT_YET.contains(&error.kind()) {
                    Ok(())
                } else {
                    Err(error)
                };
            }
        };
        let read_buffer = std::mem::take(&mut self.read);
        self.take(read_buffer.get(..read).unwrap_or_default());
        self.read = read_buffer;
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.bytes.extend_from_slice(text);
            self.line_bytes += text.len();
            if is_whole {
                self.trim_line();
                if std::mem::take(&mut self.line_bytes) > 0 {
                    self.bytes.push(b'\n');
                }
            }
        }
    }

    /// Takes the carriage returns off the end of the line.
    fn trim_line(&mut self) {
        while self.line_bytes > 0 && self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
            self.line_bytes -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> Input {
        Input::new(File::open("/dev/null").unwrap(), 100)
    }

    fn text(input: &Input) -> String {
        String::from_utf8(input.chunk(input.start).bytes().to_vec()).unwrap()
    }

    #[test]
    fn empty_lines_and_carriage_returns_are_left_out_however_they_are_cut() {
        let whole = "one\r\n\r\n\n\rtwo\r\r\n  \n\r\nthree\r\n\r";
        for cut in 0..=whole.len() {
            let mut input = input();
            input.take(&whole.as_bytes()[..cut]);
            input.take(&whole.as_bytes()[cut..]);
            input.end();
            assert_eq!(text(&input), "one\n\rtwo\n  \nthree\n", "cut at {cut}");
        }
    }

    #[test]
    fn what_everyone_has_framed_is_let_go_of() {
        let mut input = input();
        input.take(b"one\ntwo\n");
        input.forget_before(4);
        assert_eq!(text(&input), "two\n");
        assert_eq!(input.chunk(6).bytes(), b"o\n");
        assert_eq!(input.chunk(6).offset, 6);
    }

    #[test]
    fn the_end_of_a_stream_is_told() {
        let mut input = input();
        input.fill().unwrap();
        assert!(input.is_ended());
    }
}
