//! As much of HTTP/1.1 as shippers use to push: requests with a length, on a kept connection.

use std::io::{BufRead, Read, Write};

use anyhow::{Context, bail, ensure};

const MAX_LINE_BYTES: u64 = 16 << 10;
const MAX_HEADER_LINES: usize = 100;
/// The longest body that is read, compressed; far above any batch, far below memory.
pub(crate) const MAX_BODY_BYTES: usize = 64 << 20;

/// How the entries of a request are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// A snappy block of protobuf.
    SnappyProtobuf,
    /// Plain JSON.
    Json,
}

/// The head of a request; its body stands in the `body` that was given to [`read_request`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The method, as sent.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// How the body is written.
    pub encoding: Encoding,
}

/// Reads one request and its body; `None` when the connection ended between two requests.
///
/// # Errors
/// When the bytes are no request, or one with a body of unknown or excessive length, or when the
/// connection fails.
pub(crate) fn read_request(
    source: &mut impl BufRead,
    body: &mut Vec<u8>,
) -> anyhow::Result<Option<Head>> {
    let Some(request_line) = read_line(source)? else {
        return Ok(None);
    };
    let mut words = request_line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        bail!("request line without a path");
    };
    let mut length = 0;
    let mut encoding = Encoding::SnappyProtobuf;
    for _ in 0..MAX_HEADER_LINES {
        let line = read_line(source)?.context("connection ended inside a request")?;
        if line.is_empty() {
            body.resize(length, 0);
            source
                .read_exact(body)
                .context("connection ended inside a body")?;
            return Ok(Some(Head {
                method: method.to_owned(),
                path: path.to_owned(),
                encoding,
            }));
        }
        let (name, value) = line.split_once(':').context("header without a colon")?;
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => {
                length = value.parse().context("length is not a number")?;
                ensure!(
                    length <= MAX_BODY_BYTES,
                    "body longer than {MAX_BODY_BYTES} bytes"
                );
            }
            ("content-type", value) if value.starts_with("application/json") => {
                encoding = Encoding::Json;
            }
            ("content-encoding", value) if value != "snappy" && value != "identity" => {
                bail!("content encoding is not one this receiver reads");
            }
            ("transfer-encoding", _) => bail!("body without a length"),
            _ => {}
        }
    }
    bail!("more than {MAX_HEADER_LINES} headers")
}

/// One line without its ending; `None` at the end of the connection.
fn read_line(source: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    let mut line = Vec::new();
    source
        .take(MAX_LINE_BYTES)
        .read_until(b'\n', &mut line)
        .context("cannot read a request")?;
    if line.is_empty() {
        return Ok(None);
    }
    let line = line
        .strip_suffix(b"\n")
        .context("header line cut off or too long")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

/// Answers that a push was taken.
///
/// # Errors
/// When the connection fails.
pub(crate) fn answer_no_content(sink: &mut impl Write) -> std::io::Result<()> {
    sink.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
}

/// Answers with a body and ends the connection.
///
/// # Errors
/// When the connection fails.
pub(crate) fn answer_last(sink: &mut impl Write, status: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    answer.extend_from_slice(body);
    sink.write_all(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> anyhow::Result<Vec<(String, Encoding, Vec<u8>)>> {
        let mut requests = Vec::new();
        let mut body = Vec::new();
        while let Some(head) = read_request(&mut bytes, &mut body)? {
            requests.push((
                format!("{} {}", head.method, head.path),
                head.encoding,
                body.clone(),
            ));
        }
        Ok(requests)
    }

    #[test]
    fn requests_on_one_connection_are_read_one_after_the_other() {
        let requests = read(
            b"POST /loki/api/v1/push HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc\
              POST /push HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\
              GET /report HTTP/1.1\r\n\r\n",
        );
        assert_eq!(
            requests.unwrap(),
            [
                (
                    "POST /loki/api/v1/push".to_owned(),
                    Encoding::SnappyProtobuf,
                    b"abc".to_vec()
                ),
                ("POST /push".to_owned(), Encoding::Json, b"{}".to_vec()),
                (
                    "GET /report".to_owned(),
                    Encoding::SnappyProtobuf,
                    Vec::new()
                ),
            ]
        );
    }

    #[test]
    fn requests_that_cannot_be_read_are_errors() {
        for request in [
            "POST\r\n\r\n",
            "POST / HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Encoding: gzip\r\n\r\n",
            "POST / HTTP/1.1\r\nno colon\r\n\r\n",
        ] {
            assert!(read(request.as_bytes()).is_err(), "{request:?}");
        }
        assert!(read(&vec![b'x'; 20_000]).is_err());
    }
}
