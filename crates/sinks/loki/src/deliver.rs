//! Pushing sealed batches.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Response, Url};
use tailwater_record::EncodedBatch;
use tailwater_sink::{
    DecodedRecord, Deliver, DeliverError, DeliverFuture, Delivered, RequestDurations, RequestTally,
    SplitError,
};
use tokio::time::Instant;

use crate::answer::{Answer, MAX_ANSWER_BYTES, judge_batch};
use crate::credentials::Credentials;
use crate::settings::Encoding;

const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// Sends batches to one Loki.
pub(crate) struct LokiDeliver {
    pub(crate) client: Client,
    pub(crate) url: Url,
    pub(crate) encoding: Encoding,
    pub(crate) gzip_level: u32,
    /// The tenant of a batch that names none.
    pub(crate) tenant: Option<HeaderValue>,
    pub(crate) credentials: Option<Credentials>,
    /// Headers of the operator's.
    pub(crate) headers: HeaderMap,
    pub(crate) requests: RequestTally,
}

impl LokiDeliver {
    async fn push(&self, batch: &EncodedBatch) -> Result<Delivered, DeliverError> {
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers_of(batch).await?)
            .body(batch.body.clone());
        let started = Instant::now();
        let answer = match request.send().await {
            Ok(response) => read_answer(response).await,
            Err(error) => {
                self.requests.observe(None, started.elapsed());
                return Err(crate::transport::failure(&error));
            }
        };
        self.requests
            .observe(Some(answer.status), started.elapsed());
        if answer.status == 401
            && let Some(credentials) = &self.credentials
        {
            credentials.distrust();
        }
        judge_batch(&answer, batch, self.encoding)
    }

    async fn headers_of(&self, batch: &EncodedBatch) -> Result<HeaderMap, DeliverError> {
        let mut headers = self.headers.clone();
        match self.encoding {
            Encoding::Protobuf => {
                let protobuf = HeaderValue::from_static("application/x-protobuf");
                headers.insert(CONTENT_TYPE, protobuf);
            }
            Encoding::Json => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        if let Some(tenant) = self.tenant_of(batch)? {
            headers.insert(TENANT, tenant);
        }
        if let Some(credentials) = &self.credentials {
            headers.insert(AUTHORIZATION, credentials.header().await);
        }
        Ok(headers)
    }

    fn tenant_of(&self, batch: &EncodedBatch) -> Result<Option<HeaderValue>, DeliverError> {
        match batch.tenant.as_deref() {
            None => Ok(self.tenant.clone()),
            // Lines may name it: waiting would hold up all others behind one that never can be sent.
            Some(tenant) => {
                HeaderValue::from_str(tenant)
                    .map(Some)
                    .map_err(|_| DeliverError::Refused {
                        reason: "tenant",
                        detail: "the tenant of the records cannot stand in a header".to_owned(),
                        ignored: None,
                        records: Vec::new(),
                    })
            }
        }
    }
}

impl Deliver for LokiDeliver {
    fn deliver<'a>(&'a self, batch: &'a EncodedBatch) -> DeliverFuture<'a> {
        Box::pin(self.push(batch))
    }

    fn split(&self, body: &Bytes, first_records: u32) -> Result<(Bytes, Bytes), SplitError> {
        match self.encoding {
            Encoding::Protobuf => crate::protobuf::split(body, first_records),
            Encoding::Json => crate::json::split(body, first_records, self.gzip_level),
        }
    }

    fn retain(
        &self,
        body: &Bytes,
        keep: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Option<Bytes>, SplitError> {
        match self.encoding {
            Encoding::Protobuf => crate::protobuf::retain(body, keep),
            Encoding::Json => crate::json::retain(body, keep, self.gzip_level),
        }
    }

    fn decode(
        &self,
        body: &Bytes,
        each: &mut dyn FnMut(DecodedRecord<'_>),
    ) -> Result<(), SplitError> {
        crate::decode::decode_records(self.encoding, body, each)
    }

    fn wire(&self) -> &'static str {
        match self.encoding {
            Encoding::Protobuf => "loki-protobuf-snappy",
            Encoding::Json => "loki-json-gzip",
        }
    }

    fn target(&self) -> String {
        crate::push_url::shown(&self.url)
    }

    fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    fn tenant(&self) -> Option<&str> {
        self.tenant.as_ref()?.to_str().ok()
    }

    fn requests(&self) -> Vec<RequestDurations> {
        self.requests.snapshot()
    }
}

impl fmt::Debug for LokiDeliver {
    /// Shows no more than the target: the client knows the proxy, and that one's password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LokiDeliver")
            .field("target", &self.target())
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

/// Reads what an answer says, up to a limit; what lies beyond it costs the connection.
///
/// A body that breaks off takes nothing from the status before it: Loki answers when all is stored or
/// refused, and its success has no body.
async fn read_answer(mut response: Response) -> Answer {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_ANSWER_BYTES.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() >= MAX_ANSWER_BYTES {
            break;
        }
    }
    Answer {
        status: response.status().as_u16(),
        retry_after: retry_after(response.headers()),
        body,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an HTTP date is relative to the wall clock at the arrival of the answer"
)]
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    tailwater_sink::parse_retry_after(value, SystemTime::now())
}
