//! `client` and `clients`.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;

use super::{Ignored, Pairs};
use crate::quantity::GoDuration;

/// A text that no debug output shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<secret>")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// One place that lines are sent to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Client {
    pub(crate) name: Option<String>,
    pub(crate) url: Option<Secret>,
    pub(crate) batchwait: Option<GoDuration>,
    pub(crate) batchsize: Option<u64>,
    pub(crate) backoff_config: Backoff,
    pub(crate) timeout: Option<GoDuration>,
    pub(crate) external_labels: Pairs,
    pub(crate) tenant_id: Option<String>,
    pub(crate) drop_rate_limited_batches: Option<bool>,
    pub(crate) headers: Headers,
    pub(crate) basic_auth: Option<BasicAuth>,
    pub(crate) authorization: Option<Authorization>,
    pub(crate) bearer_token: Option<Secret>,
    pub(crate) bearer_token_file: Option<String>,
    pub(crate) oauth2: Ignored,
    pub(crate) tls_config: TlsConfig,
    pub(crate) proxy_url: Option<Secret>,
    pub(crate) no_proxy: Option<String>,
    pub(crate) proxy_from_environment: Option<bool>,
    pub(crate) proxy_connect_header: Ignored,
    pub(crate) follow_redirects: Option<bool>,
    pub(crate) enable_http2: Option<bool>,
    pub(crate) http_headers: Ignored,
    /// A key of old versions of Promtail, for the write-ahead log.
    pub(crate) queue_config: Ignored,
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Header values may be secret.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Headers(pub(crate) Pairs);

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.0.iter().map(|(name, _)| name);
        formatter.debug_set().entries(names).finish()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Backoff {
    pub(crate) min_period: Option<GoDuration>,
    pub(crate) max_period: Option<GoDuration>,
    pub(crate) max_retries: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BasicAuth {
    pub(crate) username: Option<String>,
    pub(crate) username_file: Option<String>,
    pub(crate) username_ref: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) password_file: Option<String>,
    pub(crate) password_ref: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Authorization {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) credentials: Option<Secret>,
    pub(crate) credentials_file: Option<String>,
    pub(crate) credentials_ref: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    pub(crate) ca: Option<Secret>,
    pub(crate) cert: Option<Secret>,
    pub(crate) key: Option<Secret>,
    pub(crate) ca_file: Option<String>,
    pub(crate) cert_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) ca_ref: Option<String>,
    pub(crate) cert_ref: Option<String>,
    pub(crate) key_ref: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) insecure_skip_verify: Option<bool>,
    pub(crate) min_version: Option<String>,
    pub(crate) max_version: Option<String>,
}
