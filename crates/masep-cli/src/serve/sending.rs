//! Does what the lines of standard input ask for.

use std::sync::Arc;
use std::time::Duration;

use masep::{Connection, EncodeError, Frame, PeerId, Protocol, SendError, Server, WhenFull};
use tokio::time::{Instant, timeout_at};

use crate::commands::{Command, Content, EVERYONE, Input, Line, Recipient};
use crate::events::Events;
use crate::failure::Failure;

/// The parts that sending needs.
pub(super) struct Sending {
    pub(super) server: Arc<Server>,
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
                Ok(Command::Send { to, content }) => self.send(to, &content).await,
                Ok(Command::SendAway(who)) => who.carry_out(&self.server),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                self.events.tell_error(Some(number), &failure).await;
            }
        }
    }

    async fn send(&self, to: Option<Recipient>, content: &Content) -> Result<(), Failure> {
        let deadline = Instant::now() + self.patience;
        match to {
            None => {
                let message = "the key \"to\" is missing: the id of a peer, or \"*\" for all";
                Err(Failure::new("missing_key", message))
            }
            Some(Recipient::Peer(id)) => {
                // Never [`EVERYONE`], which is another recipient.
                let Some(connection) = self.server.registry().get_connection(&id) else {
                    return Err(SendError::UnknownPeer(PeerId::from(id)).into());
                };
                let frame = content.frame(&connection)?;
                Ok(self.send_by(deadline, &connection, frame).await?)
            }
            Some(Recipient::Everyone) => self.broadcast(deadline, content).await,
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

    /// Sends to all; those that have room do not wait for the others. It is an error if some cannot be sent it, who are
    /// named where others can: who is ended for taking too little gets an event of its own.
    async fn broadcast(&self, deadline: Instant, content: &Content) -> Result<(), Failure> {
        let mut forms = Forms::default();
        let (mut sent, mut full, mut refused) = (0, Vec::new(), Vec::new());
        for connection in self.server.registry().connections() {
            if **connection.peer() == *EVERYONE {
                // It is about to be told that it is not taken.
                continue;
            }
            let offered = forms
                .frame(content, &connection)
                .and_then(|frame| connection.try_send(frame));
            match offered {
                Ok(()) => sent += 1,
                Err(SendError::Closed(_)) => {}
                Err(SendError::Full(_)) => full.push(connection),
                Err(error) => refused.push((connection.peer().clone(), error)),
            }
        }
        sent += full.len();
        for connection in full {
            if let Ok(frame) = forms.frame(content, &connection) {
                let _ = self.send_by(deadline, &connection, frame).await;
            }
        }
        match (refused.first(), sent) {
            (None, 0) => check(content),
            (None, _) => Ok(()),
            (Some((_, error)), 0) => Err(error.clone().into()),
            (Some(_), sent) => Err(undelivered(sent, &refused)),
        }
    }
}

/// One thing as frames, by the generation of the protocol.
#[derive(Default)]
struct Forms(Vec<(Protocol, Frame)>);

impl Forms {
    fn frame(&mut self, content: &Content, connection: &Connection) -> Result<Frame, SendError> {
        let protocol = connection.protocol();
        if let Some((_, frame)) = self.0.iter().find(|(of, _)| *of == protocol) {
            return Ok(frame.clone());
        }
        let frame = content.frame(connection)?;
        self.0.push((protocol, frame.clone()));
        Ok(frame)
    }
}

/// Checks that a message which nobody was there to get could have been sent at all.
fn check(content: &Content) -> Result<(), Failure> {
    let Content::Message(message) = content else {
        return Ok(());
    };
    match message.to_frame() {
        // In protocol 2 it could.
        Ok(_) | Err(EncodeError::Array { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The failure of a message that some peers were sent and others cannot be sent.
fn undelivered(sent: usize, refused: &[(PeerId, SendError)]) -> Failure {
    let peers: Vec<String> = refused
        .iter()
        .map(|(peer, error)| format!("{peer:?}: {error}"))
        .collect();
    let all = sent + refused.len();
    let message = format!(
        "{sent} of {all} peers were sent it; not {}",
        peers.join("; ")
    );
    Failure::new("undelivered", message)
}
