//! A player without async: see [`masep::player`](crate::player), whose calls these are.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use masep_proto::{Dict, Frame, Message, Value};
use masep_table::TurnData;
use masep_table::player::{End, Event, Session, Step, Turn};

use super::{Client, Connection, TimedOut};
use crate::player::{PlayerBuilder, Told, client_builder, fail, lose};
use crate::random::random_u64;
use crate::{CloseReason, IntoTarget, InvalidAddress, RecvTimeoutError, SendError, Target};

/// A player or spectator, which connects and comes back by itself. See [`masep::player`](crate::player).
///
/// It does so within its calls alone: between them nobody looks after the connection, as with all connections here.
/// When it is dropped, its connection ends with a `BYE`: its seat is away, and can be had again with the
/// [resume text](Self::resume). [`leave`](Self::leave) gives it up.
///
/// ```
/// use masep::{Action, Player};
///
/// # fn play() -> Result<(), Box<dyn std::error::Error>> {
/// let player = Player::builder("agent-1", "countdown.Countdown");
/// let mut player = player.join_blocking("127.0.0.1:60000")?;
/// while let Some(turn) = player.next_turn() {
///     if turn.is_question() {
///         player.act(Action::new(2))?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Player {
    session: Session,
    target: Target,
    options: PlayerBuilder,
    client: Option<Client>,
}

impl PlayerBuilder {
    /// As [`join`](Self::join), for a player without async.
    ///
    /// # Errors
    /// Text that is no address.
    pub fn join_blocking(self, address: impl IntoTarget) -> Result<Player, InvalidAddress> {
        Ok(Player {
            target: address.into_target()?,
            session: self.session(Instant::now()),
            options: self,
            client: None,
        })
    }
}

impl Player {
    /// The next turn; `None` when the part is over, of which [`end`](Self::end) has the reason. Connects where there is no
    /// connection, again and again until the [patience](crate::player::Backoff::patience) is over.
    ///
    /// If several observations have arrived, it gives the newest, and each end of an episode. A question is over with
    /// the next turn: an action that comes later is for that turn. A player that has missed too many turns is asked too,
    /// though nothing waits for it: an answer brings it back into the game.
    pub fn next_turn(&mut self) -> Option<Turn> {
        self.next_turn_until(None).unwrap_or(None)
    }

    /// [`next_turn`](Self::next_turn) that blocks no longer than `time`, or until an attempt to connect is over.
    ///
    /// # Errors
    /// [`TimedOut`] if there was no turn in that time.
    pub fn next_turn_timeout(&mut self, time: Duration) -> Result<Option<Turn>, TimedOut> {
        self.next_turn_until(Instant::now().checked_add(time))
    }

    fn next_turn_until(&mut self, until: Option<Instant>) -> Result<Option<Turn>, TimedOut> {
        self.take_newer();
        loop {
            self.take_read();
            if let Some(turn) = self.session.next_turn(Instant::now()) {
                return Ok(Some(turn));
            }
            if !self.go_on(until)? {
                return Ok(None);
            }
        }
    }

    /// Does what there is to do until there is a connection: makes one attempt to connect, or waits for the next one, at
    /// most this long. True if there is a connection, or it is over. For bindings, which do that elsewhere.
    #[cfg(feature = "unstable-bindings")]
    pub fn connect_or_wait(&mut self, time: Duration) -> bool {
        match self.session.step(Instant::now()) {
            Step::Connect => self.connect(),
            Step::Wait(next) => {
                let left = next.saturating_duration_since(Instant::now());
                thread::sleep(left.min(time));
            }
            Step::Talk | Step::Over => {}
        }
        matches!(self.session.step(Instant::now()), Step::Talk | Step::Over)
    }

    /// [`next_turn_timeout`](Self::next_turn_timeout) that makes no connection: [`TimedOut`] also if there is none, see
    /// [`connect_or_wait`](Self::connect_or_wait). With no time it does not wait.
    ///
    /// # Errors
    /// [`TimedOut`] if there was no turn in that time, or there is no connection.
    #[cfg(feature = "unstable-bindings")]
    pub fn next_connected(&mut self, time: Duration) -> Result<Option<Turn>, TimedOut> {
        let until = Instant::now().checked_add(time);
        self.take_newer();
        loop {
            self.take_read();
            let now = Instant::now();
            if let Some(turn) = self.session.next_turn(now) {
                return Ok(Some(turn));
            }
            match self.session.step(now) {
                Step::Talk => self.talk(until)?,
                Step::Over => {
                    self.part();
                    return Ok(None);
                }
                Step::Connect | Step::Wait(_) => return Err(TimedOut),
            }
        }
    }

