//! The limit program: the least work that takes a file to Loki.
//!
//! One thread reads, splits, encodes, compresses, sends, and waits for the answer. It keeps no
//! position, follows no rotation and retries nothing, so no shipper does less; what an agent costs
//! is told as a ratio to it, which carries between machines where seconds do not.

mod push_request;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use snap::raw::{Encoder, max_compress_len};

use self::push_request::PushRequest;
use crate::clock;

const READ_BYTES: usize = 1 << 20;
const BATCH_BYTES: usize = 1 << 20;
const MAX_ANSWER_BYTES: usize = 16 << 10;
/// Half a minute without an answer is a failure of the receiver, not a slow one.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Sends every newline-terminated line of `path` to the receiver at `address`.
///
/// When it returns, each batch has been answered with 204.
///
/// # Errors
/// When the file cannot be read, or a request cannot be sent or is answered otherwise.
pub(crate) fn run(path: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut shipper = Shipper::connect(address)?;
    let mut window = vec![0; READ_BYTES];
    // The start of a line whose end has not been read yet stands at the front of the window.
    let mut held = 0;
    loop {
        let room = window.get_mut(held..).unwrap_or_default();
        ensure!(
            !room.is_empty(),
            "a line of {} is longer than {READ_BYTES} bytes",
            path.display()
        );
        let count = file
            .read(room)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if count == 0 {
            return shipper.send();
        }
        let filled = held + count;
        let consumed = shipper.add_lines(window.get(..filled).unwrap_or_default())?;
        window.copy_within(consumed..filled, 0);
        held = filled - consumed;
    }
}

/// The open batch and the connection it will be sent on.
struct Shipper {
    stream: TcpStream,
    head: String,
    request: PushRequest,
    encoder: Encoder,
    compressed: Vec<u8>,
    next_ns: u64,
}

impl Shipper {
    fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream
            .set_nodelay(true)
            .context("cannot set an option of the connection")?;
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .context("cannot set an option of the connection")?;
        Ok(Self {
            stream,
            head: format!(
                "POST /loki/api/v1/push HTTP/1.1\r\nHost: {address}\r\n\
                 Content-Type: application/x-protobuf\r\nContent-Length: "
            ),
            request: PushRequest::new("{job=\"bench\"}"),
            encoder: Encoder::new(),
            compressed: Vec::new(),
            next_ns: clock::unix_ns(),
        })
    }

    /// Takes the whole lines of `bytes`; returns how many bytes they and their newlines are.
    fn add_lines(&mut self, bytes: &[u8]) -> anyhow::Result<usize> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.request
                .add(self.next_ns, bytes.get(start..end).unwrap_or_default());
            self.next_ns = self.next_ns.saturating_add(1);
            start = end + 1;
            if self.request.entry_bytes() >= BATCH_BYTES {
                self.send()?;
            }
        }
        Ok(start)
    }

    /// Sends the open batch, if it holds a line, and waits for its answer.
    fn send(&mut self) -> anyhow::Result<()> {
        if self.request.entry_bytes() == 0 {
            return Ok(());
        }
        let body = self.request.seal();
        self.compressed.resize(max_compress_len(body.len()), 0);
        let length = self.encoder.compress(body, &mut self.compressed)?;
        self.request.clear();
        let head = format!("{}{length}\r\n\r\n", self.head);
        self.stream
            .write_all(head.as_bytes())
            .context("cannot send a request")?;
        let compressed = self.compressed.get(..length).unwrap_or_default();
        self.stream
            .write_all(compressed)
            .context("cannot send a request")?;
        expect_no_content(&mut self.stream)
    }
}

fn expect_no_content(stream: &mut impl Read) -> anyhow::Result<()> {
    let mut answer = Vec::new();
    let mut window = [0; 1024];
    while !answer.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut window).context("cannot read an answer")?;
        ensure!(count > 0, "connection closed before an answer");
        answer.extend_from_slice(window.get(..count).unwrap_or_default());
        ensure!(
            answer.len() <= MAX_ANSWER_BYTES,
            "answer longer than {MAX_ANSWER_BYTES} bytes"
        );
    }
    if !answer.starts_with(b"HTTP/1.1 204 ") {
        let status = answer
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        bail!("request refused: {}", String::from_utf8_lossy(status));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::{PROGRESS_PATH, Progress, Receiver, query};

    #[test]
    fn every_line_of_the_file_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let corpus =
            crate::corpus::prepare(dir.path(), crate::kind::Kind::Access, 5_000_000, 11).unwrap();
        let receiver = Receiver::bind().unwrap();
        let address = receiver.address();
        std::thread::spawn(move || receiver.serve());

        run(&corpus.path, address).unwrap();

        let progress: Progress = query(address, PROGRESS_PATH).unwrap();
        assert_eq!(progress.tally, corpus.tally);
        assert_eq!(progress.requests, 6);
    }

    #[test]
    fn an_answer_other_than_204_is_an_error() {
        let refused = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        let error = expect_no_content(&mut refused.as_slice()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "request refused: HTTP/1.1 503 Service Unavailable"
        );
        let cut = b"HTTP/1.1 204 No";
        assert!(expect_no_content(&mut cut.as_slice()).is_err());
        assert!(expect_no_content(&mut b"HTTP/1.1 204 No Content\r\n\r\n".as_slice()).is_ok());
    }
}
