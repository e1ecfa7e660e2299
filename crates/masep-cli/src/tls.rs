//! The options of TLS, which all verbs that listen or connect have in common.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use masep::tls::{ClientTls, ServerTls, TlsMode};
use masep::{Address, Target};

use crate::error::Error;
use crate::variables;

/// The certificate and key of a server, and the rule for its clients.
#[derive(Debug, Args)]
pub(crate) struct Certificate {
    /// Take connections in TLS, with the certificate in this file (PEM), and behind it those of its authorities
    ///
    /// Clients connect to masep+tls://HOST:PORT. `masep cert` makes one for a LAN. A file that changes is read anew for
    /// the next connection; a broken one is not taken, and said so in the log.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "TLS")]
    tls_cert: Option<PathBuf>,

    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    tls_key: Option<PathBuf>,

    /// Require TLS of clients, or allow it; with `allow`, one port is for both [default: require, if there is a
    /// certificate]
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        requires = "tls_cert",
        help_heading = "TLS"
    )]
    tls: Option<Mode>,
}

/// See [`TlsMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// All do
    Require,
    /// Those that do, and those that do not
    Allow,
    /// Nobody does
    Off,
}

impl Certificate {
    /// The certificate, if one was given.
    pub(crate) fn tls(&self) -> Option<ServerTls> {
        let (certificate, key) = self.tls_cert.as_ref().zip(self.tls_key.as_ref())?;
        Some(ServerTls::files(certificate, key).mode(match self.tls {
            None | Some(Mode::Require) => TlsMode::Require,
            Some(Mode::Allow) => TlsMode::Allow,
            Some(Mode::Off) => TlsMode::Off,
        }))
    }

    /// The address of a server as clients take it: with the scheme where it has TLS.
    pub(crate) fn target(&self, address: &Address) -> String {
        match address.tcp() {
            Some(_) if self.is_shown() => format!("masep+tls://{address}"),
            _ => address.to_string(),
        }
    }

    /// True if clients are shown the certificate.
    fn is_shown(&self) -> bool {
        self.tls_cert.is_some() && self.tls != Some(Mode::Off)
    }

    /// Says that no client sends its token to this address, if that is so.
    pub(crate) fn warn_of_tokens(&self, address: &Address) {
        if address.tcp().is_some() && !self.is_shown() {
            tracing::warn!(
                "clients send their tokens in TLS and over Unix sockets alone, and {address} is neither: give it a \
                 certificate (--tls-cert and --tls-key, which masep cert makes)"
            );
        }
    }
}

/// The authorities that a client trusts.
#[derive(Clone, Debug, Args)]
pub(crate) struct Trust {
    /// Trust the authorities (CA) in this file (PEM), for masep+tls://, instead of those of the system
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    tls_ca: Option<PathBuf>,

    /// The name that the server's certificate has, where it is not the host of the address
    #[arg(long, value_name = "NAME", help_heading = "TLS")]
    tls_name: Option<String>,
}

impl Trust {
    /// The settings for this address, or for one that is searched.
    ///
    /// # Errors
    /// It was said for an address without TLS. As variables, they are for the addresses that have it.
    pub(crate) fn tls(&self, target: Option<&Target>) -> Result<Option<ClientTls>, Error> {
        if self.tls_ca.is_none() && self.tls_name.is_none() {
            return Ok(None);
        }
        if target.is_some_and(|target| !target.is_tls()) {
            if !variables::is_given("tls_ca") && !variables::is_given("tls_name") {
                return Ok(None);
            }
            let text = "--tls-ca and --tls-name are for masep+tls://HOST:PORT";
            return Err(Error::Usage(text.into()));
        }
        let mut tls = ClientTls::new();
        if let Some(file) = &self.tls_ca {
            tls = tls.ca_file(file);
        }
        if let Some(name) = &self.tls_name {
            tls = tls.server_name(name);
        }
        Ok(Some(tls))
    }
}