    /// [`act`](Self::act) that does not wait for a peer that takes nothing.
    ///
    /// # Errors
    /// As [`act`](Self::act), and [`SendError::Full`].
    #[cfg(feature = "unstable-bindings")]
    pub fn try_act(&mut self, action: impl Into<Value>) -> Result<bool, SendError> {
        let turn = self.session.asked();
        if !self.session.act(action) {
            return Ok(false);
        }
        let sent = self.send_by(|connection, message, turn| {
            connection.try_send(connection.encoding().encode_turn(message, turn)?)
        });
        if let (Err(_), Some(turn)) = (&sent, turn) {
            self.session.take_back(turn);
        }
        sent.map(|()| true)
    }

    /// The next turn, or the next thing that has happened: for programs that tell of losses when they happen.
    /// `None` when the part is over and all was told.
    #[expect(clippy::should_implement_trait, reason = "it blocks")]
    pub fn next(&mut self) -> Option<Told> {
        self.take_newer();
        loop {
            self.take_read();
            if let Some(event) = self.session.poll_event() {
                return Some(Told::Event(event));
            }
            if let Some(turn) = self.session.next_turn(Instant::now()) {
                return Some(Told::Turn(turn));
            }
            let goes_on = self.go_on(None).unwrap_or(true);
            if !goes_on && !self.session.has_events() {
                return None;
            }
        }
    }

    /// The next thing that has happened, while the user thinks about a turn: a lost connection is made anew meanwhile.
    /// `None` when the part is over and all was told. Turns that come wait.
    pub fn event(&mut self) -> Option<Event> {
        self.event_until(None).unwrap_or(None)
    }

    /// [`event`](Self::event) that blocks no longer than `time`, or until an attempt to connect is over.
    ///
    /// # Errors
    /// [`TimedOut`] if nothing has happened in that time.
    pub fn event_timeout(&mut self, time: Duration) -> Result<Option<Event>, TimedOut> {
        self.event_until(Instant::now().checked_add(time))
    }

    fn event_until(&mut self, until: Option<Instant>) -> Result<Option<Event>, TimedOut> {
        loop {
            if let Some(event) = self.session.poll_event() {
                return Ok(Some(event));
            }
            let goes_on = self.go_on(until)?;
            if !goes_on && !self.session.has_events() {
                return Ok(None);
            }
        }
    }

    /// Answers the turn that [`next_turn`](Self::next_turn) gave last. If the connection is lost, the answer goes out when
    /// the engine asks again. The next turn tells whether it counted ([`Turn::last`]), and so do [`events`](Self::events).
    ///
    /// Returns false, and sends nothing, if that turn was no question or has been answered.
    ///
    /// # Errors
    /// [`SendError::Encode`] and [`SendError::TooLarge`] for an action that this engine cannot be sent. The turn can still
    /// be answered.
    pub fn act(&mut self, action: impl Into<Value>) -> Result<bool, SendError> {
        let turn = self.session.asked();
        if !self.session.act(action) {
            return Ok(false);
        }
        let sent = self.send();
        if let (Err(_), Some(turn)) = (&sent, turn) {
            self.session.take_back(turn);
        }
        sent.map(|()| true)
    }

    /// Leaves the game: the seat is given up. The connection ends.
    pub fn leave(&mut self) -> End {
        self.session.leave();
        self.part();
        self.session.end().cloned().unwrap_or(End::Finished)
    }

    /// True if the turn that was given last waits for [`act`](Self::act).
    pub const fn is_asked(&self) -> bool {
        self.session.asked().is_some()
    }

    /// The end, if it is over.
    pub const fn end(&self) -> Option<&End> {
        self.session.end()
    }

