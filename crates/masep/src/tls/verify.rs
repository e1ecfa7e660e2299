//! Trust in one authority that is known by its hash, and certificates that are shown before they are judged.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::hash::{Hash, HashAlgorithm};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme, SupportedCipherSuite,
};

use crate::TlsError;

/// Accepts the servers of one authority, which they send with their own certificate. Times, signatures and uses are looked at
/// as always, names are not.
pub(super) struct ByHash {
    authority: [u8; 32],
    sha256: &'static dyn Hash,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ByHash {
    pub(super) fn new(
        authority: [u8; 32],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let hashes = provider
            .cipher_suites
            .iter()
            .filter_map(|suite| match suite {
                SupportedCipherSuite::Tls13(suite) => Some(suite.common.hash_provider),
                #[allow(
                    unreachable_patterns,
                    reason = "there are others where rustls has TLS 1.2"
                )]
                _ => None,
            });
        let sha256 = hashes
            .into_iter()
            .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
            .ok_or_else(|| TlsError::Provider("it has no SHA-256".into()))?;
        Ok(Self {
            authority,
            sha256,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    fn is_authority(&self, certificate: &CertificateDer<'_>) -> bool {
        self.sha256.hash(certificate).as_ref() == self.authority
    }
}

impl ServerCertVerifier for ByHash {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|it| self.is_authority(it));
        let authority = authority.ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let server = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &server,
            &roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for ByHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByHash").finish_non_exhaustive()
    }
}

/// A function that is shown the certificates of a server, its own first.
pub(super) type Inspect = Arc<dyn Fn(&[CertificateDer<'_>]) + Send + Sync>;

/// Shows certificates before another one judges them.
pub(super) struct Inspected {
    inspect: Inspect,
    judge: Arc<dyn ServerCertVerifier>,
}

impl Inspected {
    pub(super) const fn new(inspect: Inspect, judge: Arc<dyn ServerCertVerifier>) -> Self {
        Self { inspect, judge }
    }
}

impl ServerCertVerifier for Inspected {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = vec![end_entity.clone()];
        shown.extend_from_slice(intermediates);
        (self.inspect)(&shown);
        self.judge
            .verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.judge.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.judge.root_hint_subjects()
    }
}

impl fmt::Debug for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspected")
            .field("judge", &self.judge)
            .finish_non_exhaustive()
    }
}
