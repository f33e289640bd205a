//! The admin server: metrics, health and status, on loopback unless told otherwise.
//!
//! It changes nothing, unless it may reload, and shows no secret.

mod promtail;
mod reload;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get, post};
use tailwater_engine::{EngineHandle, Status};
use tokio::net::TcpListener;

pub use reload::{ReloadRequest, Reloads, Site};

use crate::telemetry::Telemetry;

/// What every answer is made of.
#[derive(Clone, Debug)]
struct Desk {
    engine: EngineHandle,
    telemetry: Arc<Telemetry>,
    site: Arc<Site>,
}

/// Serves until the task is dropped.
///
/// # Errors
/// Those of accepting connections.
pub async fn serve(
    listener: TcpListener,
    engine: EngineHandle,
    site: Arc<Site>,
) -> std::io::Result<()> {
    let router = router(Desk {
        engine,
        telemetry: Arc::new(Telemetry::default()),
        site,
    });
    axum::serve(listener, router).await
}

/// Binds the address of the server.
///
/// # Errors
/// Where the address is taken or not this host's.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

fn router(desk: Desk) -> Router {
    let server = &desk.site.server;
    let prefix = server.path_prefix.as_str();
    let at = |path: &str| format!("{prefix}{path}");
    let mut router = Router::new()
        .route(&at("/metrics"), get(metrics))
        .route(&at("/healthz"), get(|| async { "ok\n" }))
        .route(&at("/status"), get(page))
        .route(&at("/api/v1/status"), get(status));
    if server.promtail {
        router = promtail::routes(router, prefix);
    } else {
        router = router
            .route(&at("/"), get(page))
            .route(&at("/ready"), get(ready));
        if !prefix.is_empty() {
            router = router.route(prefix, get(page));
        }
    }
    if server.reload {
        router = router.route(&at("/-/reload"), post(reload::reload));
        if server.promtail {
            router = router.route(&at("/reload"), any(reload::reload));
        }
    }
    router.with_state(desk)
}

async fn metrics(State(desk): State<Desk>) -> Response {
    let promtail = desk.site.server.promtail.then(|| desk.site.process());
    // The series of single files cost a question to every pipeline thread.
    let status = match promtail {
        Some(_) => full_status(&desk).await,
        None => Some(desk.engine.status()),
    };
    let Some(status) = status else {
        return no_status();
    };
    let text = desk.telemetry.render(&status, promtail);
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// Ready once every pipeline thread has looked at its files. A sink that is down makes an agent no
/// less ready: it waits, and says so in the status.
async fn ready(State(desk): State<Desk>) -> Response {
    if desk.engine.has_scanned() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "looking for files\n").into_response()
}

async fn status(State(desk): State<Desk>) -> Response {
    match full_status(&desk).await {
        Some(status) => Json(status::to_json(&status)).into_response(),
        None => no_status(),
    }
}

async fn page(State(desk): State<Desk>) -> Response {
    let Some(status) = full_status(&desk).await else {
        return no_status();
    };
    (
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        status::to_text(&status),
    )
        .into_response()
}

fn no_status() -> Response {
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "the status could not be gathered\n",
    )
        .into_response()
}

/// Pipeline threads are asked off the runtime: they answer when their turn is over.
async fn full_status(desk: &Desk) -> Option<Status> {
    let engine = desk.engine.clone();
    tokio::task::spawn_blocking(move || engine.status_with_files())
        .await
        .ok()
}
