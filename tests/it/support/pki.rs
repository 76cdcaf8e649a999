//! A certification authority for one test, and TLS servers with good and bad certificates.
//!
//! Root → intermediate → leaf, so that a report has a chain to show. Everything is made anew for each test; only
//! the root's PEM is a file, because `--cacert` wants one.

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::origin::Origin;
use super::{LIMIT, noise};

/// What is right or wrong with a server's certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaf {
    /// For `localhost` and 127.0.0.1, valid, from the authority.
    Good,
    /// As `Good`, for another name.
    WrongName,
    /// As `WrongName`, and its names are words of the verifier.
    Misleading,
    /// As `Good`, but its time is over.
    Expired,
    /// As `Good`, but its time has not begun.
    NotYetValid,
    /// For `localhost`, signed by nobody else.
    SelfSigned,
    /// As `SelfSigned`, and an authority by its own account: what `openssl req -x509` makes.
    OwnAuthority,
    /// As `Good`, with [`HOSTILE_NAME`] for its common name.
    Hostile,
    /// As `Good`, for one to three years from now.
    SomeYears,
}

/// A name that a terminal would obey: a colour by the C1 control CSI, and a change of direction.
pub(crate) const HOSTILE_NAME: &str = "evil\u{9b}31m\u{202e}gro\u{61c}\u{1b}[2J";

/// The authority.
pub(crate) struct Pki {
    dir: TempDir,
    intermediate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let (root, root_key) = (authority("wimble test root"), KeyPair::generate().unwrap());
        let root_certificate = root.self_signed(&root_key).unwrap();
        let (params, key) = (authority("wimble test intermediate"), KeyPair::generate().unwrap());
        let intermediate = params.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), root_certificate.pem()).unwrap();
        Self { dir, intermediate, issuer: Issuer::new(params, key) }
    }

    /// The root, as `--cacert` wants it.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The root and the intermediate, for servers that send their own certificate alone (Squid with GnuTLS).
    pub(crate) fn authorities_file(&self) -> PathBuf {
        let path = self.dir.path().join("authorities.pem");
        let root = std::fs::read_to_string(self.ca_file()).unwrap();
        std::fs::write(&path, root + &self.intermediate.pem()).unwrap();
        path
    }

    /// The certificate that the server made last shows.
    pub(crate) fn leaf_file(&self) -> PathBuf {
        self.dir.path().join("leaf.pem")
    }

    /// Such a certificate and its key as files for a real server: the chain, the key.
    pub(crate) fn files(&self, leaf: Leaf, key: &KeyPair) -> (PathBuf, PathBuf) {
        let path = |name: &str| self.dir.path().join(name);
        let pem: String = self.chain(leaf, key).iter().map(Certificate::pem).collect();
        std::fs::write(path("chain.pem"), pem).unwrap();
        std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
        (path("chain.pem"), path("key.pem"))
    }

    /// A client's certificate and key, for the tests' user alone.
    pub(crate) fn identity(&self) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client.test".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let path = |name: &str| self.dir.path().join(name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem() + &self.intermediate.pem();
        std::fs::write(path("client.pem"), pem).unwrap();
        std::fs::write(path("client.key"), key.serialize_pem()).unwrap();
        std::fs::set_permissions(path("client.key"), Permissions::from_mode(0o600)).unwrap();
        (path("client.pem"), path("client.key"))
    }

    /// What a TLS server that shows such a certificate is made with.
    pub(crate) fn server_config(&self, leaf: Leaf) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let chain = self.chain(leaf, &key);
        std::fs::write(self.leaf_file(), chain[0].pem()).unwrap();
        Arc::new(server_config(chain.into_iter().map(Into::into).collect(), &key))
    }

    /// A TLS server that shows a good certificate, of which it does not have the key.
    pub(crate) fn copyist(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let chain = self.chain(Leaf::Good, &KeyPair::generate().unwrap());
        let chain: Vec<CertificateDer<'static>> = chain.into_iter().map(Into::into).collect();
        let other =
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KeyPair::generate().unwrap().serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = provider.key_provider.load_private_key(other).unwrap();
        let shown = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key));
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(shown)))
    }

    /// A TLS server that shows such a certificate.
    pub(crate) fn server(&self, leaf: Leaf) -> TlsServer {
        let key = KeyPair::generate().unwrap();
        let chain = self.chain(leaf, &key);
        std::fs::write(self.leaf_file(), chain[0].pem()).unwrap();
        let chain: Vec<CertificateDer<'static>> = chain.into_iter().map(Into::into).collect();
        let fingerprint = Sha256::digest(&chain[0]).iter().map(|byte| format!("{byte:02x}")).collect();
        let config = Arc::new(server_config(chain, &key));
        let origin = Origin::serving(move |tcp| {
            // A client that only looks at the handshake, or gives up on it, is what `check` is for.
            answer(tcp, Arc::clone(&config)).ok();
        });
        TlsServer { port: origin.port(), fingerprint }
    }

    fn chain(&self, leaf: Leaf, key: &KeyPair) -> Vec<Certificate> {
        let name = match leaf {
            Leaf::WrongName => "elsewhere.test",
            Leaf::Misleading => "BadSignature.UnknownIssuer.test",
            Leaf::Good
            | Leaf::Expired
            | Leaf::NotYetValid
            | Leaf::SelfSigned
            | Leaf::OwnAuthority
            | Leaf::Hostile
            | Leaf::SomeYears => "localhost",
        };
        let mut names = vec![name.to_owned()];
        if !matches!(leaf, Leaf::WrongName | Leaf::Misleading) {
            names.push("127.0.0.1".to_owned());
        }
        let mut params = CertificateParams::new(names).unwrap();
        let common_name = if matches!(leaf, Leaf::Hostile) { HOSTILE_NAME } else { name };
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = date_time_ymd(if matches!(leaf, Leaf::NotYetValid) { 2048 } else { 2020 }, 1, 1);
        let ends = match leaf {
            Leaf::Expired => 2021,
            Leaf::SomeYears => 1972 + (UNIX_EPOCH.elapsed().unwrap().as_secs() / (365 * 86_400)) as i32,
            Leaf::Good
            | Leaf::WrongName
            | Leaf::Misleading
            | Leaf::NotYetValid
            | Leaf::SelfSigned
            | Leaf::OwnAuthority
            | Leaf::Hostile => 2049,
        };
        params.not_after = date_time_ymd(ends, 1, 1);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        match leaf {
            Leaf::SelfSigned => vec![params.self_signed(key).unwrap()],
            Leaf::OwnAuthority => {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                vec![params.self_signed(key).unwrap()]
            }
            Leaf::Good
            | Leaf::WrongName
            | Leaf::Misleading
            | Leaf::Expired
            | Leaf::NotYetValid
            | Leaf::Hostile
            | Leaf::SomeYears => {
                vec![params.signed_by(key, &self.issuer).unwrap(), self.intermediate.clone()]
            }
        }
    }
}

fn server_config(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    params
}

/// An HTTPS server on 127.0.0.1 that answers `GET /SIZE` with that many bytes of [`body`].
pub(crate) struct TlsServer {
    port: u16,
    fingerprint: String,
}

impl TlsServer {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// SHA-256 of the leaf, in hex without colons.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// What the server answers to `GET /SIZE`.
pub(crate) fn body(size: usize) -> Vec<u8> {
    noise(size, size as u64)
}

fn answer(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    tcp.set_write_timeout(Some(LIMIT))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, tcp);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let size = head.strip_prefix("GET /").and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0);
    write!(tls, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n")?;
    tls.write_all(&body(size))?;
    tls.conn.send_close_notify();
    tls.flush()
}
