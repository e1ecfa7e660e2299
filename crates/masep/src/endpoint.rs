//! The settings that the builders of both sides and both shells have in common.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use masep_proto::connection::{Config, HelloFailure, KnownPymasep, Protocols};
use masep_proto::protocol2::Hello;
use masep_proto::{HelloError, Limits, PeerId};

use crate::connection::Delivery;
use crate::tls::{Acceptor, ClientTls, Connector, ServerTls};
use crate::{Address, ConnectErrorKind, SocketOptions, Target, TlsError, TokenError, WhenFull};

/// One side of connections, as its builder describes it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: PeerId,
    pub(crate) limits: Limits,
    pub(crate) socket_options: SocketOptions,
    pub(crate) when_full: WhenFull,
    pub(crate) protocols: Protocols,
    /// True if a handler gets what happens.
    pub(crate) is_handled: bool,
    /// The HELLO of a client, and the features of either side.
    pub(crate) offer: Box<Hello>,
    /// The authorities that a client trusts.
    pub(crate) client_tls: Option<Box<ClientTls>>,
    /// The certificate and key of a server.
    pub(crate) server_tls: Option<Box<ServerTls>>,
}

impl Endpoint {
    /// A side that speaks both protocols.
    pub(crate) fn new(id: PeerId) -> Self {
        Self {
            limits: Limits::default(),
            socket_options: SocketOptions::default(),
            when_full: WhenFull::default(),
            protocols: Protocols::Both,
            is_handled: false,
            offer: Box::new(Hello::new(id.clone(), 0)),
            client_tls: None,
            server_tls: None,
            id,
        }
    }

    /// The receiver of what arrives.
    pub(crate) const fn delivery(&self) -> Delivery {
        if self.is_handled {
            Delivery::Handler
        } else {
            Delivery::Calls(self.when_full)
        }
    }

    /// The configuration of connections that speak this.
    ///
    /// # Errors
    /// An id that cannot be sent in a hello.
    pub(crate) fn config(&self, protocols: Protocols) -> Result<Config, HelloError> {
        let config = Config::new(&self.id, self.limits.clone())?
            .protocols(protocols)
            .offer((*self.offer).clone());
        Ok(match self.delivery() {
            Delivery::Handler => config,
            Delivery::Calls(when_full) => config.when_full(when_full),
        })
    }

    /// The acceptor of a server with TLS, if it has any, at this target or at a socket that listens already. If all
    /// peers have to use it, protocol 2 is insisted on.
    pub(crate) fn acceptor(
        &mut self,
        target: Option<&Target>,
    ) -> Result<Option<Acceptor>, TlsError> {
        let insists = target.is_some_and(Target::is_tls);
        let Some(tls) = &self.server_tls else {
            return if insists {
                Err(TlsError::no_server())
            } else {
                Ok(None)
            };
        };
        let acceptor = Acceptor::load(tls, insists)?;
        if acceptor.as_ref().is_some_and(Acceptor::requires) {
            if let Some(target) = target.filter(|target| !target.may_be_tls()) {
                return Err(TlsError::PlainScheme(target.scheme()));
            }
            self.protocols = Protocols::Masep2;
        }
        Ok(acceptor)
    }

    /// The connector of a client for TLS with this target, if there is TLS. Then protocol 2 is insisted on.
    pub(crate) fn connector(&mut self, target: &Target) -> Result<Option<Connector>, TlsError> {
        let connector = Connector::load(self.client_tls.as_deref(), target)?;
        if connector.is_some() {
            self.protocols = Protocols::Masep2;
        }
        Ok(connector)
    }

