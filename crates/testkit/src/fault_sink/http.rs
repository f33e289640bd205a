//! As much of HTTP/1.1 as a client of the push API uses.

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const MAX_HEAD_LINE_BYTES: u64 = 64 * 1024;
const MAX_HEADERS: usize = 100;
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// One request, read whole.
#[derive(Debug)]
pub(super) struct HttpRequest {
    pub(super) method: String,
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl HttpRequest {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }
}

/// Reads the next request of a connection; `None` where the client has closed it.
pub(super) async fn read_request(stream: &mut BufReader<TcpStream>) -> Result<Option<HttpRequest>> {
    let Some(request_line) = read_line(stream).await? else {
        return Ok(None);
    };
    let mut words = request_line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words
        .next()
        .context("no path in the request line")?
        .to_owned();
    let version = words.next().unwrap_or_default();
    ensure!(version == "HTTP/1.1", "not HTTP/1.1: {version:?}");
    let mut request = HttpRequest {
        method,
        path,
        headers: read_headers(stream).await?,
        body: Vec::new(),
    };
    if request.header("expect").is_some() {
        let head = b"HTTP/1.1 100 Continue\r\n\r\n";
        stream.get_mut().write_all(head).await?;
    }
    request.body = read_body(stream, &request).await?;
    Ok(Some(request))
}

async fn read_headers(stream: &mut BufReader<TcpStream>) -> Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    while headers.len() < MAX_HEADERS {
        let line = read_line(stream).await?.context("headers end too early")?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').context("no colon in a header")?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    bail!("more than {MAX_HEADERS} headers");
}

async fn read_body(stream: &mut BufReader<TcpStream>, request: &HttpRequest) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = read_line(stream).await?.context("no size of a chunk")?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).context("bad size of a chunk")?;
            read_into(stream, &mut body, size).await?;
            let end = read_line(stream).await?.context("no end of a chunk")?;
            ensure!(end.is_empty(), "a chunk is longer than its size");
            if size == 0 {
                return Ok(body);
            }
        }
    }
    if let Some(length) = request.header("content-length") {
        let length = length.parse().context("bad content-length")?;
        read_into(stream, &mut body, length).await?;
    }
    Ok(body)
}

async fn read_into(
    stream: &mut BufReader<TcpStream>,
    body: &mut Vec<u8>,
    count: usize,
) -> Result<()> {
    let total = body.len().saturating_add(count);
    ensure!(
        total <= MAX_BODY_BYTES,
        "body of more than {MAX_BODY_BYTES} bytes"
    );
    let limit = u64::try_from(count).context("body too large")?;
    let read = stream.take(limit).read_to_end(body).await?;
    ensure!(read == count, "body ends too early");
    Ok(())
}

/// Reads a line without its end; `None` at the end of the stream.
async fn read_line(stream: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let mut line = Vec::new();
    let mut limited = stream.take(MAX_HEAD_LINE_BYTES);
    limited.read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\n").context("a line has no end")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some(
        String::from_utf8(line.to_vec()).context("a line is no UTF-8")?,
    ))
}

/// Writes out an answer as its bytes.
pub(super) fn response(code: u16, retry_after: Option<&str>, body: &str) -> Vec<u8> {
    let reason = reason(code);
    let retry_after = match retry_after {
        Some(value) => format!("Retry-After: {value}\r\n"),
        None => String::new(),
    };
    let rest = match code {
        // A 204 has no body and says nothing of its length.
        204 => "\r\n".to_owned(),
        _ => format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    };
    format!("HTTP/1.1 {code} {reason}\r\n{retry_after}{rest}").into_bytes()
}

/// Returns the phrase of a status code.
pub(super) fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Request Entity Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Whatever",
    }
}
