//! Addresses as users write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use masep_proto::connection::Protocols;

use super::{Address, Fault, InvalidAddress};

/// The longest path of a Unix socket in bytes, without the NUL behind it.
pub(super) const LONGEST_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};

/// The address that a client connects to or a server listens on, as users write it.
///
/// | text | what |
/// | --- | --- |
/// | `HOST:PORT`, `tcp://HOST:PORT`, `masep://HOST:PORT`, `pymasep://HOST:PORT` | TCP. HOST is a name, an IPv4 address or an IPv6 address in brackets, which may have a zone: `[fe80::7%eth0]:60000` |
/// | `masep+tls://HOST:PORT` | TCP, and TLS in it |
/// | `unix:///PATH`, `masep+unix:///PATH`, `pymasep+unix:///PATH` | a Unix socket. The path is absolute, and taken as it is: `%20` is no space |
///
/// `masep` and `masep+tls` insist on protocol 2 and `pymasep` on pymasep's protocol, see [`protocols`](Self::protocols). Other
/// schemes are errors.
///
/// ```
/// use masep::Target;
///
/// let target: Target = "tcp://localhost:60000".parse()?;
/// assert_eq!(target.host_and_port(), Some(("localhost", 60000)));
/// assert_eq!(target.to_string(), "localhost:60000");
/// # Ok::<_, masep::InvalidAddress>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    location: Location,
}

/// The part in front of `://`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Tcp,
    Unix,
    Masep,
    MasepUnix,
    MasepTls,
    Pymasep,
    PymasepUnix,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A name or an IP address, without brackets.
    Host(String, u16),
    Sockets(Vec<SocketAddr>),
    Unix(Arc<Path>),
}

impl Scheme {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "tcp" => Self::Tcp,
            "unix" => Self::Unix,
            "masep" => Self::Masep,
            "masep+unix" => Self::MasepUnix,
            "masep+tls" => Self::MasepTls,
            "pymasep" => Self::Pymasep,
            "pymasep+unix" => Self::PymasepUnix,
            _ => return None,
        })
    }

    /// Those that are not there yet.
    fn comes_later(name: &str) -> bool {
        matches!(name, "ws" | "wss")
    }

    const fn is_unix(self) -> bool {
        matches!(self, Self::Unix | Self::MasepUnix | Self::PymasepUnix)
    }
}

impl Target {
    /// The generation of the protocol that its scheme insists on; `None` for `tcp`, `unix` and no scheme, which leave
    /// that to the builder.
    pub const fn protocols(&self) -> Option<Protocols> {
        match self.scheme {
            Scheme::Tcp | Scheme::Unix => None,
            Scheme::Masep | Scheme::MasepUnix | Scheme::MasepTls => Some(Protocols::Masep2),
            Scheme::Pymasep | Scheme::PymasepUnix => Some(Protocols::Pymasep),
        }
    }

    /// The scheme: `tcp` where none was given, `unix`, `masep`, `masep+unix`, `masep+tls`, `pymasep` or `pymasep+unix`.
    pub const fn scheme(&self) -> &'static str {
        match self.scheme {
            Scheme::Tcp => "tcp",
            Scheme::Unix => "unix",
            Scheme::Masep => "masep",
            Scheme::MasepUnix => "masep+unix",
            Scheme::MasepTls => "masep+tls",
            Scheme::Pymasep => "pymasep",
            Scheme::PymasepUnix => "pymasep+unix",
        }
    }

    /// The host, without brackets, and the port, if it has one of each.
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        match &self.location {
            Location::Host(host, port) => Some((host, *port)),
            _ => None,
        }
    }

    /// The path of the Unix socket, if it is one.
    pub fn unix_path(&self) -> Option<&Path> {
        match &self.location {
            Location::Unix(path) => Some(path),
            _ => None,
        }
    }

    /// True if the scheme says that there is TLS in the connection.
    pub const fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::MasepTls)
    }

    /// False if the scheme says that there is no TLS.
    pub(crate) const fn may_be_tls(&self) -> bool {
        matches!(self.scheme, Scheme::MasepTls | Scheme::Tcp)
    }

    /// The name that the certificate of a server is to have, as far as the address says one.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_name(&self) -> Option<String> {
        match &self.location {
            Location::Host(host, _) => Some(host.clone()),
            Location::Sockets(addresses) => {
                addresses.first().map(|address| address.ip().to_string())
            }
            Location::Unix(_) => None,
        }
    }

    pub(crate) const fn location(&self) -> &Location {
        &self.location
    }

    /// The addresses that it says without asking anybody for a name.
    pub(crate) fn literals(&self) -> Option<Vec<Address>> {
        match &self.location {
            Location::Host(host, port) => {
                let ip: IpAddr = host.parse().ok()?;
                Some(vec![SocketAddr::new(ip, *port).into()])
            }
            Location::Sockets(addresses) => {
                Some(addresses.iter().copied().map(Address::Tcp).collect())
            }
            Location::Unix(path) => Some(vec![Address::Unix(path.clone())]),
        }
    }

    /// The one address that it says.
    pub(super) fn literal(&self) -> Option<Address> {
        let addresses = self.literals()?;
        <[Address; 1]>::try_from(addresses)
            .ok()
            .map(|[address]| address)
    }

    fn tcp(host: &str, port: u16) -> Self {
        Self {
            scheme: Scheme::Tcp,
            location: Location::Host(host.to_owned(), port),
        }
    }

    fn sockets(addresses: impl Into<Vec<SocketAddr>>) -> Self {
        Self {
            scheme: Scheme::Tcp,
            location: Location::Sockets(addresses.into()),
        }
    }

    fn unix(path: Arc<Path>) -> Result<Self, InvalidAddress> {
        let bytes = path.as_os_str().as_bytes();
        let fault = if bytes.is_empty() || bytes.contains(&0) {
            Fault::Path
        } else if bytes.len() > LONGEST_PATH {
            Fault::LongPath {
                actual: bytes.len(),
                allowed: LONGEST_PATH,
            }
        } else {
            return Ok(Self {
                scheme: Scheme::Unix,
                location: Location::Unix(path),
            });
        };
        let given = format!("unix://{}", path.display());
        Err(InvalidAddress::new(&given, fault))
    }
}

