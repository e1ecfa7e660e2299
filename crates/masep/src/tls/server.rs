//! The side that has a certificate.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use masep_proto::tls::ALPN;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use super::default_provider;
use super::pem::Source;
use super::reload::{CertificateState, Reload};
use crate::TlsError;
use crate::transport::tls::{Layer, Layered};
use crate::transport::{Socket, Transport};

/// The rule by which peers of a server speak TLS or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsMode {
    /// All do. Others are told so, and refused.
    #[default]
    Require,
    /// One port is for both: the first bytes of a peer tell. Others speak what the server takes without TLS, and can
    /// be read and changed on their way.
    Allow,
    /// None does, as without a certificate.
    Off,
}

/// The certificate of a server, its key, and whether peers have to use TLS.
///
/// A new connection has the files looked at again, once a second at most. When a file has changed, connections from
/// then on use its new content; those that are there keep the old. If the new content is broken, or the key does not
/// fit, the old stays in use, which is logged, and told by [`Server::certificate`](crate::Server::certificate).
#[derive(Clone)]
#[must_use]
pub struct ServerTls {
    certificate: Source,
    key: Source,
    mode: TlsMode,
    provider: Option<Arc<CryptoProvider>>,
}

impl ServerTls {
    /// From two files of PEM: the certificate of the server, then those above it, and the key (PKCS#8, SEC1 or PKCS#1). They
    /// may be one file.
    ///
    /// For clients that know their authority by its hash alone ([`ClientTls::ca_sha256`](super::ClientTls::ca_sha256)),
    /// the authority's own certificate is to be the last one.
    pub fn files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Self::new(
            Source::File(certificate.as_ref().to_owned()),
            Source::File(key.as_ref().to_owned()),
        )
    }

    /// As [`files`](Self::files), from what is in such files.
    pub fn pem(certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        Self::new(
            Source::Memory(certificate.as_ref().into()),
            Source::Memory(key.as_ref().into()),
        )
    }

    const fn new(certificate: Source, key: Source) -> Self {
        Self {
            certificate,
            key,
            mode: TlsMode::Require,
            provider: None,
        }
    }

    /// Sets whether peers have to speak TLS. Default [`TlsMode::Require`]. An address that begins with `masep+tls://`
    /// requires it too.
    pub const fn mode(mut self, mode: TlsMode) -> Self {
        self.mode = mode;
        self
    }

    /// The cryptography. Default: ring's.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// The settings for what was read of the certificate and the key.
    pub(super) fn load(&self, content: &Content) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = self.provider.clone().unwrap_or_else(default_provider);
        let chain = self.certificate.certificates(&content.certificate)?;
        let key = self.key.key(&content.key)?;
        let certified = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| TlsError::Provider(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ForOurs(Arc::new(certified))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // No resumption: a connection lives long, and a ticket would be one more secret.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }

    /// Reads the certificate and the key.
    pub(super) fn read(&self) -> Result<Content, TlsError> {
        Ok(Content {
            certificate: self.certificate.read()?,
            key: self.key.read()?,
        })
    }

    /// The same, where files may have become something else.
    pub(super) fn read_again(&self) -> Result<Content, TlsError> {
        Ok(Content {
            certificate: self.certificate.read_again()?,
            key: self.key.read_again()?,
        })
    }

    /// The stamps of both files, which differ when one has changed.
    pub(super) fn stamps(&self) -> super::reload::Stamps {
        (self.certificate.stamp(), self.key.stamp())
    }
}

/// The bytes of a certificate and a key.
#[derive(PartialEq, Eq)]
pub(super) struct Content {
    certificate: Arc<[u8]>,
    key: Arc<[u8]>,
}

/// Nothing of the key.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// The certificate, for clients that name our protocol alone: rustls by itself is content with those that name none.
#[derive(Debug)]
struct ForOurs(Arc<CertifiedKey>);

impl ResolvesServerCert for ForOurs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_ours = hello.alpn()?.any(|protocol| protocol == ALPN);
        is_ours.then(|| self.0.clone())
    }
}

/// Puts TLS under the connections of a server.
#[derive(Debug)]
pub(crate) struct Acceptor {
    reload: Mutex<Reload>,
    /// Peers without TLS are refused.
    requires: bool,
}

impl Acceptor {
    /// Reads the certificate and the key. `None` where there is to be no TLS. `insists`: the address says that there is.
    pub(crate) fn load(tls: &ServerTls, insists: bool) -> Result<Option<Self>, TlsError> {
        let mode = if insists { TlsMode::Require } else { tls.mode };
        if mode == TlsMode::Off {
            return Ok(None);
        }
        Ok(Some(Self {
            reload: Mutex::new(Reload::begin(tls.clone(), Instant::now())?),
            requires: mode == TlsMode::Require,
        }))
    }

    pub(crate) const fn requires(&self) -> bool {
        self.requires
    }

    fn reload(&self) -> std::sync::MutexGuard<'_, Reload> {
        self.reload.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layer(&self) -> Layer {
        Layer::accept(self.reload().current(Instant::now()))
    }

    pub(crate) fn wrap<T: Transport>(&self, transport: T) -> Layered<T> {
        Layered::new(transport, self.layer())
    }

    pub(crate) fn wrap_socket(&self, socket: Socket) -> Socket {
        socket.with_layer(self.layer())
    }

    /// The state of the certificate that is in use.
    pub(crate) fn certificate(&self) -> CertificateState {
        self.reload().state(Instant::now())
    }
}
