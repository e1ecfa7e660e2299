//! Access: tokens, what their holders may do, and those whom a host keeps out.
//!
//! A server without tokens takes everybody: an id is a claim. With [`Tokens`] it takes clients of protocol 2 that say one of
//! them in their HELLO, and with a function of its own ([`ServerBuilder::admit`](crate::ServerBuilder::admit)) those that
//! the function lets in. A token is a secret: it goes in TLS and over Unix sockets alone.
//!
//! Peers of pymasep's protocol have no tokens. A server that has some refuses them, unless it has a listener for them
//! ([`ServerBuilder::pymasep_listen`](crate::ServerBuilder::pymasep_listen)): no address is trusted for being a local one, since
//! behind a tunnel, a reverse proxy or a container every stranger comes from 127.0.0.1.
//!
//! ```
//! use masep::access::{Digest, Grant, Grants, Tokens, generate_token};
//! use masep::{Role, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let token = generate_token()?;
//! let mut grants = Grants::default();
//! grants.add(Digest::of(&token), Grant::new("lab3").role(Role::Actor).seat("red"))?;
//! # let path = std::env::temp_dir().join(format!("masep-access-{}", std::process::id()));
//! # let address = format!("unix://{}", path.display());
//! let server = Server::builder("engine").tokens(Tokens::new(grants)).bind(&*address).await?;
//! # Ok(())
//! # }
//! ```

mod connection_string;
#[cfg(feature = "token-file")]
mod file;
mod request;
mod tokens;

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use masep_proto::admission::Admission;
use masep_proto::connection::Protocols;

pub use masep_proto::access::{
    Digest, Forbidden, Grant, GrantError, Grants, InvalidDigest, Subject, Unauthorized,
};
pub use masep_proto::protocol2::AccessToken;

pub use connection_string::{ConnectionString, InvalidConnectionString};
#[cfg(feature = "token-file")]
pub use file::TokenFileError;
pub use request::AccessRequest;
pub use tokens::Tokens;

use crate::random::random_bytes;
use crate::{Address, Target};

pub(crate) use tokens::Renews;

/// A new access token: 256 random bits of the system, as 64 letters and digits.
///
/// # Errors
/// The system's error where it has no random numbers.
pub fn generate_token() -> io::Result<AccessToken> {
    let mut text = String::with_capacity(64);
    for half in [random_bytes()?, random_bytes()?] {
        for byte in half {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    Ok(AccessToken::from(text))
}

/// A host's own function.
pub(crate) type AdmitFunction = Arc<dyn Fn(AccessRequest) + Send + Sync>;

/// The rule by which clients are let in to a server.
#[derive(Clone, Default)]
pub(crate) enum AccessRule {
    /// Everybody.
    #[default]
    Open,
    /// Clients with one of these tokens.
    Tokens(Tokens),
    /// Clients that this function lets in. No token is among these: they look at the dates by which a grant ends.
    Host(AdmitFunction, Tokens),
}

impl AccessRule {
    /// The door for it.
    pub(crate) fn guard(&self, admission: Admission) -> Admission {
        match self {
            Self::Open => admission,
            Self::Tokens(tokens) => admission.tokens(tokens.grants()),
            Self::Host(..) => admission.asks_access(),
        }
    }

    /// Has the door told of the tokens and dates from here on.
    pub(crate) fn subscribe(&self, door: &Arc<impl Renews + 'static>) -> io::Result<()> {
        match self {
            Self::Open => Ok(()),
            Self::Tokens(tokens) | Self::Host(_, tokens) => tokens.subscribe(door),
        }
    }

    /// Asks the host's function whether one is let in. A function that panics lets nobody in.
    pub(crate) fn ask(&self, request: AccessRequest) {
        if let Self::Host(admit, _) = self
            && catch_unwind(AssertUnwindSafe(|| admit(request))).is_err()
        {
            tracing::error!("the function that admits clients panicked");
        }
    }
}

/// True if anybody may come to a server with these addresses: others reach it, and it has neither TLS nor tokens. The
/// log says so. `has_tls`: all have to use TLS at the main one.
pub(crate) fn warn_if_exposed(
    main: &Address,
    pymasep: Option<&Address>,
    access: &AccessRule,
    has_tls: bool,
) -> bool {
    let is_reached = |address: &Address| {
        let address = address.tcp().map(|address| address.ip().to_canonical());
        address.is_some_and(|address| !address.is_loopback())
    };
    let is_guarded = has_tls || !matches!(access, AccessRule::Open);
    let main = Some(main).filter(|main| !is_guarded && is_reached(main));
    let exposed = main.or(pymasep.filter(|address| is_reached(address)));
    if let Some(address) = exposed {
        tracing::warn!(%address, "{EXPOSED}");
    }
    exposed.is_some()
}

const EXPOSED: &str = "listening without TLS or tokens: whoever reaches this address can join, and read what others send";

impl AccessRule {
    /// The generations of the protocol that the server's own address may speak, of those that its host wants: peers of
    /// pymasep's have no tokens.
    pub(crate) fn protocols(&self, wanted: Protocols) -> io::Result<Protocols> {
        match (self, wanted) {
            (Self::Open, wanted) => Ok(wanted),
            (_, Protocols::Pymasep) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "peers of pymasep's protocol have no tokens: they need a listener of their own",
            )),
            _ => Ok(Protocols::Masep2),
        }
    }
}

