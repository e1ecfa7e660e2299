//! Does what the lines of standard input ask for.

use std::time::Duration;

use masep::{Connection, Frame, PeerId, Registry, SendError, WhenFull};
use tokio::time::{Instant, timeout_at};

use crate::commands::{Command, EVERYONE, Input, Line, Recipient};
use crate::events::Events;
use crate::failure::Failure;

/// The parts that sending needs.
pub(super) struct Sending {
    pub(super) registry: Registry,
    pub(super) events: Events,
    /// The policy for a frame to a peer whose queue is full.
    pub(super) when_full: WhenFull,
    /// The time that one line may wait for room, all its recipients together. A connection that takes a
    /// byte now and then never reaches its write time, but may not hold up the other peers for ever.
    pub(super) patience: Duration,
}

impl Sending {
    /// Does line after line until one asks for a shut-down, or there are no more.
    pub(super) async fn do_lines(self, mut input: Input) {
        while let Some(Line { number, command }) = input.next().await {
            let done = match command {
                Ok(Command::Shutdown) => return,
                Ok(Command::Send { to, frame }) => self.send(to, frame).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                self.events.tell_error(Some(number), &failure).await;
            }
        }
    }

    async fn send(&self, to: Option<Recipient>, frame: Frame) -> Result<(), Failure> {
        let deadline = Instant::now() + self.patience;
        match to {
            None => {
                let message = "the key \"to\" is missing: the id of a peer, or \"*\" for all";
                Err(Failure::new("missing_key", message))
            }
            Some(Recipient::Peer(id)) => {
                // Never [`EVERYONE`], which is another recipient.
                let Some(connection) = self.registry.get_connection(&id) else {
                    return Err(SendError::UnknownPeer(PeerId::from(id)).into());
                };
                Ok(self.send_by(deadline, &connection, frame).await?)
            }
            Some(Recipient::Everyone) => self.broadcast(deadline, &frame).await,
        }
    }

    /// Sends to one connection by the policy, but does not wait beyond the deadline: then the
    /// connection is ended.
    async fn send_by(
        &self,
        deadline: Instant,
        connection: &Connection,
        frame: Frame,
    ) -> Result<(), SendError> {
        let sent = connection.send_or(frame.clone(), self.when_full);
        match timeout_at(deadline, sent).await {
            Ok(sent) => sent,
            Err(_elapsed) => connection.send_or(frame, WhenFull::Disconnect).await,
        }
    }

    /// Sends to all; those that have room do not wait for the others. Only a frame that cannot be
    /// sent to anybody is an error: who is ended for taking too little gets an event of its own.
    async fn broadcast(&self, deadline: Instant, frame: &Frame) -> Result<(), Failure> {
        let mut full = Vec::new();
        for connection in self.registry.connections() {
            if **connection.peer() == *EVERYONE {
                // It is about to be told that it is not taken.
                continue;
            }
            match connection.try_send(frame.clone()) {
                Ok(()) | Err(SendError::Closed(_)) => {}
                Err(SendError::Full(_)) => full.push(connection),
                Err(error) => return Err(error.into()),
            }
        }
        for connection in full {
            let _ = self.send_by(deadline, &connection, frame.clone()).await;
        }
        Ok(())
    }
}
