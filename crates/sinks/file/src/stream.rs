//! The standard output: bytes that were written cannot be taken back.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use tailwater_record::BatchId;

use crate::failure::AppendError;

/// A stream that batches are written to.
///
/// A batch that was written in part is continued where it stopped when it is sent again; where
/// another comes instead, the torn line is ended first.
#[derive(Debug)]
pub(crate) struct StreamTarget {
    out: Option<File>,
    torn: Option<Torn>,
}

#[derive(Clone, Copy, Debug)]
struct Torn {
    batch: BatchId,
    body_len: usize,
    written: usize,
}

impl StreamTarget {
    /// Takes the standard output; its descriptor is duplicated with the first batch.
    pub(crate) fn standard_output() -> Self {
        Self {
            out: None,
            torn: None,
        }
    }

    /// Writes a batch. The standard output has nothing to sync.
    pub(crate) fn append(&mut self, batch: BatchId, body: &[u8]) -> Result<(), AppendError> {
        let mut written = self.resume(batch, body)?;
        let Some(rest) = body.get(written..) else {
            return Ok(());
        };
        let mut rest_written = 0;
        let result = write_from(self.out()?, rest, &mut rest_written);
        written += rest_written;
        self.torn = (result.is_err() && written > 0).then_some(Torn {
            batch,
            body_len: body.len(),
            written,
        });
        result.map_err(|source| failed("write to", source))
    }

    /// Returns how much of the batch is written already.
    fn resume(&mut self, batch: BatchId, body: &[u8]) -> Result<usize, AppendError> {
        match self.torn {
            Some(torn) if torn.batch == batch && torn.body_len == body.len() => Ok(torn.written),
            Some(_) => {
                let mut written = 0;
                write_from(self.out()?, b"\n", &mut written)
                    .map_err(|source| failed("write to", source))?;
                self.torn = None;
                Ok(0)
            }
            None => Ok(0),
        }
    }

    fn out(&mut self) -> Result<&File, AppendError> {
        if self.out.is_none() {
            let duplicate = io::stdout().as_fd().try_clone_to_owned();
            self.out = Some(File::from(
                duplicate.map_err(|source| failed("duplicate", source))?,
            ));
        }
        self.out
            .as_ref()
            .ok_or_else(|| failed("duplicate", ErrorKind::NotFound.into()))
    }
}

fn failed(step: &'static str, source: io::Error) -> AppendError {
    AppendError::System {
        step,
        path: PathBuf::from("the standard output"),
        source,
    }
}

/// Writes all bytes and counts those that were taken, also when it fails.
///
/// Waits where the descriptor does not block: whoever shares the standard output can have set that.
pub(crate) fn write_from(mut file: &File, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for_room(file.as_fd())?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_for_room(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::OUT)];
    match poll(&mut descriptors, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    use super::*;

    fn onto(writer: io::PipeWriter) -> StreamTarget {
        StreamTarget {
            out: Some(File::from(OwnedFd::from(writer))),
            torn: None,
        }
    }

    #[test]
    fn a_batch_goes_out_as_it_was_encoded() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut target = onto(writer);
        target.append(BatchId(1), b"one\ntwo\n").unwrap();
        drop(target);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "one\ntwo\n");
    }

    #[test]
    fn a_reader_that_is_gone_is_an_outage_to_wait_out() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = onto(writer).append(BatchId(1), b"one\n").unwrap_err();
        assert_eq!(error.reason(), "closed");
    }

    #[test]
    fn a_stream_that_does_not_block_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        let flags = fcntl_getfl(&writer).unwrap();
        fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
        let body = vec![b'\n'; 1 << 20];
        let read = std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut read = Vec::new();
                reader.read_to_end(&mut read).unwrap();
                read
            });
            let mut target = onto(writer);
            target.append(BatchId(1), &body).unwrap();
            drop(target);
            reading.join().unwrap()
        });
        assert!(read == body);
    }

    #[test]
    fn a_batch_that_went_out_in_part_is_continued_when_it_comes_again() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut target = onto(writer);
        target.torn = Some(Torn {
            batch: BatchId(1),
            body_len: 8,
            written: 5,
        });
        target.append(BatchId(1), b"one\ntwo\n").unwrap();
        target.append(BatchId(2), b"three\n").unwrap();
        drop(target);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "wo\nthree\n");
    }

    #[test]
    fn a_torn_line_is_ended_before_another_batch() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut target = onto(writer);
        target.torn = Some(Torn {
            batch: BatchId(1),
            body_len: 8,
            written: 5,
        });
        target.append(BatchId(2), b"three\n").unwrap();
        drop(target);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "\nthree\n");
    }
}
