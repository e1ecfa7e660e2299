//! Where to listen and what to connect to.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::error::Error;

/// The variable that holds the address to use where none is given.
const VARIABLE: &str = "MASEP_ADDRESS";

/// A host, which may be a name, and a port: `HOST:PORT` or `[IPv6]:PORT`, also with `pymasep://` or
/// `tcp://` in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

/// Text that is no [`Address`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAddress {
    #[error("unknown scheme {0:?}: there are pymasep:// and tcp://")]
    Scheme(String),
    #[error("no port: expected HOST:PORT")]
    NoPort,
    #[error("{0:?} is no port: expected a number from 0 to 65535")]
    Port(String),
    #[error("no host: 0.0.0.0 listens on every IPv4 address, [::] on IPv6 too")]
    NoHost,
    #[error("{0:?} is no host: an IPv6 address stands in brackets, as in [::1]:60000")]
    Host(String),
}

impl Default for Address {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 60_000,
        }
    }
}

impl Address {
    /// The given address, else that of `MASEP_ADDRESS`, else 127.0.0.1:60000.
    pub(crate) fn or_default(given: Option<Self>) -> Result<Self, Error> {
        if let Some(given) = given {
            return Ok(given);
        }
        let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
            return Ok(Self::default());
        };
        let value = value.to_string_lossy();
        value
            .parse()
            .map_err(|error| Error::Usage(format!("{VARIABLE} is {value:?}: {error}")))
    }
}

impl Address {
    /// The host, without brackets, and the port: so the system also takes the name of a zone.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        (host, self.port)
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let address = match text.split_once("://") {
            Some(("pymasep" | "tcp", address)) => address,
            Some((scheme, _)) => return Err(InvalidAddress::Scheme(scheme.into())),
            None => text,
        };
        let (host, port) = address.rsplit_once(':').ok_or(InvalidAddress::NoPort)?;
        let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let is_host = match bracketed {
            // What follows % is the interface of a link-local address.
            Some(ip) => ip
                .split('%')
                .next()
                .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
            None => !host.contains([':', '/', '[', ']', '@', ' ']),
        };
        if !is_host {
            return Err(InvalidAddress::Host(host.into()));
        }
        if host.is_empty() {
            return Err(InvalidAddress::NoHost);
        }
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port
            .parse()
            .ok()
            .filter(|_| is_number)
            .ok_or_else(|| InvalidAddress::Port(port.into()))?;
        Ok(Self {
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, address) in [
            ("127.0.0.1:60000", "127.0.0.1:60000"),
            ("localhost:0", "localhost:0"),
            ("[::1]:60000", "[::1]:60000"),
            ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
            ("tcp://engine.example:65535", "engine.example:65535"),
            ("pymasep://[::]:5", "[::]:5"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), address);
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        use InvalidAddress as Invalid;
        for (text, error) in [
            ("127.0.0.1", Invalid::NoPort),
            ("", Invalid::NoPort),
            (":60000", Invalid::NoHost),
            ("::1:60000", Invalid::Host("::1".into())),
            ("[::1:60000", Invalid::Host("[::1".into())),
            ("[one]:60000", Invalid::Host("[one]".into())),
            ("user@host:1", Invalid::Host("user@host".into())),
            ("host:65536", Invalid::Port("65536".into())),
            ("host:", Invalid::Port(String::new())),
            ("host:+1", Invalid::Port("+1".into())),
            ("tcp://host:1/path", Invalid::Port("1/path".into())),
            ("ws://host:1", Invalid::Scheme("ws".into())),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
        }
    }
}
