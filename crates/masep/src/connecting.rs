//! Connecting, as far as it is the same in both shells: what is tried, in which order, and the errors of it.

use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use masep_proto::connection::{Config, HelloFailure, KnownPymasep, Protocols};
use masep_proto::discovery::in_turn;

use crate::discovery::SearchReport;
use crate::endpoint::Endpoint;
use crate::tls::Connector;
use crate::transport::{self, Stream};
use crate::{
    Address, ConnectError, ConnectErrorKind, ConnectPhase, ConnectionString, IntoTarget,
    InvalidAddress, ProfileError, Target, TokenError,
};

/// The time that an answer to a search is tried before the next is tried beside it. A server says hello
/// much sooner; one that is known by two addresses should not see two connections of one id.
pub(crate) const HEAD_START: Duration = Duration::from_secs(1);
/// Answers to a search that are tried at the same time.
const MAX_ATTEMPTS: usize = 16;
/// The place of a search in its errors.
const LAN: &str = "the LAN";

/// An address that is to be tried, and the TLS for it.
pub(crate) type Candidate = (Address, Option<Connector>);

impl Endpoint {
    /// The target of a client, and the TLS for it. The protocol that the target insists on counts from here on.
    pub(crate) fn aim(
        &mut self,
        address: impl IntoTarget,
    ) -> Result<(Target, Option<Connector>), ConnectError> {
        let target = address.into_target().map_err(invalid)?;
        self.protocols = target.protocols().unwrap_or(self.protocols);
        let connector = self.connector(&target)?;
        Ok((target, connector))
    }

    /// Takes the token of a connection string, and the certificate authority in it.
    pub(crate) fn set_credentials(&mut self, string: &ConnectionString) {
        self.offer.token = Some(string.token().clone());
        #[cfg(feature = "tls")]
        if let Some(ca) = string.ca() {
            let tls = crate::tls::ClientTls::new().ca_sha256(*ca.as_bytes());
            self.client_tls = Some(Box::new(tls));
        }
    }

    /// The connector for TLS with this address, if it is to be reached in TLS.
    pub(crate) fn connector_at(
        &mut self,
        address: &Address,
    ) -> Result<Option<Connector>, ConnectError> {
        self.connector(&address.into_target().map_err(invalid)?)
    }

    /// The connector of a client for TLS with this target, if there is TLS. Then protocol 2 is insisted on.
    fn connector(&mut self, target: &Target) -> Result<Option<Connector>, ConnectError> {
        let connector = Connector::load(self.client_tls.as_deref(), target)
            .map_err(|error| ConnectError::in_hello(target.to_string(), error.into()))?;
        if connector.is_some() {
            self.protocols = Protocols::Masep2;
        }
        Ok(connector)
    }

    /// The answers of a search that are to be tried.
    pub(crate) fn candidates(
        &mut self,
        report: io::Result<SearchReport>,
    ) -> Result<Race, ConnectError> {
        let report = report.map_err(|error| failed(ConnectPhase::Discover, LAN, error))?;
        let addresses = in_turn(&report.found).into_iter().map(Address::Tcp);
        // All of them are found by address: the name that a certificate is to have is set in what is trusted, or is that.
        let candidates =
            addresses.map(|address| Ok((address.clone(), self.connector_at(&address)?)));
        Ok(Race {
            waiting: candidates.collect::<Result<Vec<_>, _>>()?.into_iter(),
            running: 0,
            failure: not_found(ConnectPhase::Discover, LAN),
        })
    }

    /// The configuration of a client's connection to this address, if its hello can be sent there.
    fn client_config(
        &self,
        address: &Address,
        protocols: Protocols,
        has_tls: bool,
    ) -> Result<Arc<Config>, ConnectErrorKind> {
        let config = self.config(protocols)?.tls(has_tls);
        if self.offer.profile.is_some() && protocols == Protocols::Pymasep {
            return Err(ProfileError::NoPlace.into());
        }
        if self.offer.token.is_some() {
            if protocols == Protocols::Pymasep {
                return Err(TokenError::NoPlace.into());
            }
            if address.unix_path().is_none() && !has_tls {
                return Err(TokenError::Unprotected.into());
            }
        }
        Ok(Arc::new(config))
    }
}

