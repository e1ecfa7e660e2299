//! Handles of connections: the part of them that is the same in both shells.

use std::sync::{Arc, Weak};

use masep_proto::{Encoding, PeerId};

use crate::ConnectionId;
use crate::sync::OnceLock;

/// A handle of a connection of either shell.
pub(crate) trait Handle: Clone {
    fn id(&self) -> ConnectionId;

    fn peer(&self) -> &PeerId;

    /// True if the connection has ended.
    fn is_ended(&self) -> bool;
}

/// The form of messages on a connection, which is known before there are handles. It is made once, for those who send or
/// receive any; in a box, as most connections of some programs have none.
pub(crate) struct MessageForm(OnceLock<Box<Encoding>>);

impl MessageForm {
    pub(crate) fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The form, which is `make`'s if there is none yet.
    #[inline]
    pub(crate) fn get(&self, make: impl FnOnce() -> Encoding) -> &Encoding {
        if let Some(encoding) = self.0.get() {
            return encoding;
        }
        // Not within the call below: it takes the connection's lock.
        let encoding = make();
        self.0.get_or_init(|| Box::new(encoding))
    }
}

/// The part that a handle has in keeping its connection alive. The last `L`, which is dropped then, ends it.
#[derive(Debug)]
pub(crate) enum Owner<L> {
    /// None: that is up to the server.
    Server,
    /// The connection lives as long as one of these does.
    Handle(Arc<L>),
    /// None, but a clone of this handle has one: of a connection that is lent to a handler or a registry.
    Lent(Weak<L>),
}

impl<L> Owner<L> {
    /// That of a handle that does not keep the connection alive, but whose clones do.
    pub(crate) fn lend(&self) -> Self {
        match self {
            Self::Server => Self::Server,
            Self::Handle(last) => Self::Lent(Arc::downgrade(last)),
            Self::Lent(last) => Self::Lent(last.clone()),
        }
    }
}

impl<L> Clone for Owner<L> {
    fn clone(&self) -> Self {
        match self {
            Self::Server => Self::Server,
            Self::Handle(last) => Self::Handle(last.clone()),
            Self::Lent(last) => match last.upgrade() {
                Some(last) => Self::Handle(last),
                // The connection has ended, or is about to.
                None => Self::Lent(last.clone()),
            },
        }
    }
}

/// The calls that both handles have, which tell of the connection and do not wait.
macro_rules! handle_calls {
    () => {
        /// The number of this connection in this process.
        pub fn id(&self) -> crate::ConnectionId {
            self.shared.id
        }

        /// The id that the peer gave in its hello.
        pub fn peer(&self) -> &crate::PeerId {
            self.shared.peer()
        }

        /// The peer's address. A peer on a Unix socket is shown with the path of the server.
        pub fn address(&self) -> crate::Address {
            self.shared.address.clone()
        }

        /// The generation of the protocol that is spoken on this connection.
        pub fn protocol(&self) -> crate::Protocol {
            self.peer_limits().protocol
        }

        /// The bounds of what the peer can be sent.
        pub fn peer_limits(&self) -> crate::PeerLimits {
            self.shared.look_at(|core| core.peer_limits())
        }

        /// The server's WELCOME to this client (protocol 2): a seat, an instance, what it can do. `None` on a
        /// server's connection, and in pymasep's protocol, which has no such thing.
        pub fn welcome(&self) -> Option<crate::Welcome> {
            self.shared.look_at(|core| core.welcome().cloned())
        }

        /// The peer's rights, by its access token; `None` at a client, and at a server that asks for no tokens.
        pub fn grant(&self) -> Option<&crate::access::Grant> {
            self.shared.grant()
        }

        /// The client's HELLO (protocol 2): its role, game, seat, features. Access token, resume text
        /// and `make` are for the [verdict](crate::Request) and not kept. `None` on a client's connection, and in pymasep's
        /// protocol, which has no such thing.
        pub fn hello(&self) -> Option<crate::Hello> {
            self.shared.look_at(|core| core.hello().cloned())
        }

        /// A message as a frame for this connection, within its bounds.
        ///
        /// # Errors
        /// A message over one of the bounds of messages in [`Limits`](crate::Limits), or with something that this peer cannot
        /// be sent.
        pub fn encode(&self, message: &crate::Message) -> Result<crate::Frame, crate::EncodeError> {
            self.encoding().encode(message)
        }

        /// The message in a frame of this connection, within its bounds. Handlers use it for the frames that they get.
        ///
        /// # Errors
        /// A frame that is no message, or over one of the bounds of messages in [`Limits`](crate::Limits); with the position.
        pub fn decode(&self, frame: crate::Frame) -> Result<crate::Message, crate::DecodeError> {
            self.encoding().decode(frame)
        }

        /// The form of messages on this connection.
        pub(crate) fn encoding(&self) -> &masep_proto::Encoding {
            self.shared.encoding()
        }
    };
}

pub(crate) use handle_calls;

/// The traits of handles, beside their calls.
macro_rules! handle_traits {
    ($connection:ty) => {
        impl crate::handle::Handle for $connection {
            fn id(&self) -> crate::ConnectionId {
                self.shared.id
            }

            fn peer(&self) -> &crate::PeerId {
                self.shared.peer()
            }

            fn is_ended(&self) -> bool {
                self.shared.is_ended()
            }
        }

        impl std::fmt::Debug for $connection {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Connection")
                    .field("id", &self.id())
                    .field("peer", self.peer())
                    .field("address", &self.address())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use handle_traits;
