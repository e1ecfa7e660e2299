//! The certificates of a run: an authority, and a server on 127.0.0.1 that it vouches for.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};

/// The certificate, key and authority of a client and a server, as PEM. It is worth nothing outside the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Certificates {
    /// The certificate of the authority.
    pub(crate) ca: String,
    /// The certificate of the server.
    pub(crate) server: String,
    /// Its key, on the curve P-256.
    pub(crate) key: String,
}

impl Certificates {
    /// New ones.
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "masep-bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        Ok(Self {
            ca: authority.pem(),
            server: params.signed_by(&key, &authority)?.pem(),
            key: key.serialize_pem(),
        })
    }
}
