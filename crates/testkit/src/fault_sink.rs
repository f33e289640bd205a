//! A Loki that fails on command and knows what it has stored.
//!
//! It speaks the push API over HTTP/1.1 on a loopback port, with a decoder of its own, so that the
//! agent's encoder is checked by somebody else's reading of the format. What it does with a request
//! is said by a [`Script`], which may change while it runs: store it or not, and answer, reset,
//! hang, drip or close. What it has stored and what it has answered is in [`SinkState`], so a line
//! that was lost, one that was sent twice, and one that was sent twice because the sink had lied are
//! told apart.

mod http;
mod labels;
mod loki;
mod protobuf;
mod script;
mod serve;
mod state;
mod tally;
mod times;
mod wording;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::oneshot;

pub use script::{Answer, Commit, Mode, Poison, Rules, Script, Stored};
pub use state::{Entry, Given, Keep, Request, SinkState};
pub use tally::{Copies, FileTally, Tally};
pub use times::Times;

/// A running fault sink; stopped when it is dropped.
#[derive(Debug)]
pub struct FaultSink {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Option<Server>,
}

#[derive(Debug)]
struct Server {
    /// Dropped to stop the server.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What the server's thread and the test see.
#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    script: Script,
    state: SinkState,
    /// What [`Rules::times`] goes by.
    newest: times::Newest,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A condition of a test that panicked has changed nothing: it sees the state by reference.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultSink {
    /// Starts a sink on a free port of the loopback that keeps every entry.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start() -> Result<Self> {
        Self::start_keeping(Keep::Everything)
    }

    /// Starts a sink on a free port of the loopback.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start_keeping(keep: Keep) -> Result<Self> {
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                script: Script::default(),
                state: SinkState::new(keep),
                newest: times::Newest::default(),
            }),
            changed: Condvar::new(),
        });
        let (address, server) = Server::start(0, &shared)?;
        Ok(Self {
            shared,
            address,
            server: Some(server),
        })
    }

    /// Returns where lines are pushed to; the same after [`start_at`](Self::start_at) with the same
    /// port.
    pub fn url(&self) -> String {
        format!("http://{}/loki/api/v1/push", self.address)
    }

    /// Returns the address it listens on, or has last listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the port it listens on, or has last listened on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Stops listening and closes every connection: from here on, connections are refused. What was
    /// stored stays.
    pub fn stop(&mut self) {
        if let Some(Server { stop, thread }) = self.server.take() {
            drop(stop);
            // A thread that has panicked has stopped as well.
            drop(thread.join());
        }
    }

    /// Listens again after [`stop`](Self::stop), on this port.
    ///
    /// # Errors
    /// It is still listening, or the port is taken.
    pub fn start_at(&mut self, port: u16) -> Result<()> {
        ensure!(self.server.is_none(), "the fault sink is still listening");
        let (address, server) = Server::start(port, &self.shared)?;
        self.address = address;
        self.server = Some(server);
        Ok(())
    }

    /// Changes the script; requests that are answered from now on follow it.
    pub fn script<R>(&self, change: impl FnOnce(&mut Script) -> R) -> R {
        change(&mut self.shared.lock().script)
    }

    /// Answers the next request that no rule answers, after those already queued, in this mode.
    pub fn push(&self, mode: Mode) {
        self.script(|script| script.queue.push_back(mode));
    }

    /// Answers requests in this mode once the queue is empty.
    pub fn set_fallback(&self, mode: Mode) {
        self.script(|script| script.fallback = mode);
    }

    /// Looks at what was stored and answered up to now.
    pub fn inspect<R>(&self, look: impl FnOnce(&SinkState) -> R) -> R {
        look(&self.shared.lock().state)
    }

    /// Waits until the condition holds, and returns whether it did within the time.
    ///
    /// The condition is looked at after every request, before that request is answered.
    pub fn wait_until(
        &self,
        mut condition: impl FnMut(&SinkState) -> bool,
        deadline: Duration,
    ) -> bool {
        let waited =
            self.shared
                .changed
                .wait_timeout_while(self.shared.lock(), deadline, |inner| {
                    !condition(&inner.state)
                });
        let (inner, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(inner);
        !timeout.timed_out()
    }
}

impl Drop for FaultSink {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// Listens, and serves on a thread of its own.
    fn start(port: u16, shared: &Arc<Shared>) -> Result<(SocketAddr, Self)> {
        // Bound here, so that a connection made after this returns is never refused.
        let listener = TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("cannot listen on port {port}"))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot make a runtime for the fault sink")?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("fault-sink".into())
            .spawn(move || runtime.block_on(serve::serve(listener, shared, stopped)))
            .context("cannot start the thread of the fault sink")?;
        Ok((address, Self { stop, thread }))
    }
}
