//! TLS: own roots, client certificates, and roots that are there on a machine without any.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tailwater_sink::SettingsError;

use crate::settings::TlsSettings;

/// Largest file of certificates or keys that is read, in bytes: several times the roots of a system.
const MAX_PEM_BYTES: u64 = 4 << 20;

/// Makes the client's side of TLS.
///
/// # Errors
/// [`SettingsError`] names the file that cannot be used.
pub(crate) fn client_config(
    settings: &TlsSettings,
    url: &reqwest::Url,
) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::new("tls", error.to_string()))?
        .with_root_certificates(roots(settings, url)?);
    let mut config = match client_identity(settings)? {
        Some((certificates, key)) => {
            builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| {
                    SettingsError::new(
                        "tls.key_file",
                        format!("does not go with `tls.cert_file`: {error}"),
                    )
                })?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if settings.danger_accept_invalid_certs {
        tracing::warn!(
            target_url = crate::push_url::shown(url),
            "certificates are not checked: anyone on the way can read the lines and the credentials"
        );
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(AcceptAny(provider)));
    }
    Ok(config)
}

/// The roots of `ca_file` alone where it is given; else the system's; else those of Mozilla, so that a
/// container without any certificates can still deliver.
fn roots(settings: &TlsSettings, url: &reqwest::Url) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        for certificate in certificates("tls.ca_file", path)? {
            roots
                .add(certificate)
                .map_err(|error| unusable("tls.ca_file", path, &error))?;
        }
        return Ok(roots);
    }
    // Reading the system's takes milliseconds; over plain HTTP only a proxy could need any.
    if url.scheme() == "https" {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_identity(settings: &TlsSettings) -> Result<Option<Identity>, SettingsError> {
    match (&settings.cert_file, &settings.key_file) {
        (None, None) => Ok(None),
        (Some(cert_file), Some(key_file)) => {
            let certificates = certificates("tls.cert_file", cert_file)?;
            let key = PrivateKeyDer::from_pem_slice(&read_pem("tls.key_file", key_file)?)
                .map_err(|_| unusable("tls.key_file", key_file, &"it holds no key in PEM form"))?;
            Ok(Some((certificates, key)))
        }
        (Some(_), None) => Err(SettingsError::new(
            "tls.key_file",
            "is missing: a `cert_file` needs its `key_file`",
        )),
        (None, Some(_)) => Err(SettingsError::new(
            "tls.cert_file",
            "is missing: a `key_file` needs its `cert_file`",
        )),
    }
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let pem = read_pem(key, path)?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| unusable(key, path, &"it holds no certificates in PEM form"))
}

fn read_pem(key: &str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PEM_BYTES + 1).read_to_end(&mut pem))
        .map_err(|error| unusable(key, path, &error))?;
    if pem.len() as u64 > MAX_PEM_BYTES {
        let limit = format!("it is larger than {MAX_PEM_BYTES} bytes");
        return Err(unusable(key, path, &limit));
    }
    Ok(pem)
}

/// Names a file that is of no use. The parser's own words quote the file, so they are never passed on.
fn unusable(key: &str, path: &Path, error: &dyn fmt::Display) -> SettingsError {
    SettingsError::new(key, format!("cannot use `{}`: {error}", path.display()))
}

/// Believes every certificate: for tests of the operator, under a name that says so.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