/// Addresses that are tried side by side, each a [while](HEAD_START) after the one before. The first server that says hello
/// is taken.
pub(crate) struct Race {
    waiting: std::vec::IntoIter<Candidate>,
    running: usize,
    failure: ConnectError,
}

impl Race {
    /// The next address to be tried now.
    pub(crate) fn next(&mut self) -> Option<Candidate> {
        if self.running >= MAX_ATTEMPTS {
            return None;
        }
        let next = self.waiting.next();
        self.running += usize::from(next.is_some());
        next
    }

    /// True if another one may be tried beside those that are.
    pub(crate) fn has_next(&self) -> bool {
        self.waiting.len() > 0 && self.running < MAX_ATTEMPTS
    }

    /// True if none is being tried.
    pub(crate) const fn is_over(&self) -> bool {
        self.running == 0
    }

    /// One has failed.
    pub(crate) fn fail(&mut self, error: ConnectError) {
        self.running -= 1;
        self.failure = error;
    }

    /// The error of the last one that failed.
    pub(crate) fn into_failure(self) -> ConnectError {
        self.failure
    }
}

/// The error for text that is no address.
fn invalid(error: InvalidAddress) -> ConnectError {
    let target = error.given().to_owned();
    failed(ConnectPhase::Resolve, &target, error)
}

pub(crate) fn not_found(phase: ConnectPhase, target: &str) -> ConnectError {
    failed(phase, target, ConnectErrorKind::NotFound)
}

pub(crate) fn failed(
    phase: ConnectPhase,
    target: &str,
    kind: impl Into<ConnectErrorKind>,
) -> ConnectError {
    ConnectError {
        phase,
        target: target.to_owned(),
        kind: kind.into(),
    }
}

/// The outcome of one phase of an attempt, which has so much time. `None` if it was not done by then.
pub(crate) fn in_time<T>(
    phase: ConnectPhase,
    target: &str,
    limit: Duration,
    outcome: Option<io::Result<T>>,
) -> Result<T, ConnectError> {
    let kind = match outcome {
        Some(Ok(done)) => return Ok(done),
        Some(Err(error)) => error.into(),
        None => ConnectErrorKind::TimedOut(limit),
    };
    Err(failed(phase, target, kind))
}

/// The servers that this process has found to speak pymasep's protocol.
static KNOWN: LazyLock<Mutex<KnownPymasep<Address>>> = LazyLock::new(Mutex::default);

/// Attempts of a client to agree with a server on a protocol.
pub(crate) struct Agreement<'a> {
    endpoint: &'a Endpoint,
    pub(crate) address: &'a Address,
    pub(crate) connector: Option<&'a Connector>,
    protocols: Protocols,
    /// It is known from before what the server speaks.
    is_known: bool,
    remembers: bool,
}

impl<'a> Agreement<'a> {
    /// The first attempt. `remembers`: the address is that of one server in this process.
    pub(crate) fn begin(
        endpoint: &'a Endpoint,
        address: &'a Address,
        connector: Option<&'a Connector>,
        remembers: bool,
        now: Instant,
    ) -> Self {
        // A token, or a profile, is not for a server of pymasep's protocol, whatever it was a minute ago.
        let is_known = remembers
            && endpoint.protocols == Protocols::Both
            && !endpoint.offer.needs_protocol2()
            && known().contains(address, now);
        Self {
            endpoint,
            address,
            connector,
            protocols: if is_known {
                Protocols::Pymasep
            } else {
                endpoint.protocols
            },
            is_known,
            remembers,
        }
    }

