//! The side that trusts.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use masep_proto::tls::ALPN;
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};

use super::default_provider;
use super::pem::Source;
use super::verify::{ByHash, Inspect, Inspected};
use crate::transport::tls::{Layer, Layered};
use crate::transport::{Socket, Transport};
use crate::whole_file::Stamp;
use crate::{Target, TlsError};

/// The time in which the system's authorities are read once.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// The authorities that a client trusts in TLS: by default those of the system, for the name that it connects to.
///
/// A file is read again when it has changed, and the system's authorities once a second at most: a new connection has what
/// is there then. Clones share what was read, so a client that connects often is cheaper with clones of one.
#[derive(Clone, Default)]
#[must_use]
pub struct ClientTls {
    trust: Trust,
    name: Option<String>,
    provider: Option<Arc<CryptoProvider>>,
    inspect: Option<Inspect>,
    made: Arc<Mutex<Option<Made>>>,
}

#[derive(Clone, Debug, Default)]
enum Trust {
    #[default]
    System,
    Authorities(Source),
    Hash([u8; 32]),
}

impl ClientTls {
    /// The system's authorities, and the host of the address as the name. `SSL_CERT_FILE` and `SSL_CERT_DIR` stand for those
    /// of the system where they are set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities in this file of PEM, and no others.
    pub fn ca_file(self, file: impl AsRef<Path>) -> Self {
        self.trust(Trust::Authorities(Source::File(file.as_ref().to_owned())))
    }

    /// As [`ca_file`](Self::ca_file), what is in such a file.
    pub fn ca_pem(self, pem: impl AsRef<[u8]>) -> Self {
        self.trust(Trust::Authorities(Source::Memory(pem.as_ref().into())))
    }

    /// Trusts the one authority whose certificate (DER) has this SHA-256, and no other. The server sends that certificate
    /// with its own. The name is not looked at: any server of that authority is trusted, for where it can be found may
    /// change. So this is for an authority that is the host's own.
    pub fn ca_sha256(self, hash: [u8; 32]) -> Self {
        self.trust(Trust::Hash(hash))
    }

    fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self.made = Arc::default();
        self
    }

    /// The name that the server's certificate is to have, where it is not the host of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Shows this function the certificates of each server that is connected to, the server's own first, before they are
    /// judged: so also those of a server that is not trusted then. It is called in the middle of the handshake, and must not
    /// wait. Nothing that it is shown is proved.
    pub fn inspect(
        mut self,
        inspect: impl Fn(&[CertificateDer<'_>]) + Send + Sync + 'static,
    ) -> Self {
        self.inspect = Some(Arc::new(inspect));
        self.made = Arc::default();
        self
    }

    /// The cryptography. Default: ring's.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self.made = Arc::default();
        self
    }

    /// Files, and the system's authorities, may change.
    fn load(&self, now: Instant) -> Result<Arc<ClientConfig>, TlsError> {
        let stamp = match &self.trust {
            // Else another content could have the same stamp.
            Trust::Authorities(source) => {
                let date = SystemTime::now();
                source.stamp().filter(|stamp| !stamp.is_fresh(date))
            }
            Trust::System | Trust::Hash(_) => None,
        };
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made()
            && self.is_current(made, stamp, now)
        {
            return Ok(made.config.clone());
        }
        // Without the lock: others connect meanwhile.
        let config = self.make()?;
        *made() = Some(Made {
            config: config.clone(),
            stamp,
            at: now,
        });
        Ok(config)
    }

    fn is_current(&self, made: &Made, stamp: Option<Stamp>, now: Instant) -> bool {
        match &self.trust {
            Trust::System => now.saturating_duration_since(made.at) < LOOK_TIME,
            Trust::Authorities(Source::File(_)) => stamp.is_some() && stamp == made.stamp,
            Trust::Authorities(Source::Memory(_)) | Trust::Hash(_) => true,
        }
    }

    fn make(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = self.provider.clone().unwrap_or_else(default_provider);
        let verifier: Arc<dyn ServerCertVerifier> = match &self.trust {
            Trust::System => by_authorities(system_authorities()?, &provider)?,
            Trust::Authorities(source) => {
                let mut roots = RootCertStore::empty();
                for certificate in source.certificates(&source.read()?)? {
                    add(&mut roots, certificate)?;
                }
                by_authorities(roots, &provider)?
            }
            Trust::Hash(hash) => Arc::new(ByHash::new(*hash, &provider)?),
        };
        let verifier = match &self.inspect {
            Some(inspect) => Arc::new(Inspected::new(inspect.clone(), verifier)),
            None => verifier,
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| TlsError::Provider(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn name_for(&self, target: &Target) -> Result<ServerName<'static>, TlsError> {
        let host = match &self.name {
            Some(name) => name.clone(),
            None => target.tls_name().unwrap_or_default(),
        };
        ServerName::try_from(host.clone()).or_else(|_| {
            if matches!(self.trust, Trust::Hash(_)) && self.name.is_none() {
                // Nobody looks at it.
                return ServerName::try_from("masep.invalid").map_err(|_| TlsError::Name(host));
            }
            Err(TlsError::Name(host))
        })
    }
}

/// The settings that were made of that for a connection, for those after it.
#[derive(Clone)]
struct Made {
    config: Arc<ClientConfig>,
    stamp: Option<Stamp>,
    at: Instant,
}

fn by_authorities(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    match verifier.build() {
        Ok(verifier) => Ok(verifier),
        Err(error) => Err(TlsError::Certificate(error.to_string())),
    }
}

fn add(roots: &mut RootCertStore, certificate: CertificateDer<'static>) -> Result<(), TlsError> {
    let added = roots.add(certificate);
    added.map_err(|error| TlsError::Certificate(error.to_string()))
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system may have some that are damaged.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let error = found.errors.first().map(ToString::to_string);
        return Err(TlsError::NoAuthorities(
            error.unwrap_or_else(|| "there are none".into()),
        ));
    }
    Ok(roots)
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("trust", &self.trust)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Puts TLS under the connections of a client.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// For connections to this target. `None` if they are without TLS.
    ///
    /// # Errors
    /// The settings for TLS cannot be used.
    pub(crate) fn load(tls: Option<&ClientTls>, target: &Target) -> Result<Option<Self>, TlsError> {
        static BY_DEFAULT: LazyLock<ClientTls> = LazyLock::new(ClientTls::new);
        let tls = match (tls, target.is_tls()) {
            (Some(_), false) if !target.may_be_tls() => {
                return Err(TlsError::PlainScheme(target.scheme()));
            }
            (Some(tls), _) => tls,
            (None, true) => &BY_DEFAULT,
            (None, false) => return Ok(None),
        };
        Ok(Some(Self {
            name: tls.name_for(target)?,
            config: tls.load(Instant::now())?,
        }))
    }

    fn layer(&self) -> Result<Layer, TlsError> {
        Layer::connect(self.config.clone(), self.name.clone())
            .map_err(|error| TlsError::Provider(error.to_string()))
    }

    pub(crate) fn wrap<T: Transport>(&self, transport: T) -> Result<Layered<T>, TlsError> {
        Ok(Layered::new(transport, self.layer()?))
    }

    pub(crate) fn wrap_socket(&self, socket: Socket) -> Result<Socket, TlsError> {
        Ok(socket.with_layer(self.layer()?))
    }
}
