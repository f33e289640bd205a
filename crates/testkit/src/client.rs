//! A small HTTP client for the agent's own endpoints.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Time for connecting, and for each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer at most.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Gets a path over a connection of its own.
///
/// # Errors
/// The server cannot be reached, does not answer in time, or does not speak HTTP.
pub fn get(address: SocketAddr, path: &str) -> Result<Response> {
    let head = format!("GET {path} HTTP/1.1\r\n");
    exchange(address, &head, &[]).with_context(|| format!("cannot get http://{address}{path}"))
}

/// Posts a body over a connection of its own. Each header ends with `\r\n`.
///
/// # Errors
/// The server cannot be reached, does not answer in time, or does not speak HTTP.
pub fn post(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> Result<Response> {
    let head = format!("POST {path} HTTP/1.1\r\n{headers}");
    exchange(address, &head, body).with_context(|| format!("cannot post to http://{address}{path}"))
}

fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let length = body.len();
    let rest = format!("Host: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), rest.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer)?;
    parse(&answer)
}

/// Reads an answer that ends with its connection.
fn parse(answer: &[u8]) -> Result<Response> {
    let head_end = memchr::memmem::find(answer, b"\r\n\r\n").context("the head has no end")?;
    let (head, body) = answer.split_at(head_end);
    let body = body.strip_prefix(b"\r\n\r\n").unwrap_or(body);
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("http/1.1 "))
        .and_then(|line| line.split(' ').next())
        .and_then(|code| code.parse().ok())
        .context("no status line")?;
    let header = |name: &str| {
        let of_line = |line: &str| {
            Some(
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .trim()
                    .to_owned(),
            )
        };
        lines.clone().find_map(of_line)
    };
    let body = if header("transfer-encoding").as_deref() == Some("chunked") {
        join_chunks(body)?
    } else {
        if let Some(length) = header("content-length") {
            ensure!(
                length.parse() == Ok(body.len()),
                "the body is not {length} bytes long"
            );
        }
        body.to_vec()
    };
    Ok(Response { status, body })
}

fn join_chunks(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size_end = memchr::memmem::find(bytes, b"\r\n").context("no size of a chunk")?;
        let (size, rest) = bytes.split_at(size_end);
        let size = usize::from_str_radix(std::str::from_utf8(size)?.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        let (chunk, rest) = rest
            .get(2..)
            .and_then(|rest| rest.split_at_checked(size))
            .context("a chunk is shorter than its size")?;
        body.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n").context("a chunk has no end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_a_length_in_chunks_and_to_their_end() {
        for answer in [
            &b"HTTP/1.1 503 Busy\r\nContent-Length: 7\r\n\r\nwait..."[..],
            b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwait\r\n3\r\n...\r\n0\r\n\r\n",
            b"HTTP/1.1 503 Busy\r\n\r\nwait...",
        ] {
            let response = parse(answer).unwrap();
            assert_eq!((response.status, &*response.text()), (503, "wait..."));
        }
    }

    #[test]
    fn answers_that_end_too_early_are_errors() {
        for answer in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwait",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwa",
            b"SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(
                parse(answer).is_err(),
                "{}",
                String::from_utf8_lossy(answer)
            );
        }
    }
}
