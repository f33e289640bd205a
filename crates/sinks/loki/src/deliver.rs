//! Pushing sealed batches.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use tailwater_record::EncodedBatch;
use tailwater_sink::{
    Deliver, DeliverError, DeliverFuture, Delivered, Secret, SettingsError, SplitError,
};

use crate::answer::judge;
use crate::settings::{Encoding, LokiSettings};

/// Bytes of an answer that are read: more is never needed, and a backend may send anything.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Sends batches to one Loki.
#[derive(Debug)]
pub(crate) struct LokiDeliver {
    url: Url,
    client: reqwest::Client,
    settings: LokiSettings,
    credentials: Credentials,
    headers: HeaderMap,
}

impl LokiDeliver {
    pub(crate) fn new(
        url: Url,
        client: reqwest::Client,
        settings: LokiSettings,
        credentials: Credentials,
        headers: HeaderMap,
    ) -> Self {
        Self {
            url,
            client,
            settings,
            credentials,
            headers,
        }
    }

    async fn push(&self, batch: &EncodedBatch) -> Result<Delivered, DeliverError> {
        let mut request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone());
        request = match self.settings.encoding {
            Encoding::Protobuf => request.header(CONTENT_TYPE, "application/x-protobuf"),
            Encoding::Json => request
                .header(CONTENT_TYPE, "application/json")
                .header(CONTENT_ENCODING, "gzip"),
        };
        if let Some(tenant) = batch.tenant.as_deref().or(self.settings.tenant.as_deref()) {
            request = request.header("X-Scope-OrgID", tenant);
        }
        if let Some(authorization) = self.credentials.header() {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = request
            .body(batch.body.clone())
            .send()
            .await
            .map_err(|error| transport(&error))?;
        let status = answer.status().as_u16();
        let retry_after = retry_after(answer.headers());
        let body = read_answer(answer).await;
        if status == 401 {
            self.credentials.read_again();
        }
        // A body that breaks off changes nothing about a status that says all: 2xx is sent after the
        // batch was stored.
        judge(status, &body, retry_after)
    }
}

impl Deliver for LokiDeliver {
    fn deliver<'a>(&'a self, batch: &'a EncodedBatch) -> DeliverFuture<'a> {
        Box::pin(self.push(batch))
    }

    fn split(&self, body: &Bytes, first_records: u32) -> Result<(Bytes, Bytes), SplitError> {
        match self.settings.encoding {
            Encoding::Protobuf => crate::protobuf::split(body, first_records),
            Encoding::Json => crate::json::split(body, first_records, self.settings.gzip_level),
        }
    }

    fn target(&self) -> String {
        let mut shown = self.url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        shown.into()
    }
}

async fn read_answer(mut answer: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        let room = MAX_ANSWER_BYTES.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if body.len() >= MAX_ANSWER_BYTES {
            break;
        }
    }
    body
}

#[expect(
    clippy::disallowed_methods,
    reason = "an HTTP date is relative to the wall clock of now"
)]
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    tailwater_sink::parse_retry_after(value, SystemTime::now())
}

/// Names a transport error by what an operator would look at.
fn transport(error: &reqwest::Error) -> DeliverError {
    let mut chain = Vec::new();
    let mut source = error.source();
    while let Some(inner) = source {
        chain.push(inner.to_string());
        source = inner.source();
    }
    let text = chain.join(": ");
    let lower = text.to_lowercase();
    let reason = if error.is_timeout() {
        "timeout"
    } else if lower.contains("certificate") || lower.contains("tls") || lower.contains("handshake")
    {
        "tls"
    } else if lower.contains("dns") || lower.contains("lookup") {
        "dns"
    } else if error.is_connect() {
        "connect"
    } else {
        "connection_lost"
    };
    DeliverError::Retryable {
        reason,
        detail: text,
        retry_after: None,
    }
}

/// What proves who we are, read from files again when the backend no longer believes it.
#[derive(Debug)]
pub(crate) struct Credentials {
    username: Option<String>,
    file: Option<PathBuf>,
    header: Mutex<Option<HeaderValue>>,
}

impl Credentials {
    pub(crate) fn none() -> Self {
        Self {
            username: None,
            file: None,
            header: Mutex::new(None),
        }
    }

    pub(crate) fn bearer(
        token: Option<Secret>,
        file: Option<PathBuf>,
    ) -> Result<Self, SettingsError> {
        Self::new(None, token, file, "bearer_token", "bearer_token_file")
    }

    pub(crate) fn basic(
        username: String,
        password: Option<Secret>,
        file: Option<PathBuf>,
    ) -> Result<Self, SettingsError> {
        Self::new(
            Some(username),
            password,
            file,
            "basic_auth.password",
            "basic_auth.password_file",
        )
    }

    fn new(
        username: Option<String>,
        secret: Option<Secret>,
        file: Option<PathBuf>,
        key: &str,
        file_key: &str,
    ) -> Result<Self, SettingsError> {
        let secret = match (secret, &file) {
            (Some(_), Some(_)) => {
                return Err(SettingsError::new(
                    key,
                    format!("cannot stand beside `{file_key}`: choose one"),
                ));
            }
            (Some(secret), None) => secret,
            (None, Some(path)) => read_secret(path).map_err(|error| {
                SettingsError::new(
                    file_key,
                    format!("cannot read `{}`: {error}", path.display()),
                )
            })?,
            (None, None) => {
                return Err(SettingsError::new(
                    key,
                    format!("missing: give it, or `{file_key}`"),
                ));
            }
        };
        let header = authorization(username.as_deref(), &secret)
            .ok_or_else(|| SettingsError::new(key, "holds characters that no header can carry"))?;
        Ok(Self {
            username,
            file,
            header: Mutex::new(Some(header)),
        })
    }

    fn header(&self) -> Option<HeaderValue> {
        self.header
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads the file again; what was believed before stays where that fails.
    fn read_again(&self) {
        let Some(secret) = self.file.as_deref().and_then(|path| read_secret(path).ok()) else {
            return;
        };
        if let Some(header) = authorization(self.username.as_deref(), &secret) {
            *self.header.lock().unwrap_or_else(PoisonError::into_inner) = Some(header);
        }
    }
}

fn read_secret(path: &Path) -> std::io::Result<Secret> {
    std::fs::read_to_string(path).map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])))
}

fn authorization(username: Option<&str>, secret: &Secret) -> Option<HeaderValue> {
    let text = match username {
        Some(username) => {
            let pair = format!("{username}:{}", secret.expose());
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            )
        }
        None => format!("Bearer {}", secret.expose()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
