//! What proves to the backend who we are.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use reqwest::header::HeaderValue;
use tailwater_sink::{Secret, SettingsError};

/// Largest secret that is read from a file, in bytes: what fits a header that servers take.
const MAX_SECRET_BYTES: u64 = 16 * 1024;

/// A secret as the configuration gives it, with the keys it may stand under.
pub(crate) struct SecretSetting<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: Option<&'a Secret>,
    pub(crate) file_key: &'a str,
    pub(crate) file: Option<&'a Path>,
}

/// Makes the `Authorization` header.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// The header never changes.
    Fixed(HeaderValue),
    /// The header follows a file.
    File(Arc<CredentialFile>),
}

impl Credentials {
    /// Takes a bearer token.
    pub(crate) fn bearer(token: &SecretSetting<'_>) -> Result<Self, SettingsError> {
        Self::new(Scheme::Bearer, token)
    }

    /// Takes a password.
    pub(crate) fn basic(
        username: &str,
        password: &SecretSetting<'_>,
    ) -> Result<Self, SettingsError> {
        if username.contains(':') {
            return Err(SettingsError::new(
                "basic_auth.username",
                "must not hold a colon: it ends the name on the wire",
            ));
        }
        Self::new(Scheme::Basic(username.to_owned()), password)
    }

    fn new(scheme: Scheme, setting: &SecretSetting<'_>) -> Result<Self, SettingsError> {
        match (setting.value, setting.file) {
            (Some(secret), None) => scheme.header(secret).map(Self::Fixed).ok_or_else(|| {
                SettingsError::new(setting.key, "holds characters that no header can carry")
            }),
            (None, Some(path)) => CredentialFile::open(scheme, path)
                .map(|file| Self::File(Arc::new(file)))
                .map_err(|error| {
                    let path = path.display();
                    SettingsError::new(setting.file_key, format!("cannot use `{path}`: {error}"))
                }),
            (Some(_), Some(_)) => Err(SettingsError::new(
                setting.key,
                format!("stands beside `{}`: keep one of them", setting.file_key),
            )),
            (None, None) => Err(SettingsError::new(
                setting.key,
                format!("is missing: give it, or `{}`", setting.file_key),
            )),
        }
    }

    /// Returns the header for the next request, of the file as it is now.
    pub(crate) async fn header(&self) -> HeaderValue {
        match self {
            Self::Fixed(header) => header.clone(),
            Self::File(file) => {
                let reader = Arc::clone(file);
                // A file may stand on a file system that hangs: never wait for it on the runtime.
                tokio::task::spawn_blocking(move || reader.refreshed())
                    .await
                    .unwrap_or_else(|_| file.lock().header.clone())
            }
        }
    }

    /// Makes the next request read the file again, whatever its time of change says.
    pub(crate) fn distrust(&self) {
        if let Self::File(file) = self {
            file.lock().stamp = None;
        }
    }
}

#[derive(Clone, Debug)]
enum Scheme {
    Bearer,
    Basic(String),
}

impl Scheme {
    fn header(&self, secret: &Secret) -> Option<HeaderValue> {
        let text = match self {
            Self::Bearer => format!("Bearer {}", secret.expose()),
            Self::Basic(username) => {
                let pair = format!("{username}:{}", secret.expose());
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                format!("Basic {encoded}")
            }
        };
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

/// What tells that a file was written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

/// A file that holds a secret and may be replaced while the agent runs.
#[derive(Debug)]
pub(crate) struct CredentialFile {
    path: PathBuf,
    scheme: Scheme,
    /// A plain mutex: it is never held across an await or a read of the file.
    last: Mutex<LastRead>,
}

#[derive(Debug)]
struct LastRead {
    header: HeaderValue,
    /// `None` where the file must be read again.
    stamp: Option<Stamp>,
    /// Whether the operator was told that the file cannot be read.
    is_reported: bool,
}

impl CredentialFile {
    fn open(scheme: Scheme, path: &Path) -> io::Result<Self> {
        let (header, stamp) = read_header(&scheme, path)?;
        Ok(Self {
            path: path.to_owned(),
            scheme,
            last: Mutex::new(LastRead {
                header,
                stamp: Some(stamp),
                is_reported: false,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, LastRead> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the header of the file as it is now; of its last good state where it cannot be read,
    /// as in the middle of being replaced.
    fn refreshed(&self) -> HeaderValue {
        let known = self.lock().stamp;
        let now = std::fs::metadata(&self.path).map(|metadata| Stamp {
            modified: metadata.modified().ok(),
            len: metadata.len(),
        });
        if known.is_some() && now.ok() == known {
            return self.lock().header.clone();
        }
        let read = read_header(&self.scheme, &self.path);
        let mut last = self.lock();
        match read {
            Ok((header, stamp)) => {
                *last = LastRead {
                    header,
                    stamp: Some(stamp),
                    is_reported: false,
                };
            }
            Err(error) if !last.is_reported => {
                last.is_reported = true;
                let error = &error as &(dyn std::error::Error + 'static);
                let path = self.path.display();
                tracing::warn!(%path, error, "cannot read the credentials again, keeping the last");
            }
            Err(_) => {}
        }
        last.header.clone()
    }
}

fn read_header(scheme: &Scheme, path: &Path) -> io::Result<(HeaderValue, Stamp)> {
    let invalid = |reason| io::Error::new(io::ErrorKind::InvalidData, reason);
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(invalid("not a regular file"));
    }
    // Taken before the content: a write in between is seen as a change at the next request.
    let stamp = Stamp {
        modified: metadata.modified().ok(),
        len: metadata.len(),
    };
    let mut bytes = Vec::new();
    file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(invalid("larger than a header may be"));
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
    if secret.expose().is_empty() {
        return Err(invalid("empty"));
    }
    scheme
        .header(&secret)
        .map(|header| (header, stamp))
        .ok_or_else(|| invalid("holds characters that no header can carry"))
}
