//! Tokens, and those whom a host sends away.

use std::net::IpAddr;
use std::path::PathBuf;

use masep::access::Subject;
use masep::{AccessToken, ConnectionString, PeerId, Protocols, Target, Tokens};
use pyo3::prelude::*;

use crate::{bounds, client, errors};

/// The tokens of this file, if there is one.
pub(crate) fn tokens(py: Python<'_>, file: Option<PathBuf>) -> PyResult<Option<Tokens>> {
    let tokens = file.map(Tokens::file).transpose();
    tokens.map_err(|error| errors::caller(py, error.to_string()))
}

/// The place of a client, and what it has to be let in.
pub(crate) struct Way {
    pub(crate) target: Target,
    pub(crate) protocols: Protocols,
    string: Option<ConnectionString>,
    token: Option<AccessToken>,
}

/// A builder that takes the credentials of a [`Way`].
macro_rules! with_credentials {
    ($way:expr, $builder:expr) => {{
        let (way, mut builder) = (&$way, $builder);
        if let Some(string) = way.string() {
            builder = builder.credentials(string);
        }
        if let Some(token) = way.token() {
            builder = builder.token(token.clone());
        }
        builder
    }};
}

pub(crate) use with_credentials;

impl Way {
    /// Reads an address, or a connection string.
    pub(crate) fn new(
        py: Python<'_>,
        address: &str,
        token: Option<String>,
        protocol: Option<bounds::Generation>,
    ) -> PyResult<Self> {
        // A text that has a token in it is not shown in an error.
        let string: Option<ConnectionString> = match address.contains("?token=") {
            true => {
                let string = address.parse();
                Some(
                    string.map_err(|error: masep::access::InvalidConnectionString| {
                        errors::caller(py, error.to_string())
                    })?,
                )
            }
            false => None,
        };
        let address = string.as_ref().map_or(address, ConnectionString::address);
        let target = client::target(py, address)?;
        let protocols = bounds::protocols(py, protocol, address, target.protocols())?;
        Ok(Self {
            target,
            protocols,
            string,
            // Text of a file ends with its line.
            token: token.map(|token| AccessToken::from(token.trim())),
        })
    }

    pub(crate) const fn string(&self) -> Option<&ConnectionString> {
        self.string.as_ref()
    }

    pub(crate) const fn token(&self) -> Option<&AccessToken> {
        self.token.as_ref()
    }
}

/// Those who are sent away: one of the three.
pub(crate) fn subject(
    py: Python<'_>,
    id: Option<String>,
    token: Option<String>,
    address: Option<String>,
) -> PyResult<Subject> {
    match (id, token, address) {
        (Some(id), None, None) => Ok(Subject::Id(PeerId::from(id))),
        (None, Some(name), None) => Ok(Subject::Token(name.into())),
        (None, None, Some(address)) => match address.parse::<IpAddr>() {
            Ok(address) => Ok(Subject::Address(address)),
            Err(_) => Err(errors::caller(py, format!("{address:?} is no IP address"))),
        },
        _ => Err(errors::caller(py, "one of id, token and address is wanted")),
    }
}
