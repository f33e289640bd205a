//! The HTTP client, and what its errors mean.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Proxy, Url};
use tailwater_sink::{DeliverError, SettingsError};

use crate::settings::LokiSettings;

/// Idle connections that are kept: more than the batches of a sink that are usually in flight.
const MAX_IDLE_CONNECTIONS: usize = 16;

/// How long an idle connection is kept: shorter than the 60 seconds after which common load balancers
/// close theirs, so that a batch is not sent into a connection that is being closed.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(50);

/// Characters of an error's text that are reported.
const MAX_DETAIL_CHARS: usize = 300;

/// Makes the client. Opens no connection.
///
/// # Errors
/// [`SettingsError`] where a file of `tls` or the proxy's URL is of no use.
pub(crate) fn client(settings: &LokiSettings, url: &Url) -> Result<Client, SettingsError> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(crate::tls::client_config(&settings.tls, url)?)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("tailwater/", env!("CARGO_PKG_VERSION")))
        .timeout(settings.timeout)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(SystemResolver));
    if let Some(proxy) = &settings.proxy_url {
        builder = match proxy.expose() {
            "" => builder.no_proxy(),
            proxy => builder.proxy(checked_proxy(proxy)?),
        };
    }
    builder.build().map_err(|error| {
        SettingsError::new(
            "tls",
            format!("cannot make the HTTP client: {}", told(&error)),
        )
    })
}

fn checked_proxy(proxy: &str) -> Result<Proxy, SettingsError> {
    let is_http = Url::parse(proxy)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    Some(proxy)
        .filter(|_| is_http)
        .and_then(|proxy| Proxy::all(proxy).ok())
        .ok_or_else(|| {
            SettingsError::new(
                "proxy_url",
                "not the URL of an HTTP proxy: write it like `http://proxy:3128`, or `\"\"` for none",
            )
        })
}

/// A host name was not found.
#[derive(Debug, thiserror::Error)]
#[error("cannot look up the host `{host}`")]
struct LookupError {
    host: String,
    source: io::Error,
}

/// Looks names up as every program of the host does, anew for each connection.
///
/// It is the system's own resolver, with an error that is told from others by its type.
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await;
            let addresses: Vec<_> = found
                .map_err(|source| LookupError {
                    host: host.to_owned(),
                    source,
                })?
                .collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Says why a request had no answer. All of it is worth another attempt.
pub(crate) fn failure(error: &reqwest::Error) -> DeliverError {
    DeliverError::Retryable {
        reason: reason(error),
        detail: told(error),
        status: None,
        retry_after: None,
    }
}

fn reason(error: &reqwest::Error) -> &'static str {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.is::<LookupError>() {
            return "dns";
        }
        if cause.is::<rustls::Error>() {
            return "tls";
        }
        let io_error = cause.downcast_ref::<io::Error>();
        // TCP has no end of file before it is connected: this one came from the handshake of TLS.
        if error.is_connect()
            && io_error.is_some_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof)
        {
            return "tls";
        }
        // The source of an `io::Error` is that of the error it wraps, which would be skipped.
        next = match io_error.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => "connect_timeout",
        (true, false) => "connect",
        (false, true) => "timeout",
        // What remains is a connection that ended before the answer did.
        (false, false) => "reset",
    }
}

/// Tells an error with its causes, without the URL, which may hold a token.
fn told(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if text.is_empty() {
        text.push_str("the request could not be sent");
    }
    text.chars()
        .filter(|char| !char.is_control())
        .take(MAX_DETAIL_CHARS)
        .collect()
}
