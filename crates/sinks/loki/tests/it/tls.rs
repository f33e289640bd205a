//! Certificates: whom we believe, and how we are believed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::server::{Server, batch, sink};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tailwater_sink::{DeliverError, Delivered};
use tokio::net::TcpListener;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Issued {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        }
    }

    /// The configuration of a server called `name`, which asks for a certificate of this authority
    /// where it wants one.
    fn server(&self, name: &str, wants_certificate: bool) -> ServerConfig {
        let server = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(server.key.serialize_der()).unwrap();
        builder
            .with_single_cert(vec![server.certificate], key)
            .unwrap()
    }
}

fn write(dir: &Path, name: &str, pem: &str) -> PathBuf {
    let path = dir.join(name);
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&path)
        .unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    path
}

async fn outcome(url: &str, tls: &str) -> Result<Delivered, &'static str> {
    let loki = sink(url, &format!(r#","tls":{{{tls}}}"#));
    loki.deliver(&batch(1)).await.map_err(|error| match error {
        DeliverError::Retryable { reason, .. } => reason,
        DeliverError::Refused { .. } => panic!("lines are refused for a certificate: {error}"),
    })
}

#[tokio::test]
async fn a_server_is_believed_if_the_own_authority_vouches_for_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let our_file = write(dir.path(), "ours.pem", &ours.0.pem());
    let their_file = write(dir.path(), "theirs.pem", &theirs.0.pem());
    let server = Server::start_tls(ours.server("localhost", false)).await;
    let port = server.address().port();
    let url = format!("https://localhost:{port}");
    let ca = |file: &Path| format!(r#""ca_file":"{}""#, file.display());

    assert_eq!(outcome(&url, &ca(&our_file)).await, Ok(Delivered));
    assert_eq!(outcome(&url, &ca(&their_file)).await, Err("tls"));
    assert_eq!(outcome(&url, "").await, Err("tls"), "unknown to the system");
    let by_address = format!("https://127.0.0.1:{port}");
    assert_eq!(
        outcome(&by_address, &ca(&our_file)).await,
        Err("tls"),
        "the certificate has another name"
    );
    let anyone = r#""danger_accept_invalid_certs":true"#;
    assert_eq!(outcome(&by_address, anyone).await, Ok(Delivered));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_ours() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start_tls(ours.server("localhost", true)).await;
    let url = format!("https://localhost:{}", server.address().port());
    let ca_file = write(dir.path(), "ca.pem", &ours.0.pem());
    let ca = format!(r#""ca_file":"{}""#, ca_file.display());
    let with_identity = |authority: &Authority, name: &str| {
        let issued = authority.issue("agent", ExtendedKeyUsagePurpose::ClientAuth);
        let cert = write(dir.path(), &format!("{name}.pem"), &issued.pem);
        let key = write(
            dir.path(),
            &format!("{name}.key"),
            &issued.key.serialize_pem(),
        );
        let (cert, key) = (cert.display(), key.display());
        format!(r#"{ca},"cert_file":"{cert}","key_file":"{key}""#)
    };

    let identity = with_identity(&ours, "ours");
    assert_eq!(outcome(&url, &identity).await, Ok(Delivered));
    let stranger = with_identity(&theirs, "theirs");
    assert_eq!(outcome(&url, &stranger).await, Err("tls"));
    assert_eq!(outcome(&url, &ca).await, Err("tls"), "no certificate");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_or_closes_in_the_handshake_is_told_from_one_that_is_down() {
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    let closing = tokio::spawn(async move {
        while let Ok((socket, _)) = plain.accept().await {
            socket.readable().await.ok();
            // All of the greeting is read, so that the connection ends and is not reset.
            let mut greeting = [0; 4096];
            socket.try_read(&mut greeting).ok();
        }
    });
    assert_eq!(outcome(&url, "").await, Err("tls"));
    closing.abort();
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new();
    let issued = ours.issue("agent", ExtendedKeyUsagePurpose::ClientAuth);
    let cert = write(dir.path(), "cert.pem", &issued.pem);
    let other = KeyPair::generate().unwrap().serialize_pem();
    let key = write(dir.path(), "key.pem", &other);
    let settings = format!(
        r#"{{"url":"https://localhost","tls":{{"cert_file":"{}","key_file":"{}"}}}}"#,
        cert.display(),
        key.display()
    );
    let settings: tailwater_sink_loki::LokiSettings = serde_json::from_str(&settings).unwrap();
    let error = tailwater_sink::SinkSettings::build(&settings).unwrap_err();
    assert_eq!(error.key, "tls.key_file");
    assert!(!error.reason.contains("PRIVATE"), "{}", error.reason);
}
