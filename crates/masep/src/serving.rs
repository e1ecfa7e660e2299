//! The settings of servers, as the builders of both shells have them, and what a server of either is from them.

use std::io;

use masep_proto::admission::{Admission, Duplicates};
use masep_proto::connection::Config;
use masep_proto::{PeerId, ServerLimits};

use crate::access::{AccessRule, check_sole_listener, warn_if_exposed};
use crate::admitting::{DoorSettings, OnReject};
use crate::discovery::{Describe, Description};
use crate::endpoint::Endpoint;
use crate::request::Asks;
use crate::tls::Acceptor;
use crate::{Address, Target};

/// A server, as its builder describes it, but for its handler.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    pub(crate) endpoint: Endpoint,
    pub(crate) server_limits: ServerLimits,
    pub(crate) duplicates: Duplicates,
    pub(crate) announce: bool,
    pub(crate) describe: Option<Describe>,
    pub(crate) asks: Asks,
    pub(crate) access: AccessRule,
    pub(crate) pymasep: Option<Target>,
    pub(crate) proxy_protocol: bool,
    pub(crate) on_reject: Option<OnReject>,
}

impl ServerSettings {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            server_limits: ServerLimits::default(),
            duplicates: Duplicates::default(),
            announce: false,
            describe: None,
            asks: Asks::Nobody,
            access: AccessRule::Open,
            pymasep: None,
            proxy_protocol: false,
            on_reject: None,
        }
    }

    /// The settings of the door of a server at this target, or at a socket that listens already.
    ///
    /// # Errors
    /// An id that cannot be sent in a hello, settings that exclude each other, and a certificate that cannot be read.
    pub(crate) fn door(mut self, target: Option<&Target>) -> io::Result<DoorSettings> {
        match target {
            Some(target) => {
                let protocols = target.protocols();
                self.endpoint.protocols = protocols.unwrap_or(self.endpoint.protocols);
            }
            None => check_sole_listener(self.pymasep.as_ref())?,
        }
        let acceptor = self.endpoint.acceptor(target)?;
        let config = self.config(acceptor.as_ref())?;
        Ok(DoorSettings::new(self, config, acceptor))
    }

    /// The configuration that the connections share.
    fn config(&self, acceptor: Option<&Acceptor>) -> io::Result<Config> {
        let protocols = self.access.protocols(self.endpoint.protocols)?;
        let config = self.endpoint.config(protocols);
        config
            .map(|config| config.incoming_bytes(self.server_limits.incoming_bytes))
            .map(|config| config.tls(acceptor.is_some_and(Acceptor::requires)))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// The door's rules for who is let in.
    pub(crate) fn admission(&self) -> Admission {
        let admission = Admission::new(&self.server_limits, self.duplicates)
            .asks(self.asks != Asks::Nobody)
            .asks_all(self.asks == Asks::All);
        self.access.guard(admission)
    }
}

/// The facts about a server that do not change while it listens.
pub(crate) struct ServerInfo {
    pub(crate) id: PeerId,
    pub(crate) limits: ServerLimits,
    pub(crate) local_address: Address,
    pub(crate) pymasep_address: Option<Address>,
    pub(crate) is_exposed: bool,
    /// The description that searches are given.
    pub(crate) describe: Describe,
}

impl ServerInfo {
    /// The server that listens at these addresses, which the log warns of if anybody may come.
    pub(crate) fn new(
        door: &DoorSettings,
        local_address: Address,
        pymasep_address: Option<Address>,
    ) -> Self {
        crate::connecting::forget_server(&local_address);
        let (server, pymasep) = (&door.server, pymasep_address.as_ref());
        let has_tls = door.requires_tls();
        let is_exposed = warn_if_exposed(&local_address, pymasep, &server.access, has_tls);
        let id = server.endpoint.id.clone();
        let described = id.as_str().to_owned();
        let describe = server.describe.clone().unwrap_or_else(|| {
            Describe::new(move || Description {
                id: Some(described.clone()),
                ..Description::default()
            })
        });
        Self {
            id,
            limits: server.server_limits.clone(),
            local_address,
            pymasep_address,
            is_exposed,
            describe,
        }
    }
}

/// The calls that the builders of both servers and of tables have. `settings`: the field of the builder in which those of its
/// server are.
macro_rules! listening_calls {
    ($settings:ident) => {
        /// The bounds of each connection.
        pub fn limits(mut self, limits: crate::Limits) -> Self {
            self.$settings.endpoint.limits = limits;
            self
        }

        /// The bounds of the server.
        pub fn server_limits(mut self, limits: crate::ServerLimits) -> Self {
            self.$settings.server_limits = limits;
            self
        }

        /// Options of the connections' sockets. [`SocketOptions::connect_time`](crate::SocketOptions::connect_time) has no effect here.
        pub fn socket_options(mut self, options: crate::SocketOptions) -> Self {
            self.$settings.endpoint.socket_options = options;
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
            self.$settings.proxy_protocol = expected;
            self
        }

        /// The generations of the protocol that peers may speak. Default [`Protocols::Both`](crate::Protocols::Both): each is answered in its own, and
        /// all are in one session. A scheme that insists on one (`masep://`, `pymasep://`) counts more than this.
        pub fn protocols(mut self, protocols: crate::Protocols) -> Self {
            self.$settings.endpoint.protocols = protocols;
            self
        }

        /// Has peers use TLS, with this certificate: all of them, or those that do so by themselves
        /// ([`TlsMode`](crate::tls::TlsMode)). Where all do, pymasep's protocol is not spoken, and an address whose scheme says
        /// that there is no TLS is an error. The certificate is read by the call that begins to listen. A handshake of TLS is a
        /// part of the hello, with its time ([`Limits::hello_time`](crate::Limits::hello_time)).
        #[cfg(feature = "tls")]
        pub fn tls(mut self, tls: crate::tls::ServerTls) -> Self {
            self.$settings.endpoint.server_tls = Some(Box::new(tls));
            self
        }

        /// Has a function told of each connection that is not taken: its address, and why. It is called by the task or the
        /// thread that has refused the client, however many are refused: it must not wait. One that panics is in the log.
        /// Default none: refusals are in the log alone, at the level `info`.
        ///
        /// A peer of pymasep's protocol that a table does not want has been taken by its server before:
        /// [`Event::Ignored`](crate::table::Event::Ignored) tells of it.
        pub fn on_reject(
            mut self,
            told: impl Fn(&crate::Address, &crate::RejectReason) + Send + Sync + 'static,
        ) -> Self {
            self.$settings.on_reject = Some(crate::admitting::OnReject::new(told));
            self
        }

        crate::access::access_calls!($settings);
    };
}

