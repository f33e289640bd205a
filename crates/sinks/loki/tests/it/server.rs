//! A Loki that answers by script, in this process.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tailwater_record::{BatchId, EncodedBatch};
use tailwater_sink::{Deliver, SinkSettings as _};
use tailwater_sink_loki::LokiSettings;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the server does with one request, after it has read all of it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes these bytes.
    Answer(Vec<u8>),
    /// Writes these bytes and closes the connection.
    AnswerAndClose(Vec<u8>),
    /// Closes the connection.
    Close,
    /// Says nothing until the client gives up.
    Hang,
}

impl Step {
    /// An answer with a body and further lines of the head.
    pub(crate) fn status(status: &str, head: &str, body: &str) -> Self {
        let len = body.len();
        Self::Answer(
            format!("HTTP/1.1 {status}\r\ncontent-length: {len}\r\n{head}\r\n{body}").into_bytes(),
        )
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Which connection it came over, from 0.
    pub(crate) connection: usize,
    /// The request line.
    pub(crate) line: String,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Returns the value of a header; panics where it stands twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands twice");
        value.map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
struct Shared {
    script: Mutex<VecDeque<Step>>,
    requests: Mutex<Vec<Request>>,
    tls: Option<Acceptor>,
}

struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Acceptor")
    }
}

/// A server whose answers are scripted; when the script is over, it answers 204.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens on a free port of the loopback.
    pub(crate) async fn start(script: impl IntoIterator<Item = Step>) -> Self {
        Self::start_with(script, None).await
    }

    /// Listens with TLS.
    pub(crate) async fn start_tls(config: tokio_rustls::rustls::ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start_with([], Some(Acceptor(acceptor))).await
    }

    async fn start_with(script: impl IntoIterator<Item = Step>, tls: Option<Acceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            requests: Mutex::new(Vec::new()),
            tls,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the requests that came so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connection = 0;
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(greet(socket, connection, Arc::clone(&shared)));
        connection += 1;
    }
}

async fn greet(socket: TcpStream, connection: usize, shared: Arc<Shared>) {
    match &shared.tls {
        None => serve(socket, connection, &shared).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.0.accept(socket).await {
                serve(stream, connection, &shared).await;
            }
        }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    shared: &Shared,
) {
    while let Some(request) = read_request(&mut stream, connection).await {
        shared.requests.lock().unwrap().push(request);
        let next = shared.script.lock().unwrap().pop_front();
        // A client may close before it has read all: that is what some tests are about.
        match next.unwrap_or(Step::Answer(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())) {
            Step::Answer(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::AnswerAndClose(bytes) => {
                stream.write_all(&bytes).await.ok();
                stream.shutdown().await.ok();
                return;
            }
            Step::Close => return,
            Step::Hang => {
                stream.read_u8().await.ok();
                return;
            }
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), connection: usize) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let len = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        connection,
        line,
        headers,
        body,
    })
}

/// Makes a sink for a URL; `more` are further keys of its settings, in JSON, each with a comma before.
pub(crate) fn sink(url: &str, more: &str) -> Arc<dyn Deliver> {
    let settings = format!(r#"{{"url":"{url}","proxy_url":""{more}}}"#);
    let settings: LokiSettings = serde_json::from_str(&settings).unwrap();
    settings.build().unwrap().deliver
}

/// A batch of `records` records; what stands in its body is of no account to a scripted server.
pub(crate) fn batch(records: usize) -> EncodedBatch {
    EncodedBatch {
        id: BatchId(1),
        body: Bytes::from_static(b"the body"),
        tenant: None,
        spans: Vec::new(),
        record_ends: vec![0; records],
    }
}
