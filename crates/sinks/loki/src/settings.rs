//! The `loki` block of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};
use tailwater_sink::{Encode, EncoderFactory, Secret, SettingsError, SinkParts, SinkSettings};

use crate::deliver::{Credentials, LokiDeliver};
use crate::json::JsonEncoder;
use crate::protobuf::ProtobufEncoder;

/// Where and how lines are pushed to Loki.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LokiSettings {
    /// The push URL; without a path, Loki's own is added.
    pub url: String,
    /// The tenant, sent as `X-Scope-OrgID`.
    #[serde(default)]
    pub tenant: Option<String>,
    /// How the body is encoded.
    #[serde(default)]
    pub encoding: Encoding,
    /// gzip level of the JSON encoding, 0 to 9.
    #[serde(default = "default_gzip_level")]
    pub gzip_level: u32,
    /// User and password.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token.
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// A file that holds the bearer token; read again after a 401.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// TLS.
    #[serde(default)]
    pub tls: TlsSettings,
    /// A proxy; without it, the environment decides (`HTTPS_PROXY`, `NO_PROXY`).
    #[serde(default)]
    pub proxy_url: Option<Secret>,
    /// How long one request may take in all.
    #[serde(default = "default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long a connection may take to be made.
    #[serde(default = "default_connect_timeout", deserialize_with = "duration")]
    pub connect_timeout: Duration,
}

/// How the body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Protobuf in a snappy block: the cheapest for both sides.
    #[default]
    Protobuf,
    /// JSON with gzip, for what stands in for Loki and reads nothing else.
    Json,
}

/// User and password.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds it; read again after a 401.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The only roots that are believed, in PEM form; without it, the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The client's certificates, in PEM form.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// The key of the client's certificate, in PEM form.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Believe any certificate. Never outside a test.
    #[serde(default)]
    pub danger_accept_invalid_certs: bool,
}

fn default_gzip_level() -> u32 {
    1
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

/// Reads `10s`, `500ms`, `1m`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    tailwater_sink::parse_duration(&text).map_err(serde::de::Error::custom)
}

impl SinkSettings for LokiSettings {
    /// Loki sorts by timestamp and takes entries out of order within an hour.
    const DEFAULT_MAX_IN_FLIGHT: usize = 4;

    fn build(&self) -> Result<SinkParts, SettingsError> {
        if self.gzip_level > 9 {
            return Err(SettingsError::new("gzip_level", "must be 0 to 9"));
        }
        let deliver = LokiDeliver::new(
            self.push_url()?,
            self.client()?,
            self.clone(),
            self.credentials()?,
            self.header_map()?,
        );
        Ok(SinkParts {
            encoder: Arc::new(Factory {
                encoding: self.encoding,
                gzip_level: self.gzip_level,
            }),
            deliver: Arc::new(deliver),
        })
    }
}

impl LokiSettings {
    fn push_url(&self) -> Result<Url, SettingsError> {
        let mut url = Url::parse(&self.url).map_err(|error| {
            SettingsError::new(
                "url",
                format!("not a URL ({error}): write it like `http://loki:3100/loki/api/v1/push`"),
            )
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SettingsError::new(
                "url",
                "must begin with `http://` or `https://`",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SettingsError::new(
                "url",
                "must not hold a user or password: use `basic_auth`",
            ));
        }
        if matches!(url.path(), "" | "/") {
            url.set_path("/loki/api/v1/push");
        }
        Ok(url)
    }

    fn client(&self) -> Result<reqwest::Client, SettingsError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::tls::client_config(&self.tls)?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("tailwater/", env!("CARGO_PKG_VERSION")))
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true);
        if let Some(proxy) = &self.proxy_url {
            let proxy = reqwest::Proxy::all(proxy.expose()).map_err(|_| {
                SettingsError::new("proxy_url", "not a URL: write it like `http://proxy:3128`")
            })?;
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| {
            SettingsError::new("tls", format!("cannot make the HTTP client: {error}"))
        })
    }

    fn credentials(&self) -> Result<Credentials, SettingsError> {
        let bearer = (self.bearer_token.is_some() || self.bearer_token_file.is_some()).then(|| {
            Credentials::bearer(self.bearer_token.clone(), self.bearer_token_file.clone())
        });
        let basic = self.basic_auth.as_ref().map(|basic| {
            Credentials::basic(
                basic.username.clone(),
                basic.password.clone(),
                basic.password_file.clone(),
            )
        });
        match (bearer, basic) {
            (Some(_), Some(_)) => Err(SettingsError::new(
                "basic_auth",
                "cannot stand beside a bearer token: choose one",
            )),
            (Some(credentials), None) | (None, Some(credentials)) => credentials,
            (None, None) => Ok(Credentials::none()),
        }
    }

    fn header_map(&self) -> Result<HeaderMap, SettingsError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let fail = |what| {
                SettingsError::new(
                    format!("headers.{name}"),
                    format!("not a valid header {what}"),
                )
            };
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fail("name"))?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| fail("value"))?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        Ok(headers)
    }
}

#[derive(Debug)]
struct Factory {
    encoding: Encoding,
    gzip_level: u32,
}

impl EncoderFactory for Factory {
    fn make(&self) -> Box<dyn Encode> {
        match self.encoding {
            Encoding::Protobuf => Box::<ProtobufEncoder>::default(),
            Encoding::Json => Box::new(JsonEncoder::new(self.gzip_level)),
        }
    }
}
