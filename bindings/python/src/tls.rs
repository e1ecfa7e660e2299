//! TLS, as the Python package says it.

use std::path::PathBuf;

use masep::tls::{ClientTls, ServerTls, TlsMode};
use pyo3::prelude::*;

use crate::errors;

/// The files of a certificate and of its key, and whether peers have to use TLS.
pub(crate) type Certificate = (PathBuf, PathBuf, String);

/// A file of authorities, and the name that a server's certificate has.
pub(crate) type Trust = (Option<PathBuf>, Option<String>);

/// The certificate and key of a server, and the rule for its clients.
pub(crate) fn server(
    py: Python<'_>,
    certificate: Option<Certificate>,
) -> PyResult<Option<ServerTls>> {
    let Some((certificate, key, mode)) = certificate else {
        return Ok(None);
    };
    let mode = match mode.as_str() {
        "require" => TlsMode::Require,
        "allow" => TlsMode::Allow,
        "off" => TlsMode::Off,
        other => {
            let text = format!("tls is \"require\", \"allow\" or \"off\", not {other:?}");
            return Err(errors::caller(py, text));
        }
    };
    Ok(Some(ServerTls::files(certificate, key).mode(mode)))
}

/// The authorities that a client trusts, if they were given.
pub(crate) fn client(trust: Option<Trust>) -> Option<ClientTls> {
    let (authorities, name) = trust?;
    let mut tls = ClientTls::new();
    if let Some(file) = authorities {
        tls = tls.ca_file(file);
    }
    if let Some(name) = name {
        tls = tls.server_name(name);
    }
    Some(tls)
}
