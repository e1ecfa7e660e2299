//! The settings that the builders of both sides and both shells have in common.

use masep_proto::connection::{Config, Protocols};
use masep_proto::protocol2::Hello;
use masep_proto::{HelloError, Limits, PeerId};

use crate::connection::Delivery;
use crate::tls::{Acceptor, ClientTls, ServerTls};
use crate::{SocketOptions, Target, TlsError, WhenFull};

/// The call that the builders of both sides and both shells have. `reads`: a word on who reads what nobody receives.
macro_rules! when_full_call {
    ($($endpoint:ident).+, $reads:literal) => {
        /// The policy for a frame that arrives when [`Limits::queue_messages`](crate::Limits::queue_messages) or
        /// [`Limits::queue_bytes`](crate::Limits::queue_bytes) already wait for [`Connection::recv`]. Default
        /// [`WhenFull::Wait`](crate::WhenFull::Wait).
        #[doc = $reads]
        ///
        /// With a handler it has no effect: each frame waits in the stream until the handler has returned from the
        /// one before. See [`SocketHandlerQueue::new`](crate::SocketHandlerQueue::new) for a policy there.
        pub fn when_full(mut self, when_full: crate::WhenFull) -> Self {
            self.$($endpoint).+.when_full = when_full;
            self
        }
    };
}

pub(crate) use when_full_call;

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
    /// An id, or what else is said with it, that cannot be sent in a hello.
    pub(crate) fn config(&self, protocols: Protocols) -> Result<Config, HelloError> {
        let config = Config::new(&self.id, self.limits.clone())?
            .protocols(protocols)
            .offer((*self.offer).clone());
        if protocols != Protocols::Pymasep {
            config.check_offer()?;
        }
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
        // Its key is not kept twice.
        let Some(tls) = self.server_tls.take() else {
            return if insists {
                Err(TlsError::no_server())
            } else {
                Ok(None)
            };
        };
        let acceptor = Acceptor::load(&tls, insists)?;
        if acceptor.as_ref().is_some_and(Acceptor::requires) {
            if let Some(target) = target.filter(|target| !target.may_be_tls()) {
                return Err(TlsError::PlainScheme(target.scheme()));
            }
            self.protocols = Protocols::Masep2;
        }
        Ok(acceptor)
    }
}