impl fmt::Display for Target {
    /// As it is connected to: `tcp://` and `pymasep` are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Scheme::Masep => f.write_str("masep://")?,
            Scheme::MasepUnix => f.write_str("masep+")?,
            Scheme::MasepTls => f.write_str("masep+tls://")?,
            _ => {}
        }
        match &self.location {
            Location::Host(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Location::Host(host, port) => write!(f, "{host}:{port}"),
            Location::Sockets(addresses) => {
                for (number, address) in addresses.iter().enumerate() {
                    let comma = if number > 0 { ", " } else { "" };
                    write!(f, "{comma}{address}")?;
                }
                Ok(())
            }
            Location::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let wrong = |fault| InvalidAddress::new(text, fault);
        let (scheme, rest) = match text.split_once("://") {
            Some((name, rest)) => match Scheme::parse(name) {
                Some(scheme) => (scheme, rest),
                None if Scheme::comes_later(name) => return Err(wrong(Fault::Later(name.into()))),
                None => return Err(wrong(Fault::Scheme(name.into()))),
            },
            None if text.starts_with("unix:") => return Err(wrong(Fault::RelativePath)),
            None => (Scheme::Tcp, text),
        };
        let target = if scheme.is_unix() {
            if !rest.starts_with('/') {
                return Err(wrong(Fault::RelativePath));
            }
            Self::unix(Arc::from(Path::new(rest)))?
        } else {
            let (host, port) = host_and_port(rest).map_err(wrong)?;
            Self::tcp(host, port)
        };
        Ok(Self { scheme, ..target })
    }
}

/// The host, without brackets, and the port.
fn host_and_port(text: &str) -> Result<(&str, u16), Fault> {
    let (host, port) = text.rsplit_once(':').ok_or(Fault::NoPort)?;
    let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_host = match bracketed {
        // The text behind % is the interface of a link-local address.
        Some(ip) => ip
            .split('%')
            .next()
            .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        None => !host.contains([':', '/', '[', ']', '@', ' ']),
    };
    if !is_host {
        return Err(Fault::Host(host.into()));
    }
    if host.is_empty() {
        return Err(Fault::NoHost);
    }
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|_| is_number);
    let port = number.ok_or_else(|| Fault::Port(port.into()))?;
    Ok((bracketed.unwrap_or(host), port))
}

/// All that can be connected to and listened on: a [`Target`], text of its form, an [`Address`], a host and a port, or
/// one or several socket addresses.
pub trait IntoTarget: sealed::Sealed {
    /// The target.
    ///
    /// # Errors
    /// For text that has not the form of one, or a path that is too long.
    fn into_target(self) -> Result<Target, InvalidAddress>;
}

mod sealed {
    /// The types are ours to choose, so that more can follow.
    pub trait Sealed {}
}

macro_rules! into_target {
    ($($type:ty, $given:ident => $target:expr;)*) => {$(
        impl sealed::Sealed for $type {}

        impl IntoTarget for $type {
            fn into_target(self) -> Result<Target, InvalidAddress> {
                let $given = self;
                $target
            }
        }
    )*};
}

into_target! {
    Target, target => Ok(target);
    &str, text => text.parse();
    String, text => text.parse();
    Address, address => match address {
        Address::Tcp(address) => address.into_target(),
        Address::Unix(path) => Target::unix(path),
    };
    SocketAddr, address => Ok(Target::sockets([address]));
    SocketAddrV4, address => Ok(Target::sockets([address.into()]));
    SocketAddrV6, address => Ok(Target::sockets([address.into()]));
    &[SocketAddr], addresses => Ok(Target::sockets(addresses));
    Vec<SocketAddr>, addresses => Ok(Target::sockets(addresses));
    (&str, u16), host => host_of(host.0).map(|name| Target::tcp(name, host.1));
    (String, u16), host => (host.0.as_str(), host.1).into_target();
    (IpAddr, u16), host => SocketAddr::from(host).into_target();
    (Ipv4Addr, u16), host => SocketAddr::from(host).into_target();
    (Ipv6Addr, u16), host => SocketAddr::from(host).into_target();
}

impl<const N: usize> sealed::Sealed for [SocketAddr; N] {}

impl<const N: usize> IntoTarget for [SocketAddr; N] {
    fn into_target(self) -> Result<Target, InvalidAddress> {
        Ok(Target::sockets(self))
    }
}

impl<T: sealed::Sealed> sealed::Sealed for &T {}

impl<T: IntoTarget + Clone> IntoTarget for &T {
    fn into_target(self) -> Result<Target, InvalidAddress> {
        self.clone().into_target()
    }
}

/// A host beside its port, where an IPv6 address needs no brackets.
fn host_of(host: &str) -> Result<&str, InvalidAddress> {
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let bare = bare.unwrap_or(host);
    let ip = bare.split('%').next().unwrap_or(bare);
    if bare.is_empty() {
        Err(InvalidAddress::new(host, Fault::NoHost))
    } else if ip.parse::<Ipv6Addr>().is_err() && bare.contains([':', '/', '[', ']', '@', ' ']) {
        Err(InvalidAddress::new(host, Fault::Host(bare.into())))
    } else {
        Ok(bare)
    }
}
