//! Certificates of tests.

use std::time::{Duration, SystemTime};

use masep::tls::rustls::crypto::hash::{HashAlgorithm, Output};
use masep::tls::rustls::{self, SupportedCipherSuite};
use masep::tls::{ClientTls, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::directory::Directory;

const DAY: Duration = Duration::from_secs(86_400);

/// One that makes certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The PEM of a certificate, of those above it, and of its key.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// When a certificate is valid, from now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Validity {
    Now,
    Over,
    Later,
}

impl Validity {
    fn times<T: From<SystemTime>>(self) -> (T, T) {
        let now = SystemTime::now();
        let (from, to) = match self {
            Self::Now => (now - DAY, now + DAY),
            Self::Over => (now - 2 * DAY, now - DAY),
            Self::Later => (now + DAY, now + 2 * DAY),
        };
        (from.into(), to.into())
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("masep's tests")
    }

    pub(crate) fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(authority(name), key).unwrap())
    }

    /// One that stands below this, whose servers send its certificate with their own.
    pub(crate) fn below(&self, validity: Validity) -> Self {
        let mut params = authority("below masep's tests");
        (params.not_before, params.not_after) = validity.times();
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        let hash = rustls_sha256(self.0.der());
        hash.as_ref().try_into().unwrap()
    }

    /// A certificate for these names, or addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Server {
        self.server_at(names, Validity::Now)
    }

    pub(crate) fn server_at(&self, names: &[&str], validity: Validity) -> Server {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = validity.times();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Server {
            chain: format!("{}{}", certificate.pem(), self.pem()),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn trusted(&self) -> ClientTls {
        ClientTls::new().ca_pem(self.pem())
    }
}

impl Server {
    pub(crate) fn tls(&self) -> ServerTls {
        ServerTls::pem(&self.chain, &self.key)
    }

    /// Writes it to its files in this directory, the key first.
    pub(crate) fn write(&self, directory: &Directory) {
        self.write_key(directory);
        self.write_chain(directory);
    }

    pub(crate) fn write_key(&self, directory: &Directory) {
        std::fs::write(directory.path("server.key"), &self.key).unwrap();
    }

    pub(crate) fn write_chain(&self, directory: &Directory) {
        std::fs::write(directory.path("server.pem"), &self.chain).unwrap();
    }

    /// That of those files.
    pub(crate) fn files(directory: &Directory) -> ServerTls {
        ServerTls::files(directory.path("server.pem"), directory.path("server.key"))
    }
}

fn rustls_sha256(bytes: &[u8]) -> Output {
    let provider = rustls::crypto::ring::default_provider();
    let suites = provider.cipher_suites.iter();
    let mut hashes = suites.map(|suite| match suite {
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        #[allow(
            unreachable_patterns,
            reason = "there are others where rustls has TLS 1.2"
        )]
        _ => unreachable!(),
    });
    let sha256 = hashes.find(|hash| hash.algorithm() == HashAlgorithm::SHA256);
    sha256.unwrap().hash(bytes)
}
