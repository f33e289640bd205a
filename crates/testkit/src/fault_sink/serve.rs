//! The server: decides what becomes of a request, stores it, and answers.

use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::http::{self, HttpRequest};
use super::loki::{self, Push};
use super::script::{Answer, Commit, Mode, Stored};
use super::state::{Given, Request};
use super::times::Times;
use super::{Inner, Shared, wording};

/// Serves until it is told to stop; every connection ends with the runtime.
pub(super) async fn serve(
    listener: StdTcpListener,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connection = 0;
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                // A client that goes away in the middle is what this sink is made to provoke; one
                // that sends no HTTP finds its connection closed.
                drop(Box::pin(converse(stream, connection, &shared)).await);
            });
            connection += 1;
        }
    }
}

/// Answers the requests of one connection, one after another.
async fn converse(stream: TcpStream, connection: u64, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = http::read_request(&mut stream).await? {
        let reply = decide(&request, connection, shared);
        let is_last = request.header("connection") == Some("close");
        match give(&mut stream, reply).await? {
            Connection::Open if !is_last => {}
            Connection::Open | Connection::Ended => break,
        }
    }
    Ok(())
}

enum Connection {
    Open,
    Ended,
}

/// What the client hears, with the words of the answer.
struct Reply {
    answer: Answer,
    body: String,
}

impl Reply {
    fn status(code: u16, body: impl Into<String>) -> Self {
        Self {
            answer: Answer::Status {
                code,
                retry_after: None,
            },
            body: body.into(),
        }
    }
}

/// What becomes of a request: the answer, the lines it held, and those that are stored.
struct Decision {
    reply: Reply,
    entries: usize,
    commit: Vec<Push>,
}

impl Decision {
    fn refuse(reply: Reply, entries: usize) -> Self {
        Self {
            reply,
            entries,
            commit: Vec::new(),
        }
    }
}

/// Decides what becomes of a request, and stores it, before anything is answered.
fn decide(request: &HttpRequest, connection: u64, shared: &Shared) -> Reply {
    if request.method == "GET" && request.path == "/ready" {
        return Reply::status(200, "ready\n");
    }
    let is_push = request.method == "POST"
        && ["/loki/api/v1/push", "/api/prom/push"].contains(&&*request.path);
    // Decoded without the lock: a large body must not hold up a test that looks at the state.
    let pushes = is_push.then(|| {
        loki::decode(
            request.header("content-type"),
            request.header("content-encoding"),
            &request.body,
        )
    });
    let mut inner = shared.lock();
    let decision = match pushes {
        None => Decision::refuse(Reply::status(404, "404 page not found\n"), 0),
        Some(pushes) => decide_push(request, pushes, &mut inner),
    };
    let record = Request {
        number: 0,
        connection,
        method: request.method.clone(),
        path: request.path.clone(),
        headers: request.headers.clone(),
        body_bytes: request.body.len(),
        entries: u64::try_from(decision.entries).unwrap_or(u64::MAX),
        committed_entries: 0,
        given: given(&decision.reply.answer),
    };
    inner.state.record(record, decision.commit);
    drop(inner);
    shared.changed.notify_all();
    decision.reply
}

fn given(answer: &Answer) -> Given {
    match answer {
        Answer::Status { code, .. } => Given::Status(*code),
        Answer::Drip { code, .. } => Given::Dripped(*code),
        Answer::Half => Given::Half,
        Answer::Close => Given::Closed,
        Answer::Reset => Given::Reset,
        Answer::Hang => Given::Hung,
    }
}

