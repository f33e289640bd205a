//! The URL that batches are pushed to.

use std::fmt;

use reqwest::Url;
use serde::{Deserialize, Deserializer};
use tailwater_sink::{Secret, SettingsError};

/// Where Loki takes pushes, for a URL that names no path.
const PUSH_PATH: &str = "/loki/api/v1/push";

/// A push URL as it was configured, not checked yet.
///
/// Its `Debug` shows no user, password or query: they are refused or may be secret, but a
/// configuration is also printed while it is wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct PushUrl(Secret);

impl PushUrl {
    /// Wraps a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(Secret::new(url))
    }

    /// Checks the URL and adds Loki's path where it has none.
    pub(crate) fn checked(&self) -> Result<Url, SettingsError> {
        let fail = |reason: &str| SettingsError::new("url", reason);
        let mut url = Url::parse(self.0.expose()).map_err(|error| {
            fail(&format!(
                "not a URL ({error}): write it like `http://loki:3100/loki/api/v1/push`"
            ))
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fail("must begin with `http://` or `https://`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail("must not hold a user or password: use `basic_auth`"));
        }
        if matches!(url.path(), "" | "/") {
            url.set_path(PUSH_PATH);
        }
        url.set_fragment(None);
        Ok(url)
    }
}

/// Returns where a URL leads, without anything that may be secret.
pub(crate) fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

impl fmt::Debug for PushUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Url::parse(self.0.expose()).map_or_else(|_| String::new(), |url| shown(&url));
        write!(formatter, "PushUrl({shown:?}, {:?})", self.0)
    }
}

impl<'de> Deserialize<'de> for PushUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_gets_lokis_and_any_other_stays() {
        let checked = |url: &str| PushUrl::new(url).checked().map(String::from);
        assert_eq!(
            checked("http://loki:3100").unwrap(),
            "http://loki:3100/loki/api/v1/push"
        );
        assert_eq!(
            checked("https://loki/").unwrap(),
            "https://loki/loki/api/v1/push"
        );
        assert_eq!(
            checked("http://loki/api/prom/push?x=1#y").unwrap(),
            "http://loki/api/prom/push?x=1"
        );
    }

    #[test]
    fn a_url_that_cannot_be_pushed_to_is_refused_with_advice_and_without_its_password() {
        let refused = |url: &str| PushUrl::new(url).checked().unwrap_err().to_string();
        assert!(refused("loki:3100").contains("must begin with `http://`"));
        assert!(refused("http://").contains("write it like"));
        let secret = refused("http://user:hunter2@loki");
        assert!(secret.contains("basic_auth") && !secret.contains("hunter2"));
    }

    #[test]
    fn a_printed_url_shows_where_it_leads_and_nothing_secret() {
        let print = |url: &str| format!("{:?}", PushUrl::new(url));
        let shown = print("https://user:hunter2@loki/push?token=hunter2");
        assert!(shown.contains("https://loki/push"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("user"));
        assert_ne!(shown, print("https://user:other@loki/push?token=hunter2"));
        assert!(!print("http//:hunter2").contains("hunter2"));
    }
}
