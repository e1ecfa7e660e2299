//! One frame for every connection of a registry, in both shells.

use masep_proto::LimitExceeded;

use crate::SendError;
use crate::error::Refusals;
use crate::handle::Handle;

/// The outcome of offering a frame to every connection.
pub(crate) struct Offered<C> {
    /// To how many it was sent.
    pub(crate) sent: usize,
    /// Those that had no room for it.
    pub(crate) without_room: Vec<(C, LimitExceeded)>,
    refusals: Refusals,
}

impl<C> Default for Offered<C> {
    fn default() -> Self {
        Self {
            sent: 0,
            without_room: Vec::new(),
            refusals: Refusals::default(),
        }
    }
}

impl<C: Handle> Offered<C> {
    /// Counts the answer of a connection. One that has ended is no error.
    pub(crate) fn count(&mut self, connection: &C, answer: Result<(), SendError>) {
        match answer {
            Ok(()) => self.sent += 1,
            Err(SendError::Full(limit)) => self.without_room.push((connection.clone(), limit)),
            Err(SendError::Closed(_)) => {}
            Err(error) => self.refusals.add(connection.peer(), error),
        }
    }

    /// The number of those that were sent it, when those without room were seen to.
    pub(crate) fn outcome(self) -> Result<usize, SendError> {
        self.refusals.outcome(self.sent)
    }

    /// Those without room, if none of the others refuses the frame.
    pub(crate) fn into_without_room(mut self) -> Result<Vec<C>, SendError> {
        let without_room = self.without_room.into_iter();
        if self.refusals.is_empty() {
            return Ok(without_room.map(|(connection, _)| connection).collect());
        }
        for (connection, limit) in without_room {
            self.refusals.add(connection.peer(), SendError::Full(limit));
        }
        self.refusals.outcome(self.sent).map(|_| Vec::new())
    }
}
