//! The messages of an interface with its engine.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use masep::{CloseReason, Connection, Frame, Message, MessageType, Role, SendError, TypeName};
use tokio::time::{Instant, timeout_at};

use super::REJECTION_TIME;
use super::newest::Waiting;
use crate::commands::{Command, Content, Input, Line, Recipient};
use crate::error::Error;
use crate::events::{Event, Events, Received, Source};
use crate::failure::Failure;
use crate::status::Status;

/// The part that an interface has in a game of pymasep.
pub(super) struct Part {
    pub(super) role: Role,
    pub(super) game: TypeName,
}

/// An interface's side of its connection.
pub(super) struct Conversation {
    connection: Connection,
    events: Events,
    /// The interface's own id.
    id: String,
    /// True if observations are skipped for newer ones.
    newest: bool,
    /// The messages that it sends by itself, if it plays a role.
    part: Option<Part>,
    connected: Instant,
    has_received: AtomicBool,
}

impl Conversation {
    /// The conversation on a connection that has just been made.
    pub(super) fn new(
        connection: Connection,
        events: Events,
        id: String,
        newest: bool,
        part: Option<Part>,
    ) -> Self {
        Self {
            connection,
            events,
            id,
            newest,
            part,
            connected: Instant::now(),
            has_received: AtomicBool::new(false),
        }
    }

    /// Tells that it is connected, what arrives, and how the connection ended.
    pub(super) async fn receive(&self) -> Result<Status, Error> {
        let connected = Event::Connected {
            peer: self.connection.peer(),
            address: self.connection.address(),
            protocol: self.connection.protocol().number(),
            token: None,
            id: Some(&self.id),
        };
        self.events.tell(&self.connection, &connected).await;
        self.enter().await;
        if self.newest {
            self.tell_newest().await;
        } else {
            self.tell_all().await;
        }
        let reason = self.connection.closed().await;
        self.events.tell_notices(&self.connection).await;
        let closed = Event::closed(&self.connection, &reason);
        self.events.tell(&self.connection, &closed).await;
        self.status(reason)
    }

    /// The exit status of the program when the connection has ended for this reason.
    fn status(&self, reason: CloseReason) -> Result<Status, Error> {
        let (peer, address) = (self.connection.peer().clone(), self.connection.address());
        if reason == CloseReason::Rejected {
            return Err(Error::Rejected {
                peer,
                address,
                reason,
            });
        }
        if !reason.is_orderly() {
            return Err(Error::ConnectionLost {
                peer,
                address,
                reason,
            });
        }
        match self.connection.unsent() {
            0 => Ok(Status::Done),
            frames => Err(Error::NotSent {
                peer,
                address,
                frames,
            }),
        }
    }

    async fn tell_all(&self) {
        while let Ok(received) = self.connection.recv_or_notice().await {
            match received {
                Ok(frame) => {
                    let received = self.heed(frame).await;
                    self.tell(&received).await;
                }
                Err(notice) => self.events.tell_notice(&self.connection, notice).await,
            }
        }
    }

    /// Tells when standard output wants something, and receives meanwhile.
    async fn tell_newest(&self) {
        let mut waiting = Waiting::default();
        let mut open = true;
        while open || !waiting.is_empty() {
            // A future that is dropped here has taken nothing.
            tokio::select! {
                frame = self.connection.recv_or_notice(), if open && waiting.has_room() => match frame {
                    Ok(Ok(frame)) => waiting.push(self.heed(frame).await),
                    Ok(Err(notice)) => self.events.tell_notice(&self.connection, notice).await,
                    Err(_ended) => open = false,
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
        self.events.tell(&self.connection, &event).await;
    }

    /// The event of a frame. Answers the end of the game.
    async fn heed(&self, frame: Frame) -> Received {
        self.has_received.store(true, Ordering::Relaxed);
        self.events.tell_notices(&self.connection).await;
        let received = Received::new(&self.connection, frame);
        if self.part.is_some() && received.is(&MessageType::End) {
            self.take_leave().await;
        }
        received
    }

    /// Sends the first messages of pymasep's interface.
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

    /// Sends the messages of pymasep's interface when the game is over.
    async fn take_leave(&self) {
        self.say(Message::quit(&*self.id)).await;
        // The same as `bye`, which would also wait for the end.
        let _ = self.connection.send(Frame::BYE).await;
    }

    /// Sends the frames that wait and `BYE`, and tells the end, by `receiving` as far as it is known in time. Gives the
    /// exit status then. Some lines may be `undone`.
    pub(super) async fn leave(
        &self,
        deadline: Instant,
        undone: usize,
        receiving: impl Future<Output = Result<Status, Error>>,
    ) -> Result<Status, Error> {
        if undone > 0 {
            self.events
                .tell(Source::Program, &Event::undone(undone))
                .await;
        }
        if !self.has_received.load(Ordering::Relaxed) {
            // Behind our BYE nobody would know that the server has said its own, and has taken nothing.
            let known = deadline.min(self.connected + REJECTION_TIME);
            let _ = timeout_at(known, self.connection.closed()).await;
        }
        if timeout_at(deadline, self.connection.bye()).await.is_err() {
            let cut_off = Event::cut_off(&self.connection);
            self.events.tell(Source::Program, &cut_off).await;
            // The program ends with the connection still open, which is the end of it.
            let closed = Event::closed(&self.connection, &CloseReason::Aborted);
            self.events.tell(&self.connection, &closed).await;
            return Ok(Status::NotSent);
        }
        match receiving.await {
            Ok(Status::Done) if undone > 0 => Ok(Status::NotSent),
            // That this side wanted the end is why no other reason is a failure.
            Err(Error::ConnectionLost { .. }) if self.connection.unsent() == 0 => Ok(Status::Done),
            ended => ended,
        }
    }

    async fn say(&self, message: Message) {
        match self.connection.send_message(&message).await {
            // The end of the connection is told by its own event.
            Ok(()) | Err(SendError::Closed(_)) => {}
            Err(error) => self.events.tell_error(None, &error.into()).await,
        }
    }

    /// Does line after line until one asks for the end, or there are no more.
    pub(super) async fn do_lines(&self, mut input: Input) {
        while let Some(Line { number, command }) = input.next().await {
            let done = match command {
                // Only a server's lines have the other.
                Ok(Command::Shutdown | Command::SendAway(_)) => return,
                Ok(Command::Send { to, content }) => {
                    let is_bye = content.is_bye();
                    let sent = self.send(to, &content).await;
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
    }

    /// Sends a frame, but leaves a `BYE` to [`leave`](Self::leave).
    async fn send(&self, to: Option<Recipient>, content: &Content) -> Result<(), Failure> {
        let peer = self.connection.peer();
        if let Some(Recipient::Peer(id)) = to
            && id != peer.as_str()
        {
            let message = format!("the only connection is the one with {peer:?}, not {id:?}");
            return Err(Failure::new("unknown_peer", message));
        }
        if content.is_bye() {
            return Ok(());
        }
        let frame = content.frame(&self.connection)?;
        Ok(self.connection.send(frame).await?)
    }
}
