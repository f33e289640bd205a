//! The receiver: takes push requests, reads every line of them, and can tell what it got.
//!
//! It runs as a process of its own, on the CPU that the measured program is not on. It answers 204
//! only after the whole request is decompressed, decoded and hashed, as a backend would; what it
//! has counted is read over the same port.

pub(crate) mod decode;
mod http;
pub(crate) mod record;

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use snap::raw::{Decoder, decompress_len};

use self::http::{Encoding, Head};
use self::record::RequestRecord;
pub(crate) use self::record::{Delays, Progress, Record};
use crate::clock;

/// The path that answers with [`Progress`].
pub(crate) const PROGRESS_PATH: &str = "/progress";
/// The path that answers with [`Delays`].
pub(crate) const DELAYS_PATH: &str = "/delays";

const READ_BYTES: usize = 256 << 10;
const MAX_CONNECTIONS: usize = 256;
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

/// A listening receiver.
#[derive(Debug)]
pub(crate) struct Receiver {
    listener: TcpListener,
    address: SocketAddr,
    record: Record,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn bind() -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        let address = listener.local_addr().context("cannot tell the port")?;
        Ok(Self {
            listener,
            address,
            record: Record::default(),
            connections: Arc::default(),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process ends, each connection on a thread of its own.
    pub(crate) fn serve(&self) {
        for stream in self.listener.incoming().filter_map(Result::ok) {
            if self.connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let record = self.record.clone();
            let connections = Arc::clone(&self.connections);
            std::thread::spawn(move || {
                // A connection that breaks is no refusal: what was not answered, the sender has.
                if serve_connection(&stream, &record).is_err_and(|error| !is_broken(&error)) {
                    record.refuse();
                }
                connections.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

/// Runs a receiver until standard input ends; prints its address as the first line of `announce`.
///
/// # Errors
/// When it cannot listen or print.
pub(crate) fn run(announce: &mut impl Write) -> anyhow::Result<()> {
    let receiver = Receiver::bind()?;
    writeln!(announce, "{}", receiver.address()).context("cannot print the address")?;
    announce.flush().context("cannot print the address")?;
    std::thread::spawn(move || receiver.serve());
    // The parent holds the other end: it ends when the parent does, however that comes about.
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())
        .context("cannot read standard input")?;
    Ok(())
}

fn is_broken(error: &anyhow::Error) -> bool {
    error.root_cause().is::<std::io::Error>()
}

fn serve_connection(stream: &TcpStream, record: &Record) -> anyhow::Result<()> {
    stream
        .set_nodelay(true)
        .context("cannot set an option of the connection")?;
    let mut source = BufReader::with_capacity(READ_BYTES, stream);
    let mut sink = stream;
    let mut body = Vec::new();
    let mut decompressed = Vec::new();
    loop {
        let head = match http::read_request(&mut source, &mut body) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(error) => {
                http::answer_last(&mut sink, "400 Bad Request", error.to_string().as_bytes())?;
                return Err(error);
            }
        };
        if head.method != "POST" {
            return answer_query(&mut sink, &head, record);
        }
        let mut request = RequestRecord::new(clock::monotonic_ns());
        if let Err(error) = count_lines(head.encoding, &body, &mut decompressed, &mut request) {
            http::answer_last(&mut sink, "400 Bad Request", error.to_string().as_bytes())?;
            return Err(error);
        }
        record.accept(&request, clock::monotonic_ns());
        http::answer_no_content(&mut sink)?;
    }
}

fn answer_query(sink: &mut impl Write, head: &Head, record: &Record) -> anyhow::Result<()> {
    let (status, body) = match head.path.as_str() {
        PROGRESS_PATH => ("200 OK", serde_json::to_vec(&record.progress())?),
        DELAYS_PATH => ("200 OK", serde_json::to_vec(&record.delays())?),
        // Some shippers ask whether the backend is ready before they push.
        "/ready" => ("200 OK", b"ready\n".to_vec()),
        _ => ("404 Not Found", Vec::new()),
    };
    http::answer_last(sink, status, &body).context("cannot answer")
}

fn count_lines(
    encoding: Encoding,
    body: &[u8],
    decompressed: &mut Vec<u8>,
    request: &mut RequestRecord,
) -> anyhow::Result<()> {
    match encoding {
        Encoding::Json => decode::for_each_json_line(body, |line| request.add(line)),
        Encoding::SnappyProtobuf => {
            let length = decompress_len(body).context("body is not snappy")?;
            ensure!(length <= MAX_DECOMPRESSED_BYTES, "body of {length} bytes");
            decompressed.resize(length, 0);
            Decoder::new()
                .decompress(body, decompressed)
                .context("body is not snappy")?;
            decode::for_each_line(decompressed, |line| request.add(line))
        }
    }
}

/// Reads what the receiver at `address` answers on `path`.
///
/// # Errors
/// When it cannot be reached or answers anything but that.
pub(crate) fn query<T: serde::de::DeserializeOwned>(
    address: SocketAddr,
    path: &str,
) -> anyhow::Result<T> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .context("cannot ask the receiver")?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .context("cannot read the receiver's answer")?;
    let body = memchr::memmem::find(&answer, b"\r\n\r\n").and_then(|at| answer.get(at + 4..));
    serde_json::from_slice(body.unwrap_or_default())
        .with_context(|| format!("receiver answered something else on {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving() -> SocketAddr {
        let receiver = Receiver::bind().unwrap();
        let address = receiver.address();
        std::thread::spawn(move || receiver.serve());
        address
    }

    fn push(address: SocketAddr, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /loki/api/v1/push HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(body).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_push_is_counted_before_it_is_answered() {
        let address = serving();
        let request = [0x0a, 6, 0x12, 4, 0x12, 2, b'h', b'i'];
        let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
        assert!(push(address, &body).starts_with("HTTP/1.1 204 "));

        let progress: Progress = query(address, PROGRESS_PATH).unwrap();
        let mut expected = crate::tally::Tally::default();
        expected.add(b"hi");
        assert_eq!(progress.tally, expected);
        assert_eq!((progress.requests, progress.refused), (1, 0));
        let delays: Delays = query(address, DELAYS_PATH).unwrap();
        assert_eq!(delays, Delays::default());
    }

    #[test]
    fn bodies_that_cannot_be_decoded_are_refused_and_not_counted() {
        let address = serving();
        let not_protobuf = snap::raw::Encoder::new().compress_vec(&[0xff; 30]).unwrap();
        for body in [
            b"not snappy".as_slice(),
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &not_protobuf,
        ] {
            assert!(push(address, body).starts_with("HTTP/1.1 400 "));
        }
        let progress: Progress = query(address, PROGRESS_PATH).unwrap();
        assert_eq!((progress.requests, progress.tally.lines), (0, 0));
    }

    #[test]
    fn an_unknown_query_is_an_error() {
        assert!(query::<Progress>(serving(), "/unknown").is_err());
    }
}