pub(crate) use listening_calls;

/// The calls that the builders of both servers have.
macro_rules! server_calls {
    (reads: $reads:literal) => {
        crate::serving::listening_calls!(settings);

        crate::endpoint::when_full_call!(settings.endpoint, $reads);

        /// The policy for a hello whose id is in use. Default [`Duplicates::Refuse`](crate::Duplicates::Refuse).
        pub fn duplicates(mut self, duplicates: crate::Duplicates) -> Self {
            self.settings.duplicates = duplicates;
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
            self.settings.asks = crate::request::Asks::Masep2;
            self
        }

        /// As [`ask`](Self::ask), and the host decides about peers of pymasep's protocol too. They have said no more than an
        /// id, which is all that is in [`Request::hello`](crate::Request::hello) then, and [`Request::protocol`](crate::Request::protocol) tells them apart. They get the
        /// server's hello when they are admitted: so a server can look somewhere else first, and say hello by the id that is in
        /// the [`Welcome`](crate::Welcome). To be refused is a BYE to them, without a word.
        pub fn ask_all(mut self) -> Self {
            self.settings.asks = crate::request::Asks::All;
            self
        }

        /// Answers the LAN search from the start, as [`Server::announce`] does. Default off.
        pub fn announce(mut self, announce: bool) -> Self {
            self.settings.announce = announce;
            self
        }

        /// Gives what searches of masep are told of this server beside its address. Called for each answer, by the task or
        /// thread that answers: it must not wait. One that panics has nothing told, and the log says so once. Default: the
        /// server's id.
        pub fn describe(
            mut self,
            describe: impl Fn() -> crate::discovery::Description + Send + Sync + 'static,
        ) -> Self {
            self.settings.describe = Some(crate::discovery::Describe::new(describe));
            self
        }
    };
}

pub(crate) use server_calls;

/// The calls that both servers have, which do not wait. `answers`: a word on what answers the LAN search.
macro_rules! info_calls {
    (answers: $answers:literal) => {
        /// Answers the LAN search until [`stop_announcing`](Self::stop_announcing).
        #[doc = $answers]
        ///
        /// # Errors
        /// When UDP port 10000 cannot be had, for example because a pymasep server, which does not
        /// share it, runs on this host; `InvalidInput` for a server on a Unix socket, which nobody else could reach.
        pub fn announce(&self) -> std::io::Result<()> {
            let announcement = self.announcement.lock();
            let mut announcement = announcement.unwrap_or_else(PoisonError::into_inner);
            if announcement.is_none() {
                *announcement = Some(announce(&self.info)?);
            }
            Ok(())
        }

        /// Stops answering the LAN search.
        pub fn stop_announcing(&self) {
            let announcement = self.announcement.lock();
            announcement.unwrap_or_else(PoisonError::into_inner).take();
        }

        /// The server's own id.
        pub const fn id(&self) -> &crate::PeerId {
            &self.info.id
        }

        /// The address that the server listens on, with the real port.
        pub fn local_address(&self) -> crate::Address {
            self.info.local_address.clone()
        }

        /// The address for peers of pymasep's protocol alone, where there is one.
        pub const fn pymasep_address(&self) -> Option<&crate::Address> {
            self.info.pymasep_address.as_ref()
        }

        /// True if the server listens on more than local addresses without TLS and without tokens, as a warning in the
        /// log has said: then whoever reaches it can join.
        pub const fn is_exposed(&self) -> bool {
            self.info.is_exposed
        }

        /// The state of the server's certificate; `None` where it has no TLS. Looks at its files, as a new connection does.
        #[cfg(feature = "tls")]
        pub fn certificate(&self) -> Option<crate::tls::CertificateState> {
            self.door.settings().certificate()
        }

        /// Ends the connections of these, with the code `kicked`, and returns their number. They may come back, unless they
        /// are [banned](Self::ban). Does not wait: a peer that does not take its last frames within a second is cut off.
        pub fn kick(&self, subject: &crate::access::Subject) -> usize {
            self.door.ask(|admission, _| admission.kick(subject))
        }

        /// As [`kick`](Self::kick), and refuses all that come, with the code `banned`, until [`unban`](Self::unban) or the
        /// end of the server.
        pub fn ban(&self, subject: crate::access::Subject) -> usize {
            self.door.ask(|admission, _| admission.ban(subject))
        }

        /// Lets these come again. False if they were not banned.
        pub fn unban(&self, subject: crate::access::Subject) -> bool {
            self.door.ask(|admission, _| admission.unban(subject))
        }

        /// The clients that are banned.
        pub fn bans(&self) -> Vec<crate::access::Subject> {
            self.door
                .ask(|admission, _| admission.bans().cloned().collect())
        }
    };
}

pub(crate) use info_calls;
