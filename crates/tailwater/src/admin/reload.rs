//! What the server knows of the configuration, and the way of a wish to reload it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use super::Desk;
use crate::config::{Config, ServerConfig};
use crate::telemetry::Process;

/// Somebody who waits for a reload: answered with what went wrong.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// Where wishes to reload arrive.
pub type Reloads = mpsc::Receiver<ReloadRequest>;

/// What the server knows beside what the engine says.
#[derive(Debug)]
pub struct Site {
    /// As it was at the start: a reload changes no address and no path.
    pub(super) server: ServerConfig,
    running: RwLock<Running>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
    requests: mpsc::Sender<ReloadRequest>,
}

/// The configuration that runs, as it may be shown.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) config: String,
    pub(super) sources: Vec<Source>,
}

/// One source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
}

impl Running {
    fn of(config: &Config) -> Self {
        let sources = config.engine.sources.iter();
        Self {
            config: config.written.shown.clone(),
            sources: sources
                .map(|source| Source {
                    name: source.name.to_string(),
                    labels: source.labels.clone(),
                })
                .collect(),
        }
    }
}

impl Site {
    /// Makes it of the configuration at the start; wishes to reload arrive at the other end.
    pub fn new(config: &Config) -> (Self, Reloads) {
        let (requests, reloads) = mpsc::channel(1);
        let site = Self {
            server: config.server.clone(),
            running: RwLock::new(Running::of(config)),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
            requests,
        };
        (site, reloads)
    }

    /// Another configuration runs from now on.
    pub fn reloaded(&self, config: &Config) {
        let running = Running::of(config);
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = running;
        self.reloads.fetch_add(1, Ordering::Relaxed);
        if config.server != self.server {
            tracing::warn!("the keys of `server` have changed: they hold from the next start on");
        }
    }

    /// A reload was refused.
    pub fn not_reloaded(&self) {
        self.failed_reloads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn running(&self) -> RwLockReadGuard<'_, Running> {
        self.running.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn process(&self) -> Process {
        Process {
            sources: self.running().sources.len() as u64,
            reloads: self.reloads.load(Ordering::Relaxed),
            failed_reloads: self.failed_reloads.load(Ordering::Relaxed),
        }
    }
}

/// Reloads, and answers when that is done or was refused.
pub(super) async fn reload(State(desk): State<Desk>) -> Response {
    let (answer, answered) = oneshot::channel();
    let outcome = match desk.site.requests.send(answer).await {
        Ok(()) => answered.await,
        Err(_stopping) => Ok(Err("the agent is stopping".to_owned())),
    };
    let outcome = outcome.unwrap_or_else(|_stopping| Err("the agent is stopping".to_owned()));
    match outcome {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            let text = format!("failed to reload config: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
