//! TLS: own roots, client certificates, and roots that are there on a machine without any.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tailwater_sink::SettingsError;

use crate::settings::TlsSettings;

/// Makes the client's side of TLS.
pub(crate) fn client_config(settings: &TlsSettings) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::new("tls", error.to_string()))?
        .with_root_certificates(roots(settings)?);
    let mut config = match client_identity(settings)? {
        Some((certificates, key)) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| SettingsError::new("tls.cert_file", error.to_string()))?,
        None => builder.with_no_client_auth(),
    };
    if settings.danger_accept_invalid_certs {
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(AcceptAny(provider)));
    }
    Ok(config)
}

/// The roots of `ca_file` alone where it is given; else the system's; else those of Mozilla, so that a
/// container without any certificates can still deliver.
fn roots(settings: &TlsSettings) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        for certificate in certificates("tls.ca_file", path)? {
            roots.add(certificate).map_err(|error| {
                SettingsError::new("tls.ca_file", format!("`{}`: {error}", path.display()))
            })?;
        }
        return Ok(roots);
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_identity(settings: &TlsSettings) -> Result<Option<Identity>, SettingsError> {
    match (&settings.cert_file, &settings.key_file) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => {
            let certificates = certificates("tls.cert_file", cert)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                SettingsError::new(
                    "tls.key_file",
                    format!(
                        "cannot read a private key from `{}`: {error}",
                        key.display()
                    ),
                )
            })?;
            Ok(Some((certificates, key)))
        }
        (Some(_), None) => Err(SettingsError::new(
            "tls.key_file",
            "missing: a `cert_file` needs its `key_file`",
        )),
        (None, Some(_)) => Err(SettingsError::new(
            "tls.cert_file",
            "missing: a `key_file` needs its `cert_file`",
        )),
    }
}

fn certificates(
    key: &str,
    path: &std::path::Path,
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let fail = |reason: String| SettingsError::new(key, format!("`{}`: {reason}", path.display()));
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| fail(format!("cannot read certificates: {error}")))?
        .collect::<Result<_, _>>()
        .map_err(|error| fail(format!("cannot read certificates: {error}")))?;
    if certificates.is_empty() {
        return Err(fail("no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
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