    /// The configuration of a client's connection to this address, if its hello can be sent there.
    pub(crate) fn client_config(
        &self,
        address: &Address,
        protocols: Protocols,
        has_tls: bool,
    ) -> Result<Arc<Config>, ConnectErrorKind> {
        let config = self.config(protocols)?.tls(has_tls);
        if protocols != Protocols::Pymasep {
            config.check_offer()?;
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

/// The servers that this process has found to speak pymasep's protocol.
static KNOWN: LazyLock<Mutex<KnownPymasep<Address>>> = LazyLock::new(Mutex::default);

/// Attempts of a client to agree with a server on a protocol.
pub(crate) struct Agreement<'a> {
    address: &'a Address,
    protocols: Protocols,
    /// It is known from before what the server speaks.
    is_known: bool,
    remembers: bool,
}

impl<'a> Agreement<'a> {
    /// The first attempt. `remembers`: the address is that of one server in this process.
    pub(crate) fn begin(
        endpoint: &Endpoint,
        address: &'a Address,
        remembers: bool,
        now: Instant,
    ) -> Self {
        // A token is not for a server of pymasep's protocol, whatever it was a minute ago.
        let is_known = remembers
            && endpoint.protocols == Protocols::Both
            && endpoint.offer.token.is_none()
            && known().contains(address, now);
        Self {
            address,
            protocols: if is_known {
                Protocols::Pymasep
            } else {
                endpoint.protocols
            },
            is_known,
            remembers,
        }
    }

    /// The generations to speak in this attempt.
    pub(crate) const fn protocols(&self) -> Protocols {
        self.protocols
    }

    /// The attempt has failed. True if there is to be another one.
    pub(crate) fn fails(&mut self, failure: &HelloFailure, now: Instant) -> bool {
        let connects_again = *failure == HelloFailure::ConnectAgain;
        if connects_again {
            self.protocols = Protocols::Pymasep;
            if self.remembers {
                known().note(self.address.clone(), now);
            }
        } else if self.is_known {
            known().forget(self.address);
        }
        connects_again
    }
}

fn known() -> MutexGuard<'static, KnownPymasep<Address>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calls of a client's builder for what its HELLO has.
macro_rules! hello_calls {
    () => {
        /// The role that the client would have, which it says in its HELLO (protocol 2). By default it says none.
        ///
        /// A server of pymasep's protocol has no HELLO: it is told by messages
        /// ([`Message::register`](crate::Message::register)), and of what is set here it learns nothing. The same holds
        /// for [`game`](Self::game), [`seat`](Self::seat), [`table`](Self::table), [`resume`](Self::resume),
        /// [`profile`](Self::profile) and [`make`](Self::make).
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

        /// The profile, for the HELLO: the form in which a server would talk to the client.
        pub fn profile(mut self, profile: &str) -> Self {
            self.endpoint.offer.profile = Some(profile.into());
            self
        }

        /// The arguments for what a server makes for each client, for the HELLO. All of it has at most 4,096 bytes.
        pub fn make(mut self, arguments: crate::Dict) -> Self {
            self.endpoint.offer.make = Some(arguments);
            self
        }

        /// The access token, which says who the client is and what it may do: at most 2,048 bytes. It goes in TLS
        /// (`masep+tls://`), to a server of which that has made sure, and over Unix sockets, to a server that has said that
        /// it speaks protocol 2, which takes one more round trip; otherwise connecting is an error ([`ConnectErrorKind::Token`](crate::ConnectErrorKind::Token)). A client with
        /// a token does not fall back to pymasep's protocol.
        pub fn token(mut self, token: impl Into<crate::AccessToken>) -> Self {
            self.endpoint.offer.token = Some(token.into());
            self
        }

        /// The token of a connection string, and the certificate authority in it as the one that is trusted in TLS. Its
        /// [address](crate::ConnectionString::address) is for `connect`.
        pub fn credentials(mut self, string: &crate::ConnectionString) -> Self {
            self.endpoint.offer.token = Some(string.token().clone());
            #[cfg(feature = "tls")]
            if let Some(ca) = string.ca() {
                let tls = crate::tls::ClientTls::new().ca_sha256(*ca.as_bytes());
                self.endpoint.client_tls = Some(Box::new(tls));
            }
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

        /// [`tls`](Self::tls), for a player.
        #[cfg(not(masep_model))]
        pub(crate) fn maybe_tls(mut self, tls: Option<Box<crate::tls::ClientTls>>) -> Self {
            self.endpoint.client_tls = tls;
            self
        }
    };
}

pub(crate) use hello_calls;

/// The calls that the builders of both servers have.
macro_rules! server_calls {
    () => {
        /// The bounds of each connection.
        pub fn limits(mut self, limits: crate::Limits) -> Self {
            self.endpoint.limits = limits;
            self
        }

        /// The bounds of the server.
        pub fn server_limits(mut self, limits: crate::ServerLimits) -> Self {
            self.server_limits = limits;
            self
        }

        /// Options of the connections' sockets. [`SocketOptions::connect_time`](crate::SocketOptions::connect_time) has no effect here.
        pub fn socket_options(mut self, options: crate::SocketOptions) -> Self {
            self.endpoint.socket_options = options;
            self
        }

        /// The policy for a hello whose id is in use. Default [`Duplicates::Refuse`](crate::Duplicates::Refuse).
        pub fn duplicates(mut self, duplicates: crate::Duplicates) -> Self {
            self.duplicates = duplicates;
            self
        }

        /// Has the host decide about each client of protocol 2 that has said HELLO: [`Server::next_request`] gives them. Nothing
        /// is looked at before that, neither whether the id is in use nor what the client wants. A request that nobody decides
        /// within [`ServerLimits::decision_time`](crate::ServerLimits::decision_time) is refused. Default off: clients are taken by the rules of the server.
        ///
        /// Peers of pymasep's protocol say no more than an id, before they are taken. Nobody is asked about them: they are
        /// taken by the rules of the server, and a host that does not want one ends its connection.
        /// [`ask_all`](Self::ask_all) asks about them too, and [`Protocols::Masep2`](crate::Protocols::Masep2) keeps them out.
        pub fn ask(mut self) -> Self {
            self.asks = crate::request::Asks::Masep2;
            self
        }

        /// As [`ask`](Self::ask), and the host decides about peers of pymasep's protocol too. They have said no more than an
        /// id, which is all that is in [`Request::hello`](crate::Request::hello) then, and [`Request::protocol`](crate::Request::protocol) tells them apart. They get the
        /// server's hello when they are admitted: so a server can look somewhere else first, and say hello by the id that is in
        /// the [`Welcome`](crate::Welcome). To be refused is a BYE to them, without a word.
        pub fn ask_all(mut self) -> Self {
            self.asks = crate::request::Asks::All;
            self
        }

        crate::access::access_calls!();

        /// [`tls`](Self::tls), for a table.
        #[cfg(not(masep_model))]
        pub(crate) fn maybe_tls(mut self, tls: Option<Box<crate::tls::ServerTls>>) -> Self {
            self.endpoint.server_tls = tls;
            self
        }

        /// Lets these in, and has this listener beside the other. For a table.
        #[cfg(not(masep_model))]
        pub(crate) fn access(
            mut self,
            gate: crate::access::Gate,
            pymasep: Option<crate::Target>,
        ) -> Self {
            (self.gate, self.pymasep) = (gate, pymasep);
            self
        }

        /// Expects a header of the PROXY protocol, version 1 or 2, in front of each connection, from the load balancer or the
        /// tunnel that all connections come through. The client's address is then the one that is said there: for
        /// [`ServerLimits::connections_per_address`](crate::ServerLimits::connections_per_address), for logs and events. Default off.
        ///
        /// The header is a claim: turn it on only where nobody else can connect. One that does not begin with a header is
        /// closed, and so is one whose header is not whole within [`Limits::hello_time`](crate::Limits::hello_time). As many may be on their way as there
        /// may be connections.
        pub fn proxy_protocol(mut self, expected: bool) -> Self {
            self.proxy_protocol = expected;
            self
        }

        /// Answers the LAN search from the start, as [`Server::announce`] does. Default off.
        pub fn announce(mut self, announce: bool) -> Self {
            self.announce = announce;
            self
        }

        /// Gives what searches of masep are told of this server beside its address. Called for each answer, by the task or
        /// thread that answers: it must not wait. Default: the server's id.
        pub fn describe(
            mut self,
            describe: impl Fn() -> crate::discovery::Description + Send + Sync + 'static,
        ) -> Self {
            self.describe = Some(crate::discovery::Describe::new(describe));
            self
        }

        /// The generations of the protocol that peers may speak. Default [`Protocols::Both`](crate::Protocols::Both): each is answered in its own, and
        /// all are in one session. A scheme that insists on one (`masep://`, `pymasep://`) counts more than this.
        pub fn protocols(mut self, protocols: crate::Protocols) -> Self {
            self.endpoint.protocols = protocols;
            self
        }

        /// Has peers use TLS, with this certificate: all of them, or those that do so by themselves
        /// ([`TlsMode`](crate::tls::TlsMode)). Where all do, pymasep's protocol is not spoken, and an address whose scheme says
        /// that there is no TLS is an error. The certificate is read by the call that begins to listen. A handshake of TLS is a
        /// part of the hello, with its time ([`Limits::hello_time`](crate::Limits::hello_time)).
        #[cfg(feature = "tls")]
        pub fn tls(mut self, tls: crate::tls::ServerTls) -> Self {
            self.endpoint.server_tls = Some(Box::new(tls));
            self
        }
    };
}

pub(crate) use server_calls;