fn decide_push(
    request: &HttpRequest,
    pushes: Result<Vec<Push>, String>,
    inner: &mut Inner,
) -> Decision {
    let rules = &inner.script.rules;
    if let Some(token) = &rules.bearer
        && request.header("authorization") != Some(&format!("Bearer {token}"))
    {
        return Decision::refuse(Reply::status(401, "no credentials provided\n"), 0);
    }
    let body_bytes = request.body.len();
    if let Some(max_bytes) = rules.max_body_bytes
        && body_bytes > max_bytes
    {
        let text = wording::too_large(body_bytes, max_bytes);
        return Decision::refuse(Reply::status(413, text), 0);
    }
    let pushes = match pushes {
        Ok(pushes) => pushes,
        Err(error) => return Decision::refuse(Reply::status(400, error + "\n"), 0),
    };
    if let Some(mode) = rules.tenants.get(tenant(request)) {
        return follow(mode.clone(), pushes);
    }
    let poison = rules.poison.clone();
    match poison.filter(|poison| pushes.iter().any(|push| poison.is_in(&push.line))) {
        Some(poison) if poison.others == Stored::Nothing => {
            let text = wording::refusal(&pushes, &poison);
            Decision::refuse(Reply::status(400, text), pushes.len())
        }
        Some(poison) => {
            let text = wording::partial_refusal(&pushes, &poison, tenant(request));
            let mut decision = follow(inner.script.next_mode(), pushes);
            decision.commit.retain(|push| !poison.is_in(&push.line));
            if given(&decision.reply.answer).is_acknowledgment() {
                decision.reply = Reply::status(400, text);
            }
            decision
        }
        None => match rules.times {
            Some(times) => sift(times, tenant(request), pushes, inner),
            None => follow(inner.script.next_mode(), pushes),
        },
    }
}

/// Stores what Loki takes by its time, where the mode stores anything at all.
fn sift(times: Times, tenant: &str, pushes: Vec<Push>, inner: &mut Inner) -> Decision {
    let entries = pushes.len();
    let mut decision = follow(inner.script.next_mode(), pushes);
    let pushes = std::mem::take(&mut decision.commit);
    let (stored, said) = times.sift(pushes, tenant, &mut inner.newest);
    decision.commit = stored;
    decision.entries = entries;
    if let Some(said) = said.filter(|_| given(&decision.reply.answer).is_acknowledgment()) {
        decision.reply = Reply::status(400, said);
    }
    decision
}

fn follow(mode: Mode, pushes: Vec<Push>) -> Decision {
    let entries = pushes.len();
    let body = match &mode.answer {
        Answer::Status { code: 429, .. } => wording::rate_limit(&pushes),
        Answer::Status { code, .. } | Answer::Drip { code, .. } => {
            format!("{}\n", http::reason(*code))
        }
        Answer::Half | Answer::Close | Answer::Reset | Answer::Hang => String::new(),
    };
    Decision {
        reply: Reply {
            answer: mode.answer,
            body,
        },
        entries,
        commit: match mode.commit {
            Commit::Everything => pushes,
            Commit::Nothing => Vec::new(),
        },
    }
}

fn tenant(request: &HttpRequest) -> &str {
    request.header("x-scope-orgid").unwrap_or("fake")
}

/// Lets the client hear the answer.
async fn give(stream: &mut BufReader<TcpStream>, reply: Reply) -> Result<Connection> {
    let socket = stream.get_mut();
    match reply.answer {
        Answer::Status { code, retry_after } => {
            let bytes = http::response(code, retry_after.as_deref(), &reply.body);
            socket.write_all(&bytes).await?;
            Ok(Connection::Open)
        }
        Answer::Drip { code, interval } => {
            for byte in http::response(code, None, &reply.body) {
                tokio::time::sleep(interval).await;
                socket.write_all(&[byte]).await?;
            }
            Ok(Connection::Open)
        }
        Answer::Half => {
            let bytes = http::response(204, None, "");
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            socket.write_all(half).await?;
            Ok(Connection::Ended)
        }
        Answer::Close => Ok(Connection::Ended),
        Answer::Reset => {
            // Without lingering, closing sends a reset.
            socket.set_zero_linger()?;
            Ok(Connection::Ended)
        }
        Answer::Hang => {
            // Until the client gives up; whatever else it sends is not answered either.
            let mut ignored = [0; 1024];
            while socket.read(&mut ignored).await? > 0 {}
            Ok(Connection::Ended)
        }
    }
}