    /// The things that have happened since the last call, in order: connections, losses, answers that did not count. The
    /// latest 256 are kept.
    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The text with which another process gets the seat, at the same life of the engine. Secret. `None` before the
    /// first connection, and at an engine of pymasep's protocol, where the id is enough.
    pub fn resume(&self) -> Option<&str> {
        self.session.resume()
    }

    /// The connection, while there is one.
    pub fn connection(&self) -> Option<&Connection> {
        self.client.as_ref().map(Client::connection)
    }

    /// Does the next thing. False if it is over.
    fn go_on(&mut self, until: Option<Instant>) -> Result<bool, TimedOut> {
        let now = Instant::now();
        match self.session.step(now) {
            Step::Connect => self.connect(),
            Step::Wait(next) => {
                let end = until.map_or(next, |until| until.min(next));
                thread::sleep(end.saturating_duration_since(now));
                if end < next {
                    return Err(TimedOut);
                }
            }
            Step::Talk => return self.talk(until).map(|()| true),
            Step::Over => {
                self.part();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn connect(&mut self) {
        self.client = None;
        self.session.connecting();
        let builder = client_builder!(Client, &self.options, self.session);
        match builder.connect(self.target.clone()) {
            Ok(client) => {
                self.session.opened(client.connection().welcome().as_ref());
                self.client = Some(client);
            }
            Err(error) => fail(&mut self.session, &error, Instant::now(), random_u64()),
        }
    }

    /// Sends what is to be sent, and takes the next message.
    fn talk(&mut self, until: Option<Instant>) -> Result<(), TimedOut> {
        // An action that cannot be sent is told by the call that gives it. All else can be.
        let _ = self.send();
        let Some(client) = &self.client else {
            return Ok(());
        };
        let connection = client.connection();
        let received = match until {
            None => connection.recv().map_err(RecvTimeoutError::Closed),
            Some(until) => connection.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(frame) => self.take(frame),
            Err(RecvTimeoutError::Closed(reason)) => self.lose(reason),
            Err(RecvTimeoutError::TimedOut) => return Err(TimedOut),
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), SendError> {
        self.send_by(Connection::send_turn)
    }

    fn send_by(
        &mut self,
        way: impl Fn(&Connection, &Message, Option<&Dict>) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        while let Some((message, turn)) = self.session.next_message() {
            let sent = match &self.client {
                None => Ok(()),
                Some(client) => way(client.connection(), message, turn),
            };
            self.session.poll_message();
            match sent {
                // Those who receive are told.
                Ok(()) | Err(SendError::Closed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what has arrived, where there is a turn that may be older. Where there is none, the first read brings what is
    /// there.
    fn take_newer(&mut self) {
        while self.session.has_turn() && self.try_take() {}
    }

    /// Takes the rest of what was read.
    fn take_read(&mut self) {
        let has_more = |client: &Client| client.connection().has_read_more();
        while self.client.as_ref().is_some_and(has_more) && self.try_take() {}
    }

    /// Takes a frame that has arrived. False if there is none.
    fn try_take(&mut self) -> bool {
        let frame = match &self.client {
            Some(client) if self.session.step(Instant::now()) == Step::Talk => {
                client.connection().try_recv()
            }
            _ => return false,
        };
        frame.map(|frame| self.take(frame)).is_ok()
    }

    fn take(&mut self, frame: Frame) {
        let Some(client) = &self.client else {
            return;
        };
        let connection = client.connection();
        while let Some(notice) = connection.try_notice() {
            self.session.noticed(&notice);
        }
        // Bytes that are no message are passed over.
        if let Ok((message, turn)) = connection.encoding().decode_in_turn(frame) {
            let turn = turn.as_deref().and_then(TurnData::from_cbor);
            self.session.received(&message, turn, Instant::now());
        }
    }

    fn lose(&mut self, reason: CloseReason) {
        self.client = None;
        lose(&mut self.session, reason, Instant::now(), random_u64());
    }

    /// Ends the connection, in order.
    fn part(&mut self) {
        let _ = self.send();
        if let Some(client) = self.client.take() {
            client.connection().bye();
        }
    }
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player")
            .field("target", &self.target)
            .field("end", &self.session.end())
            .finish_non_exhaustive()
    }
}
