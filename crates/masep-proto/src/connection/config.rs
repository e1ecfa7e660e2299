//! The configuration of one side's connections.

use std::sync::Arc;

use bytes::Bytes;

use super::agreement::VERSION;
use super::budget::Budget;
use crate::framing::Framing;
use crate::hello::own_hello;
use crate::protocol2::{Control, Hello};
use crate::{Frame, HelloError, Limits, PeerId};

/// The policy for a frame for which a queue has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// Wait for room. Nothing is lost: a receiver stops reading and its peer feels the
    /// back-pressure. This is for actions.
    #[default]
    Wait,
    /// Drop the oldest frame that waits. This is for observations of which only the latest counts.
    NewestWins,
    /// End the connection with [`CloseReason::QueueFull`](crate::CloseReason::QueueFull).
    Disconnect,
}

/// The generations of the protocol that a side speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocols {
    /// pymasep's alone.
    #[default]
    Pymasep,
    /// Both: a server speaks what its client speaks; a client asks for protocol 2, and fails with
    /// [`HelloFailure::ConnectAgain`](super::HelloFailure::ConnectAgain) at a server of pymasep's protocol.
    Both,
    /// Protocol 2 alone.
    Masep2,
}

/// The configuration that all connections of a server or a client share: the own id and the bounds.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) limits: Limits,
    pub(super) framing: Framing,
    /// The most bytes of a body in pymasep's protocol.
    pub(super) frame_bytes: usize,
    /// Our hello, as it goes out.
    pub(super) hello: Bytes,
    /// The policy for a frame that arrives when as many wait as may.
    pub(super) when_full: WhenFull,
    pub(super) protocols: Protocols,
    /// A server takes peers in TLS alone; a client's connections are in TLS.
    pub(super) tls: bool,
    /// This side's id, and what else its HELLO has.
    pub(super) offer: Box<Hello>,
    /// The memory for large frames on their way in, on all connections together.
    pub(super) budget: Arc<Budget>,
}

/// The largest payload that a server receives, unless its limits say it, and a client.
const SERVER_PAYLOAD: u32 = 1 << 20;
const CLIENT_PAYLOAD: u32 = 16 << 20;
/// The name of this program for its peers.
const AGENT: &str = concat!("masep ", env!("CARGO_PKG_VERSION"));

impl Config {
    /// For a side with this id.
    ///
    /// # Errors
    /// An id that no peer could take: too long, or the word `BYE`.
    pub fn new(id: &str, limits: Limits) -> Result<Self, HelloError> {
        Ok(Self {
            hello: own_hello(id, &limits)?,
            framing: Framing::pymasep(&limits),
            frame_bytes: limits.frame_bytes.min(Frame::MAX_BYTES),
            limits,
            when_full: WhenFull::default(),
            protocols: Protocols::default(),
            tls: false,
            offer: Box::new(offer(id)),
            budget: Budget::new(usize::MAX),
        })
    }

    /// The same for a side with another id.
    pub(super) fn with_id(&self, id: &PeerId) -> Result<Self, HelloError> {
        let mut config = self.clone();
        config.hello = own_hello(id, &self.limits)?;
        config.offer.id = id.clone();
        Ok(config)
    }

    /// Sets which generations of the protocol this side speaks. Default [`Protocols::Pymasep`].
    #[must_use]
    pub const fn protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = protocols;
        self
    }

    /// Sets whether a server takes peers in TLS alone, and whether a client's connections are in TLS that has made sure of
    /// the server. Default false. A peer in TLS, as [`Connection::note_layer`](super::Connection::note_layer) tells,
    /// may speak protocol 2 alone.
    #[must_use]
    pub const fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Sets what a client says of itself in protocol 2, and the [features](Hello::features) of either side. The versions,
    /// the id and the largest payload of it do not count.
    ///
    /// A client with a [token](Hello::token), or that asks for a [profile](Hello::profile), does not fall back to pymasep's
    /// protocol, which has no place for either. One with a token says HELLO only when the server has said that it speaks
    /// protocol 2.
    #[must_use]
    pub fn offer(mut self, offer: Hello) -> Self {
        *self.offer = Hello {
            id: self.offer.id,
            agent: if offer.agent.is_empty() {
                self.offer.agent
            } else {
                offer.agent.clone()
            },
            ..offer
        };
        self
    }

    /// Looks whether what this side says of itself in protocol 2 can be sent.
    ///
    /// # Errors
    /// A text of it, or all of it, is longer than control messages may be; a name of it is not
    /// [printable](crate::is_printable).
    pub fn check_offer(&self) -> Result<(), HelloError> {
        let hello = Control::Hello(Box::new(self.own_hello()));
        Ok(hello.encode().map(drop)?)
    }

    /// The HELLO of a client.
    pub(super) fn own_hello(&self) -> Hello {
        Hello {
            versions: (VERSION, VERSION),
            max: self.payload_bytes(true),
            ..(*self.offer).clone()
        }
    }

    /// Sets how many bytes of memory there are for frames of more than 64 KiB that are on their way in, on all connections
    /// with this configuration together: [`ServerLimits::incoming_bytes`](crate::ServerLimits::incoming_bytes). Default:
    /// any number.
    #[must_use]
    pub fn incoming_bytes(mut self, bytes: usize) -> Self {
        self.budget = Budget::new(bytes);
        self
    }

    /// The largest payload that this side receives in protocol 2.
    pub(super) fn payload_bytes(&self, connects: bool) -> u32 {
        let default = if connects {
            CLIENT_PAYLOAD
        } else {
            SERVER_PAYLOAD
        };
        self.limits.payload_bytes.unwrap_or(default)
    }

    /// Sets what to do with a frame that arrives when [`Limits::queue_messages`] or [`Limits::queue_bytes`]
    /// already wait. Default [`WhenFull::Wait`].
    #[must_use]
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// The policy for a frame that arrives when as many wait as may.
    pub const fn policy(&self) -> WhenFull {
        self.when_full
    }

    /// The bounds.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The HELLO of a side for which no more is set.
fn offer(id: &str) -> Hello {
    let mut offer = Hello::new(PeerId::from(id), 0);
    offer.agent = AGENT.into();
    offer
}
