//! Handles of connections: the part of them that is the same in both shells.

use std::sync::{Arc, LazyLock, Weak};
use std::time::Instant;

use masep_proto::access::Grant;
use masep_proto::admission::Refusal;
use masep_proto::connection::Connection as Core;
use masep_proto::{Encoding, PeerId};

use crate::sync::OnceLock;
use crate::transport::{self, Stream};
use crate::{Address, ConnectionId, RejectReason};

/// A handle of a connection of either shell.
pub trait Handle: Clone {
    /// The number of the connection in this process.
    fn id(&self) -> ConnectionId;

    /// The id that the peer gave in its hello.
    fn peer(&self) -> &PeerId;

    /// True if the connection has ended.
    fn is_ended(&self) -> bool;

    /// False if the connection has ended, or is being ended, as far as its user can know.
    fn is_live(&self) -> bool;
}

/// A connection of either shell, as its handles and its tasks or threads share it.
pub(crate) trait SharedConnection: Send + Sync + 'static {
    fn info(&self) -> &ConnectionInfo;

    /// Looks at the core, which is not changed.
    fn look_at<T>(&self, look: impl FnOnce(&Core) -> T) -> T;

    /// This side ends the connection by a change of the core.
    fn end_by(self: &Arc<Self>, end: impl FnOnce(&mut Core, Instant));

    /// Refuses the peer of a server that has ended since its door has taken it.
    fn refuse_stopped(self: &Arc<Self>) {
        let (reason, at_once) = (RejectReason::Stopped, false);
        self.end_by(|core, now| core.turn_away(Refusal { reason, at_once }, now));
    }

    /// Has all read that has arrived: it may be the end.
    fn look(self: &Arc<Self>);
}

/// The facts about a connection that do not change any more once they are known.
pub(crate) struct ConnectionInfo {
    pub(crate) id: ConnectionId,
    pub(crate) address: Address,
    peer: OnceLock<PeerId>,
    /// The form of messages, which is known before there are handles. It is made once, for those who send or receive any;
    /// in a box, as most connections of some programs have none.
    encoding: OnceLock<Box<Encoding>>,
    /// The rights with which the peer was let in.
    grant: OnceLock<Arc<Grant>>,
}

impl ConnectionInfo {
    /// A connection that has just begun.
    pub(crate) fn new(address: Address) -> Self {
        Self {
            id: ConnectionId::next(),
            address,
            peer: OnceLock::new(),
            encoding: OnceLock::new(),
            grant: OnceLock::new(),
        }
    }

    /// The peer's id, from its hello on, before which there are no handles.
    pub(crate) fn peer(&self) -> &PeerId {
        static UNKNOWN: LazyLock<PeerId> = LazyLock::new(|| PeerId::new(""));
        self.peer.get().unwrap_or_else(|| &UNKNOWN)
    }

    /// The peer has said hello, if it has.
    pub(crate) fn note_peer(&self, core: &Core, stream: Option<&(impl Stream + ?Sized)>) {
        if let (Some(peer), None) = (core.peer(), self.peer.get()) {
            let _ = self.peer.set(peer.clone());
            if let Some(stream) = stream {
                transport::note_peer(stream, core.peer_splits_frames());
            }
        }
    }

    /// The form of messages on this connection.
    #[inline]
    pub(crate) fn encoding(&self, connection: &impl SharedConnection) -> &Encoding {
        if let Some(encoding) = self.encoding.get() {
            return encoding;
        }
        // Not within the call below: it takes the connection's lock.
        let encoding = connection.look_at(Core::encoding);
        self.encoding.get_or_init(|| Box::new(encoding))
    }

    /// The peer's rights, by its access token.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        self.grant.get().map(|grant| &**grant)
    }

    pub(crate) fn note_grant(&self, grant: Option<Arc<Grant>>) {
        if let Some(grant) = grant {
            // It is told once.
            let _ = self.grant.set(grant);
        }
    }
}

/// The part that a handle has in keeping its connection alive: the `L` is a guard that ends the connection when it is dropped.
#[derive(Debug)]
pub(crate) enum Owner<L> {
    /// None: that is up to the server.
    Server,
    /// The connection lives as long as one of these does.
    Guard(Arc<L>),
    /// None, but a clone of this handle has one: of a connection that is lent to a handler or a registry.
    Lent(Weak<L>),
}

impl<L> Owner<L> {
    /// That of a handle that does not keep the connection alive, but whose clones do.
    pub(crate) fn lend(&self) -> Self {
        match self {
            Self::Server => Self::Server,
            Self::Guard(guard) => Self::Lent(Arc::downgrade(guard)),
            Self::Lent(guard) => Self::Lent(guard.clone()),
        }
    }
}

impl<L> Clone for Owner<L> {
    fn clone(&self) -> Self {
        match self {
            Self::Server => Self::Server,
            Self::Guard(guard) => Self::Guard(guard.clone()),
            Self::Lent(guard) => match guard.upgrade() {
                Some(guard) => Self::Guard(guard),
                // The connection has ended, or is about to.
                None => Self::Lent(guard.clone()),
            },
        }
    }
}

/// The calls that both handles have, which tell of the connection and do not wait.
macro_rules! handle_calls {
    () => {
        /// The number of this connection in this process.
        pub fn id(&self) -> crate::ConnectionId {
            self.shared.info.id
        }

        /// The id that the peer gave in its hello.
        pub fn peer(&self) -> &crate::PeerId {
            self.shared.info.peer()
        }

        /// The peer's address. A peer on a Unix socket is shown with the path of the server.
        pub fn address(&self) -> crate::Address {
            self.shared.info.address.clone()
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

        /// The time of the last round trip of a ping (protocol 2): one is sent by [`ping`](Self::ping), and after a heartbeat
        /// without anything else ([`Limits::heartbeat`](crate::Limits::heartbeat)); without async, by a call that waits.
        /// `None` before the first. The answer counts when it is read: without async by a call that receives, so the time
        /// until such a call is in it.
        pub fn rtt(&self) -> Option<std::time::Duration> {
            self.shared.look_at(|core| core.rtt())
        }

        /// The oldest notice of the peer's that has arrived and was not taken: something that it did not accept, which is
        /// no end (protocol 2). They are read with the frames, which they may have overtaken, so ask after one has been
        /// received, or with async receive by [`recv_or_notice`](crate::Connection::recv_or_notice); a handler is told. The
        /// latest 16 are kept. Does not wait.
        pub fn try_notice(&self) -> Option<masep_proto::protocol2::Notice> {
            self.shared.lock().core.poll_notice()
        }

        /// The peer's rights, by its access token; `None` at a client, and at a server that asks for no tokens.
        pub fn grant(&self) -> Option<&crate::access::Grant> {
            self.shared.info.grant()
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
            self.shared.info.encoding(&*self.shared)
        }
    };
}

pub(crate) use handle_calls;

/// The traits of handles, beside their calls.
macro_rules! handle_traits {
    ($connection:ty) => {
        impl crate::handle::Handle for $connection {
            fn id(&self) -> crate::ConnectionId {
                self.shared.info.id
            }

            fn peer(&self) -> &crate::PeerId {
                self.shared.info.peer()
            }

            fn is_ended(&self) -> bool {
                self.shared.is_ended()
            }

            fn is_live(&self) -> bool {
                self.shared.is_live()
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
