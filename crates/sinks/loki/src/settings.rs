//! The `loki` block of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};
use tailwater_sink::{
    Encode, EncoderFactory, RequestTally, Secret, SettingsError, SinkParts, SinkSettings,
};

use crate::credentials::{Credentials, SecretSetting};
use crate::deliver::LokiDeliver;
use crate::json::JsonEncoder;
use crate::protobuf::ProtobufEncoder;
use crate::push_url::PushUrl;

/// Headers that other keys set, or that HTTP sets itself, and the key to use instead.
const RESERVED_HEADERS: [(&str, &str); 9] = [
    ("authorization", "use `basic_auth` or `bearer_token`"),
    ("x-scope-orgid", "use `tenant`"),
    ("content-type", "use `encoding`"),
    ("content-encoding", "use `encoding`"),
    ("content-length", "leave it out"),
    ("transfer-encoding", "leave it out"),
    ("connection", "leave it out"),
    ("host", "write the host into `url`"),
    (
        "proxy-authorization",
        "write user and password into `proxy_url`",
    ),
];

/// Longest tenant that Loki takes. Source: dskit, `tenant/tenant.go`.
const MAX_TENANT_BYTES: usize = 150;

/// Where and how lines are pushed to Loki.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LokiSettings {
    /// The push URL; without a path, Loki's own is added.
    pub url: PushUrl,
    /// The tenant, sent as `X-Scope-OrgID`; a source's own comes first.
    #[serde(default)]
    pub tenant: Option<String>,
    /// How the body is encoded.
    #[serde(default)]
    pub encoding: Encoding,
    /// gzip level of the JSON encoding, 0 to 9; 1 where it is not given.
    #[serde(default)]
    pub gzip_level: Option<u32>,
    /// User and password.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token.
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// A file that holds the bearer token; read again when it changes, and after a 401.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// TLS.
    #[serde(default)]
    pub tls: TlsSettings,
    /// An HTTP proxy, or `""` for none; where it is not given, the environment decides
    /// (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    #[serde(default)]
    pub proxy_url: Option<Secret>,
    /// How long one request may take in all.
    #[serde(default = "default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long a connection may take to be made, the look-up of the name included.
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
    /// A file that holds the password; read again when it changes, and after a 401.
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
    /// The client's certificates, its own first, in PEM form.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// The key of the client's certificate, in PEM form.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Believe any certificate: never outside a test.
    #[serde(default)]
    pub danger_accept_invalid_certs: bool,
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
        let gzip_level = self.checked_gzip_level()?;
        self.check_timeouts()?;
        let url = self.url.checked()?;
        let deliver = LokiDeliver {
            client: crate::transport::client(self, &url)?,
            url,
            encoding: self.encoding,
            gzip_level,
            tenant: self.tenant_header()?,
            credentials: self.credentials()?,
            headers: self.header_map()?,
            requests: RequestTally::default(),
        };
        Ok(SinkParts {
            encoder: Arc::new(LokiEncoders {
                encoding: self.encoding,
                gzip_level,
            }),
            deliver: Arc::new(deliver),
        })
    }
}

impl LokiSettings {
    fn checked_gzip_level(&self) -> Result<u32, SettingsError> {
        match (self.gzip_level, self.encoding) {
            (Some(_), Encoding::Protobuf) => Err(SettingsError::new(
                "gzip_level",
                "has no effect on protobuf: leave it out, or set `encoding: json`",
            )),
            (Some(level), Encoding::Json) if level > 9 => Err(SettingsError::new(
                "gzip_level",
                format!("{level} is not a level of gzip: use 0 (none) to 9 (smallest)"),
            )),
            (level, _) => Ok(level.unwrap_or(1)),
        }
    }

    fn check_timeouts(&self) -> Result<(), SettingsError> {
        for (key, value) in [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
        ] {
            if value.is_zero() {
                let reason = "no request could ever succeed: write it like `10s`";
                return Err(SettingsError::new(key, reason));
            }
        }
        Ok(())
    }

    fn tenant_header(&self) -> Result<Option<HeaderValue>, SettingsError> {
        let Some(tenant) = &self.tenant else {
            return Ok(None);
        };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
        let header = HeaderValue::from_str(tenant).ok().filter(|_| {
            !tenant.is_empty() && tenant.len() <= MAX_TENANT_BYTES && tenant.bytes().all(is_allowed)
        });
        let refused = || {
            let reason = format!(
                "`{}` is not a tenant: use 1 to {MAX_TENANT_BYTES} of letters, digits and `!-_.*'()`",
                tenant.escape_debug()
            );
            SettingsError::new("tenant", reason)
        };
        header.map(Some).ok_or_else(refused)
    }

    fn credentials(&self) -> Result<Option<Credentials>, SettingsError> {
        let token = SecretSetting {
            key: "bearer_token",
            value: self.bearer_token.as_ref(),
            file_key: "bearer_token_file",
            file: self.bearer_token_file.as_deref(),
        };
        let has_token = token.value.is_some() || token.file.is_some();
        match &self.basic_auth {
            Some(_) if has_token => Err(SettingsError::new(
                "basic_auth",
                "stands beside a bearer token: keep one of them",
            )),
            Some(basic) => {
                let password = SecretSetting {
                    key: "basic_auth.password",
                    value: basic.password.as_ref(),
                    file_key: "basic_auth.password_file",
                    file: basic.password_file.as_deref(),
                };
                Credentials::basic(&basic.username, &password).map(Some)
            }
            None if has_token => Credentials::bearer(&token).map(Some),
            None => Ok(None),
        }
    }

    fn header_map(&self) -> Result<HeaderMap, SettingsError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let fail = |reason: &str| SettingsError::new(format!("headers.{name}"), reason);
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| fail("is not a valid name of a header"))?;
            let reserved = RESERVED_HEADERS.iter().find(|(known, _)| parsed == *known);
            if let Some((_, advice)) = reserved {
                return Err(fail(&format!("is set by another key: {advice}")));
            }
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| fail("holds characters that no header can carry"))?;
            value.set_sensitive(true);
            if headers.insert(parsed, value).is_some() {
                return Err(fail("stands twice, in other letters: keep one of them"));
            }
        }
        Ok(headers)
    }
}

/// Makes the encoders of one sink.
#[derive(Debug)]
struct LokiEncoders {
    encoding: Encoding,
    gzip_level: u32,
}

impl EncoderFactory for LokiEncoders {
    fn make(&self) -> Box<dyn Encode> {
        match self.encoding {
            Encoding::Protobuf => Box::<ProtobufEncoder>::default(),
            Encoding::Json => Box::new(JsonEncoder::new(self.gzip_level)),
        }
    }
}
