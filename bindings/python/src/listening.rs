//! The options that servers and tables have in common.

use std::path::PathBuf;

use masep::{Limits, Protocols};
use pyo3::prelude::*;

use crate::admitting::AccessRequests;
use crate::rejections::Rejections;
use crate::{bounds, tls};

/// `masep._listening.ListenOptions`, by its attributes.
#[derive(FromPyObject)]
pub(crate) struct ListenOptions<'py> {
    pub(crate) announce: bool,
    limits: Option<Bound<'py, PyAny>>,
    pub(crate) server_limits: Option<Bound<'py, PyAny>>,
    pub(crate) socket_options: Option<Bound<'py, PyAny>>,
    protocol: Option<bounds::Generation>,
    pub(crate) certificate: Option<tls::Certificate>,
    pub(crate) tokens: Option<PathBuf>,
    pub(crate) pymasep_listen: Option<String>,
    pub(crate) access_requests: Option<Py<AccessRequests>>,
    pub(crate) rejections: Py<Rejections>,
}

impl ListenOptions<'_> {
    /// The bounds of messages and connections.
    pub(crate) fn limits(&self) -> PyResult<Limits> {
        bounds::limits(self.limits.as_ref())
    }

    /// The generations of the protocol that are spoken at this address, whose text says which.
    pub(crate) fn protocols(
        &self,
        py: Python<'_>,
        address: &str,
        by_address: Option<Protocols>,
    ) -> PyResult<Protocols> {
        bounds::protocols(py, self.protocol, address, by_address)
    }
}

/// The builder of a server or a table with these options, but for the protocols.
macro_rules! with_options {
    ($py:expr, $options:expr, $builder:expr) => {{
        use $crate::{access, bounds, errors, tls};

        let (py, options): (Python<'_>, $crate::listening::ListenOptions<'_>) = ($py, $options);
        let mut builder = $builder
            .announce(options.announce)
            .limits(options.limits()?)
            .server_limits(bounds::server_limits(options.server_limits.as_ref())?)
            .socket_options(bounds::socket_options(options.socket_options.as_ref())?)
            .on_reject(options.rejections.get().function());
        if let Some(tls) = tls::server(py, options.certificate)? {
            builder = builder.tls(tls);
        }
        if let Some(tokens) = access::tokens(py, options.tokens)? {
            builder = builder.tokens(tokens);
        }
        if let Some(requests) = options.access_requests {
            builder = builder.admit(requests.get().function(py)?);
        }
        if let Some(address) = options.pymasep_listen {
            let listening = builder.pymasep_listen(address);
            builder = listening.map_err(|error| errors::caller(py, error.to_string()))?;
        }
        builder
    }};
}

pub(crate) use with_options;
