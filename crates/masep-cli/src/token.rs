//! Access tokens: those that a client is given, and `masep token`, which makes them.
//!
//! A token comes from a file or from the environment: an argument would be seen by everybody on the machine.

mod file;
mod verb;

use std::env::VarError;
use std::path::{Path, PathBuf};

use clap::Args;
use masep::tls::ClientTls;
use masep::{AccessToken, ClientBuilder, ConnectionString, PlayerBuilder, Target};

use crate::error::Error;
use crate::files;

pub(crate) use self::verb::TokenVerb;

/// The variable that has the token where no file is given.
const VARIABLE: &str = "MASEP_TOKEN";

/// The option of verbs that connect.
#[derive(Debug, Args)]
pub(crate) struct TokenFile {
    /// A file with the access token, or with the line of `masep token new`; without it that of `MASEP_TOKEN`, if there is one
    ///
    /// With that line, which has the server's address too, no ADDRESS is needed. A token goes in TLS (masep+tls://) and over Unix sockets alone.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenFile {
    /// The token in the file, else `MASEP_TOKEN`, if there is one.
    pub(crate) fn read(&self) -> Result<Option<Credentials>, Error> {
        credentials(self.token_file.as_deref())
    }
}

/// A token, and where it is for, if that is known.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) token: AccessToken,
    pub(crate) address: Option<Target>,
    /// The line that it stands in.
    string: Option<ConnectionString>,
}

impl Credentials {
    /// The certificate authority in them, as the one that is trusted in TLS.
    pub(crate) fn tls(&self) -> Option<ClientTls> {
        let ca = self.string.as_ref()?.ca()?;
        Some(ClientTls::new().ca_sha256(*ca.as_bytes()))
    }

    /// A client that has these.
    pub(crate) fn of_client(&self, builder: ClientBuilder) -> ClientBuilder {
        match &self.string {
            Some(string) => builder.credentials(string),
            None => builder.token(self.token.clone()),
        }
    }

    /// A player that has these.
    pub(crate) fn of_player(&self, builder: PlayerBuilder) -> PlayerBuilder {
        match &self.string {
            Some(string) => builder.credentials(string),
            None => builder.token(self.token.clone()),
        }
    }
}

/// White space around a token does not count.
fn credentials(file: Option<&Path>) -> Result<Option<Credentials>, Error> {
    let (text, source) = match file {
        Some(file) => {
            let source = format!("the token file {}", file.display());
            let text = files::read(file);
            let text =
                text.map_err(|error| Error::Unusable(format!("cannot read {source}: {error}")));
            (text?, source)
        }
        None => match std::env::var(VARIABLE) {
            Ok(value) => (value, VARIABLE.to_owned()),
            Err(VarError::NotPresent) => return Ok(None),
            // Its value is a secret.
            Err(VarError::NotUnicode(_)) => {
                return Err(Error::Usage(format!("{VARIABLE} is no text in UTF-8")));
            }
        },
    };
    match (text.trim(), file) {
        ("", Some(_)) => Err(Error::Unusable(format!("{source} has no token"))),
        ("", None) => Ok(None),
        (text, _) if text.contains("://") => {
            let string: ConnectionString = text.parse().map_err(|error| {
                let text = format!("{source}: {error}");
                file.map_or_else(
                    || Error::Usage(text.clone()),
                    |_| Error::Unusable(text.clone()),
                )
            })?;
            Ok(Some(Credentials {
                token: string.token().clone(),
                address: string.address().parse().ok(),
                string: Some(string),
            }))
        }
        (token, _) => Ok(Some(Credentials {
            token: AccessToken::from(token),
            address: None,
            string: None,
        })),
    }
}
