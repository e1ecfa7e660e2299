//! The configuration of one side's connections.

use bytes::Bytes;

use crate::framing::Framing;
use crate::hello::own_hello;
use crate::{HelloError, Limits};

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

/// The configuration that all connections of a server or a client share: the own id and the bounds.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) limits: Limits,
    pub(super) framing: Framing,
    /// Our hello, as it goes out.
    pub(super) hello: Bytes,
    /// The policy for a frame that arrives when as many wait as may.
    pub(super) when_full: WhenFull,
}

impl Config {
    /// For a side with this id.
    ///
    /// # Errors
    /// An id that no peer could take: too long, or the word `BYE`.
    pub fn new(id: &str, limits: Limits) -> Result<Self, HelloError> {
        Ok(Self {
            hello: own_hello(id, &limits)?,
            framing: Framing::pymasep(&limits),
            limits,
            when_full: WhenFull::default(),
        })
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
