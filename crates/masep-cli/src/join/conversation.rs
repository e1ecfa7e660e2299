//! What an interface and its engine say to each other.

use std::time::Duration;

use masep::{Connection, Frame, Message, MessageType, Role, SendError, TypeName};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::newest::Waiting;
use crate::commands::{Command, Line, Recipient};
use crate::error::Error;
use crate::events::{Event, Events, Received};
use crate::failure::Failure;
use crate::status::Status;

/// The part that an interface has in a game of pymasep.
pub(super) struct Part {
    pub(super) role: Role,
    pub(super) game: TypeName,
}

/// An interface's side of its connection.
pub(super) struct Conversation {
    pub(super) connection: Connection,
    pub(super) events: Events,
    /// The interface's own id.
    pub(super) id: String,
    /// Whether observations are skipped for newer ones.
    pub(super) newest: bool,
    /// What it says by itself.
    pub(super) part: Option<Part>,
}

impl Conversation {
    /// Tells that it is connected, what arrives, and how the connection ended.
    pub(super) async fn receive(&self) -> Result<Status, Error> {
        let connected = Event::Connected {
            peer: self.connection.peer(),
            address: self.connection.address(),
            id: Some(&self.id),
        };
        self.events.tell(&connected).await;
        self.enter().await;
        if self.newest {
            self.tell_newest().await;
        } else {
            self.tell_all().await;
        }
        let reason = self.connection.closed().await;
        let closed = Event::closed(self.connection.peer(), &reason);
        self.events.tell(&closed).await;
        if reason.is_orderly() {
            return Ok(Status::Done);
        }
        Err(Error::ConnectionLost {
            peer: self.connection.peer().clone(),
            address: self.connection.address(),
            reason,
        })
    }

    async fn tell_all(&self) {
        while let Some(frame) = self.connection.recv().await {
            let received = self.heed(frame).await;
            self.tell(&received).await;
        }
    }

    /// Tells when standard output wants something, and receives meanwhile.
    async fn tell_newest(&self) {
        let mut waiting = Waiting::default();
        let mut open = true;
        while open || !waiting.is_empty() {
            // Whatever is dropped here has taken nothing.
            tokio::select! {
                frame = self.connection.recv(), if open && waiting.has_room() => match frame {
                    Some(frame) => waiting.push(self.heed(frame).await),
                    None => open = false,
                },
                () = self.events.wanted(), if !waiting.is_empty() => {
                    if let Some(received) = waiting.pop() {
                        self.tell(&received).await;
                    }
                }
            }
        }
    }

    async fn tell(&self, received: &Received) {
        let event = Event::received(self.connection.peer(), received);
        self.events.tell(&event).await;
    }

    /// What a frame says. Answers the end of the game.
    async fn heed(&self, frame: Frame) -> Received {
        let received = Received::new(frame);
        if self.part.is_some() && received.is(&MessageType::End) {
            self.take_leave().await;
        }
        received
    }

    /// What pymasep's interface says first.
    async fn enter(&self) {
        let Some(Part { role, game }) = &self.part else {
            return;
        };
        let define = Message::define(&*self.id, game.clone());
        // pymasep's interfaces in a process of their own have one queue, the number 0.
        let register = Message::register(&*self.id, &*self.id, 0, *role);
        for message in [define, register] {
            self.say(message).await;
        }
    }

    /// What pymasep's interface says when the game is over.
    async fn take_leave(&self) {
        self.say(Message::quit(&*self.id)).await;
        // The same as `bye`, which would also wait for the end.
        let _ = self.connection.send(Frame::BYE).await;
    }

    /// Sends what waits and `BYE`, and waits for the end; whether that was all done in time.
    pub(super) async fn leave(&self, time: Duration) -> bool {
        let is_done = timeout(time, self.connection.bye()).await.is_ok();
        if !is_done {
            let failure = Failure::new("cut_off", "the server takes nothing: not all was sent");
            self.events.tell_error(None, &failure).await;
        }
        is_done
    }

    async fn say(&self, message: Message) {
        match self.connection.send_message(&message).await {
            // The end of the connection is told by its own event.
            Ok(()) | Err(SendError::Closed(_)) => {}
            Err(error) => self.events.tell_error(None, &error.into()).await,
        }
    }

    /// Does line after line until one asks for the end. The end of the input changes nothing.
    pub(super) async fn send_until_bye(&self, mut lines: mpsc::Receiver<Line>) {
        while let Some(Line { number, command }) = lines.recv().await {
            let done = match command {
                Ok(Command::Shutdown) => return,
                Ok(Command::Send { to, frame }) => {
                    let is_bye = frame.is_bye();
                    let sent = self.send(to, frame).await;
                    if is_bye && sent.is_ok() {
                        return;
                    }
                    sent
                }
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                self.events.tell_error(Some(number), &failure).await;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn send(&self, to: Option<Recipient>, frame: Frame) -> Result<(), Failure> {
        let peer = self.connection.peer();
        if let Some(Recipient::Peer(id)) = to
            && id != peer.as_str()
        {
            let message = format!("the only connection is the one with {peer:?}, not {id:?}");
            return Err(Failure::new("unknown_peer", message));
        }
        Ok(self.connection.send(frame).await?)
    }
}