    /// The configuration of this attempt. It is asked for first: a server is not connected to if the hello cannot be sent.
    pub(crate) fn config(&self) -> Result<Arc<Config>, ConnectError> {
        let has_tls = self.connector.is_some();
        let config = (self.endpoint).client_config(self.address, self.protocols, has_tls);
        config.map_err(|kind| self.no_hello(kind))
    }

    /// The stream of this attempt, with the options that it is to have; `None` if it was not there in time.
    pub(crate) fn connected<T: Stream>(
        &self,
        outcome: Option<io::Result<T>>,
    ) -> Result<T, ConnectError> {
        let (options, target) = (&self.endpoint.socket_options, self.address.to_string());
        let stream = in_time(
            ConnectPhase::Connect,
            &target,
            options.connect_time,
            outcome,
        )?;
        let prepared = transport::prepare(&stream, &self.endpoint.limits, options);
        prepared.map_err(|error| failed(ConnectPhase::Connect, &target, error))?;
        Ok(stream)
    }

    /// The attempt has failed. Another one is to be made, or this is the error.
    pub(crate) fn fail(&mut self, failure: HelloFailure, now: Instant) -> Result<(), ConnectError> {
        if failure == HelloFailure::ConnectAgain {
            self.protocols = Protocols::Pymasep;
            if self.remembers {
                known().note(self.address.clone(), now);
            }
            return Ok(());
        }
        if self.is_known {
            known().forget(|address| address == self.address);
        }
        Err(self.no_hello(failure))
    }

    /// The error, where there is no other attempt.
    pub(crate) fn no_hello(&self, kind: impl Into<ConnectErrorKind>) -> ConnectError {
        ConnectError::in_hello(self.address.to_string(), kind.into())
    }
}

/// A server of this process listens there from here on: whoever did before is gone.
pub(crate) fn forget_server(at: &Address) {
    let is_there = |address: &Address| match (address.tcp(), at.tcp()) {
        (Some(address), Some(at)) => {
            address.port() == at.port() && (address.ip() == at.ip() || at.ip().is_unspecified())
        }
        _ => address == at,
    };
    known().forget(is_there);
}

fn known() -> MutexGuard<'static, KnownPymasep<Address>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calls that the builders of both clients and of players have.
macro_rules! connecting_calls {
    () => {
        /// The bounds of the connection.
        pub fn limits(mut self, limits: crate::Limits) -> Self {
            self.endpoint.limits = limits;
            self
        }

        /// Options of the connection's socket.
        pub fn socket_options(mut self, options: crate::SocketOptions) -> Self {
            self.endpoint.socket_options = options;
            self
        }

        /// The generations of the protocol that are spoken with servers. Default
        /// [`Protocols::Both`](crate::Protocols::Both). A scheme that insists on one (`masep://`, `pymasep://`) counts more
        /// than this.
        ///
        /// With [`Protocols::Both`](crate::Protocols::Both) the server is asked for protocol 2. If it answers in pymasep's,
        /// that connection is closed and a second one made, in which that is spoken. Nothing else leads there: no time-out,
        /// and no error. For a minute this process then speaks pymasep's protocol at once to that address.
        pub const fn protocols(mut self, protocols: crate::Protocols) -> Self {
            self.endpoint.protocols = protocols;
            self
        }

        /// The access token, which says who the client is and what it may do: at most 2,048 bytes. It is sent in TLS
        /// (`masep+tls://`) when the server's certificate was checked, and over Unix sockets when the server has said that it
        /// speaks protocol 2, which takes one more round trip; otherwise connecting is an error ([`ConnectErrorKind::Token`](crate::ConnectErrorKind::Token)). A client with
        /// a token does not fall back to pymasep's protocol.
        pub fn token(mut self, token: impl Into<crate::AccessToken>) -> Self {
            self.endpoint.offer.token = Some(token.into());
            self
        }

        /// Sets which authorities the client trusts in TLS. Connections are then in TLS, also where the address has no
        /// scheme; one that says that there is none (`masep://`, `pymasep://`, `tcp://` excepted, and Unix sockets) is
        /// an error. An address that begins with `masep+tls://` is enough for TLS with the system's authorities.
        ///
        /// Files are read by each call that connects: at most some milliseconds for the system's authorities.
        #[cfg(feature = "tls")]
        pub fn tls(mut self, tls: crate::tls::ClientTls) -> Self {
            self.endpoint.client_tls = Some(Box::new(tls));
            self
        }
    };
}

