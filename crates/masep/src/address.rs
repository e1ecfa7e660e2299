//! Addresses: of live sockets, and as users write them.

mod resolve;
mod target;

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use masep_proto::connection::Protocols;

pub use target::{IntoTarget, Target};

/// The address of a socket: the one a server listens on, or that of a peer.
///
/// As text, `127.0.0.1:60000`, `[::1]:60000` or `unix:///run/game.sock`. An address can be connected to and listened on
/// ([`IntoTarget`]). It is also a [`ToSocketAddrs`], which has no addresses for a Unix socket.
///
/// ```
/// use masep::Address;
///
/// let address: Address = "unix:///run/game.sock".parse()?;
/// assert_eq!(address.unix_path(), Some("/run/game.sock".as_ref()));
/// assert_eq!(address.tcp(), None);
/// # Ok::<_, masep::InvalidAddress>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A host and a port of TCP.
    Tcp(SocketAddr),
    /// The path of a Unix socket. A peer that has connected to a Unix socket has no path of its own: it is shown with
    /// that of the server. The path is empty where there is none at all, as for both ends of a socket pair.
    Unix(Arc<Path>),
}

impl Address {
    /// The address of a Unix socket with this path.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix(Arc::from(path.as_ref()))
    }

    /// The host and the port, if it is one of TCP.
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The path, if it is a Unix socket's. Empty if that has none.
    pub fn unix_path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path) => Some(path),
        }
    }

    /// An IPv4 peer of an IPv6 socket as what it is.
    pub(crate) fn canonical(address: SocketAddr) -> Self {
        Self::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) if path.as_os_str().is_empty() => f.write_str("unix:"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Host names are none: only a [`Target`] has them. So it is with `masep://`: an address cannot insist on a protocol.
impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let target: Target = text.parse()?;
        if target.protocols() == Some(Protocols::Masep2) {
            return Err(InvalidAddress::new(text, Fault::Protocol));
        }
        let literal = target.literal();
        literal.ok_or_else(|| InvalidAddress::new(text, Fault::Name))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.tcp() == Some(*other)
    }
}

impl PartialEq<Address> for SocketAddr {
    fn eq(&self, other: &Address) -> bool {
        other == self
    }
}

impl ToSocketAddrs for Address {
    type Iter = std::option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let address = self.tcp().ok_or_else(|| {
            let message = format!("{self} has no host and port");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        Ok(Some(address).into_iter())
    }
}

/// Text or a path that is no address, with what is wrong with it. It is the caller's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no address: {fault}")]
pub struct InvalidAddress {
    given: String,
    fault: Fault,
}

impl InvalidAddress {
    fn new(given: &str, fault: Fault) -> Self {
        Self {
            given: given.to_owned(),
            fault,
        }
    }

    /// The fault in the address, without its text.
    pub fn reason(&self) -> String {
        self.fault.to_string()
    }

    /// The text that is no address, or the path as such.
    pub(crate) fn given(&self) -> &str {
        &self.given
    }
}

impl From<InvalidAddress> for io::Error {
    fn from(error: InvalidAddress) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("expected HOST:PORT or unix:///PATH; there is no port")]
    NoPort,
    #[error("{0:?} is no port: expected a number from 0 to 65535")]
    Port(String),
    #[error(
        "expected HOST:PORT or unix:///PATH; there is no host (0.0.0.0 listens on every IPv4 address, [::] on IPv6 too)"
    )]
    NoHost,
    #[error("{0:?} is no host: an IPv6 address stands in brackets, as in [::1]:60000")]
    Host(String),
    #[error("expected an IP address or unix:///PATH, not a name")]
    Name,
    #[error("expected IP:PORT or unix:///PATH, without a protocol to insist on")]
    Protocol,
    #[error("unknown scheme {0:?}: expected HOST:PORT, masep+tls://HOST:PORT or unix:///PATH")]
    Scheme(String),
    #[error(
        "{0}:// is not supported yet: expected HOST:PORT, masep+tls://HOST:PORT or unix:///PATH"
    )]
    Later(String),
    #[error("the path of a Unix socket begins with a slash, as in unix:///run/game.sock")]
    RelativePath,
    #[error("the path of a Unix socket is not empty, and contains no NUL")]
    Path,
    #[error("the path of a Unix socket has at most {allowed} bytes here, this one has {actual}")]
    LongPath { actual: usize, allowed: usize },
}

#[cfg(test)]
mod tests;
