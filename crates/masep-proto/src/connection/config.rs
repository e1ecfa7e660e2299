//! What the connections of one side have in common.

use bytes::Bytes;

use crate::framing::Framing;
use crate::hello::own_hello;
use crate::{HelloError, Limits};

/// What to do with a frame for a queue that is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// Wait for room. Nothing is lost: a receiver stops reading and its peer feels the
    /// back-pressure. What actions want.
    #[default]
    Wait,
    /// Drop the oldest frame that waits. What observations want when only the latest counts.
    NewestWins,
    /// End the connection with [`CloseReason::QueueFull`](crate::CloseReason::QueueFull).
    Disconnect,
}

/// What the connections of a server or a client have in common: the own id and the bounds. Shared by all of
/// them.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) limits: Limits,
    pub(super) framing: Framing,
    /// Our hello, as it goes out.
    pub(super) hello: Bytes,
    /// What to do with a frame that arrives when as many wait as may.
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

    /// The bounds.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }
}