pub(crate) use connecting_calls;

/// The calls that the builders of both clients have.
macro_rules! client_calls {
    (reads: $reads:literal) => {
        crate::connecting::connecting_calls!();

        crate::endpoint::when_full_call!(endpoint, $reads);

        /// The role that the client would have, which it says in its HELLO (protocol 2). By default it says none.
        ///
        /// A server of pymasep's protocol has no HELLO: it is told by messages
        /// ([`Message::register`](crate::Message::register)), and of what is set here it learns nothing. The same holds
        /// for [`game`](Self::game), [`seat`](Self::seat), [`table`](Self::table), [`resume`](Self::resume) and
        /// [`make`](Self::make).
        pub fn role(mut self, role: crate::Role) -> Self {
            self.endpoint.offer.role = Some(role.hello_name().into());
            self
        }

        /// The game that the client would play, for its HELLO: at most 512 bytes, as all names here.
        pub fn game(mut self, game: impl Into<crate::TypeName>) -> Self {
            self.endpoint.offer.game = Some(game.into().as_str().into());
            self
        }

        /// The name of the seat that the client would have, for its HELLO.
        pub fn seat(mut self, seat: &str) -> Self {
            self.endpoint.offer.seat = Some(seat.into());
            self
        }

        /// The name of the table, for the HELLO to a server that has several.
        pub fn table(mut self, table: &str) -> Self {
            self.endpoint.offer.table = Some(table.into());
            self
        }

        /// The resume text that an earlier [`Welcome`](crate::Welcome) gave, for the HELLO: with it a client gets its
        /// seat back. It is secret. At most 2,048 bytes.
        pub fn resume(mut self, resume: &str) -> Self {
            self.endpoint.offer.resume = Some(resume.into());
            self
        }

        /// The profile, for the HELLO: the form of all that is said on the connection, such as `environment/1`. The server says
        /// in its WELCOME that it speaks it ([`Welcome::profile`](crate::Welcome::profile)), or connecting is an error
        /// ([`ConnectErrorKind::Profile`](crate::ConnectErrorKind::Profile)): one that knows nothing of the profile takes the
        /// client all the same, and both would wait for each other. A client with a profile does not fall back to pymasep's
        /// protocol, which has none.
        pub fn profile(mut self, profile: &str) -> Self {
            self.endpoint.offer.profile = Some(profile.into());
            self
        }

        /// The arguments for what a server makes for each client, for the HELLO. All of it has at most 4,096 bytes.
        pub fn make(mut self, arguments: crate::Dict) -> Self {
            self.endpoint.offer.make = Some(arguments);
            self
        }

        /// The token of a connection string, and the certificate authority in it as the one that is trusted in TLS. Its
        /// [address](crate::ConnectionString::address) is for `connect`.
        pub fn credentials(mut self, string: &crate::ConnectionString) -> Self {
            self.endpoint.set_credentials(string);
            self
        }
    };
}

pub(crate) use client_calls;

/// The calls that both clients have.
macro_rules! client_info_calls {
    () => {
        /// The client's own id.
        pub const fn id(&self) -> &crate::PeerId {
            &self.id
        }

        /// The server's id, from its hello.
        pub fn server_id(&self) -> &crate::PeerId {
            self.connection.peer()
        }

        /// The connection to the server.
        pub const fn connection(&self) -> &Connection {
            &self.connection
        }

        /// The connection by the server's id, with the same calls as a server's.
        pub const fn registry(&self) -> &Registry {
            &self.registry
        }
    };
}

pub(crate) use client_info_calls;