/// A listener that was made elsewhere is the only one.
pub(crate) fn check_sole_listener(pymasep: Option<&Target>) -> io::Result<()> {
    match pymasep {
        None => Ok(()),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a listener for pymasep's protocol goes with an address that is bound",
        )),
    }
}

/// An address for peers of pymasep's protocol alone.
pub(crate) fn pymasep_target(target: Target) -> io::Result<Target> {
    match target.protocols() {
        Some(Protocols::Masep2) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{target} is no address for peers of pymasep's protocol"),
        )),
        _ => Ok(target),
    }
}

/// The calls of a server's builder for who is let in.
/// `settings`: the field of the builder in which they are.
macro_rules! access_calls {
    ($settings:ident) => {
        /// Takes only clients of protocol 2 that say one of these tokens in their HELLO, and are what it allows; all others
        /// are refused before anything else is looked at. Peers of pymasep's protocol are refused, unless there is
        /// [a listener for them](Self::pymasep_listen). Default: everybody is taken.
        pub fn tokens(mut self, tokens: crate::access::Tokens) -> Self {
            self.$settings.access = crate::access::AccessRule::Tokens(tokens);
            self
        }

        /// As [`tokens`](Self::tokens), for a host that checks tokens by itself: this function gets each client that has
        /// said HELLO, and answers at once or later, when the answer is known, from any thread. It is called in a task
        /// or thread of the server, and must not wait. One that panics lets nobody in. A grant that
        /// [expires](crate::access::Grant::expires) ends its connections, as a token does.
        pub fn admit(
            mut self,
            admit: impl Fn(crate::access::AccessRequest) + Send + Sync + 'static,
        ) -> Self {
            let dates = crate::access::Tokens::new(crate::access::Grants::default());
            self.$settings.access =
                crate::access::AccessRule::Host(std::sync::Arc::new(admit), dates);
            self
        }

        /// Listens on this address too, for peers of pymasep's protocol alone, which need no token there: on a Unix socket,
        /// or on an address that strangers do not reach. Default: nowhere.
        ///
        /// # Errors
        /// Text that is no address, or one of protocol 2.
        pub fn pymasep_listen(mut self, address: impl crate::IntoTarget) -> std::io::Result<Self> {
            self.$settings.pymasep = Some(crate::access::pymasep_target(address.into_target()?)?);
            Ok(self)
        }
    };
}

pub(crate) use access_calls;

impl fmt::Debug for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Tokens(tokens) => tokens.fmt(f),
            Self::Host(..) => f.write_str("Host"),
        }
    }
}
