//! A player without async: see [`masep::player`](crate::player), whose calls these are.

use std::thread;
use std::time::{Duration, Instant};

use masep_proto::{Dict, Message, Value};
use masep_table::player::{End, Event, Step, Turn};

use super::{Client, ClientBuilder, Connection, TimedOut, answering_in_calls};
use crate::player::{PlayerBuilder, Playing, Told, player_calls, player_traits};
use crate::random::random_u64;
use crate::{ConnectError, IntoTarget, InvalidAddress, RecvTimeoutError, SendError, Target};

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
    pub(super) playing: Playing<Client>,
}

impl PlayerBuilder {
    /// As [`join`](Self::join), for a player without async.
    ///
    /// # Errors
    /// Text that is no address.
    pub fn join_blocking(self, address: impl IntoTarget) -> Result<Player, InvalidAddress> {
        let playing = self.playing(address, Instant::now())?;
        Ok(Player { playing })
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
        self.playing.take_newer(Instant::now);
        self.find(until, |playing| playing.next_turn(Instant::now))
    }

    /// The next turn, or the next thing that has happened: for programs that tell of losses when they happen.
    /// `None` when the part is over and all was told.
    #[expect(clippy::should_implement_trait, reason = "it blocks")]
    pub fn next(&mut self) -> Option<Told> {
        self.playing.take_newer(Instant::now);
        let found = self.find(None, |playing| playing.next_told(Instant::now));
        found.unwrap_or(None)
    }

    /// The next thing that has happened, while the user thinks about a turn: a lost connection is made anew meanwhile.
    /// `None` when the part is over and all was told. Turns that come wait.
    pub fn event(&mut self) -> Option<Event> {
        let found = self.find(None, |playing| playing.session.poll_event());
        found.unwrap_or(None)
    }

    /// [`event`](Self::event) that blocks no longer than `time`, or until an attempt to connect is over.
    ///
    /// # Errors
    /// [`TimedOut`] if nothing has happened in that time.
    pub fn event_timeout(&mut self, time: Duration) -> Result<Option<Event>, TimedOut> {
        let until = Instant::now().checked_add(time);
        self.find(until, |playing| playing.session.poll_event())
    }

    /// Goes on until there is something, or nothing more to be done.
    fn find<T>(
        &mut self,
        until: Option<Instant>,
        mut find: impl FnMut(&mut Playing<Client>) -> Option<T>,
    ) -> Result<Option<T>, TimedOut> {
        loop {
            if let Some(found) = find(&mut self.playing) {
                return Ok(Some(found));
            }
            if !self.go_on(until)? {
                return Ok(find(&mut self.playing));
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
        let Some(turn) = self.playing.begin_answer(action) else {
            return Ok(false);
        };
        let sent = self.send();
        self.playing.end_answer(turn, sent)
    }

    /// Leaves the game: the seat is given up. The connection ends.
    pub fn leave(&mut self) -> End {
        self.playing.session.leave();
        self.part();
        self.playing.session.end().cloned().unwrap_or(End::Finished)
    }

    player_calls!();

    /// Does the next thing. False if it is over.
    fn go_on(&mut self, until: Option<Instant>) -> Result<bool, TimedOut> {
        let now = Instant::now();
        match self.playing.session.step(now) {
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
        let (builder, target) = self.begin_attempt();
        self.connected(builder.connect(target));
    }

    /// An attempt to connect begins: what it is made with.
    pub(super) fn begin_attempt(&mut self) -> (ClientBuilder, Target) {
        let endpoint = answering_in_calls(self.playing.begin_attempt());
        (ClientBuilder::with(endpoint), self.playing.target.clone())
    }

    /// Takes what has come of an attempt to connect.
    pub(super) fn connected(&mut self, connected: Result<Client, ConnectError>) {
        match connected {
            Ok(client) => self.playing.connected(client, Instant::now()),
            Err(error) => self.playing.failed(&error, Instant::now(), random_u64()),
        }
    }

    /// Sends what is to be sent, and takes the next message.
    pub(super) fn talk(&mut self, until: Option<Instant>) -> Result<(), TimedOut> {
        // An action that cannot be sent is told by the call that gives it. All else can be.
        let _ = self.send();
        let Some(client) = &self.playing.client else {
            return Ok(());
        };
        let connection = client.connection();
        let received = match until {
            None => connection.recv().map_err(RecvTimeoutError::Closed),
            Some(until) => connection.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(frame) => self.playing.take(frame, Instant::now()),
            Err(RecvTimeoutError::Closed(reason)) => {
                self.playing.lose(reason, Instant::now(), random_u64());
            }
            Err(RecvTimeoutError::TimedOut) => return Err(TimedOut),
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), SendError> {
        self.send_by(Connection::send_turn)
    }

    pub(super) fn send_by(
        &mut self,
        way: impl Fn(&Connection, &Message, Option<&Dict>) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        while let Some((message, turn)) = self.playing.session.next_message() {
            let sent = match &self.playing.client {
                None => Ok(()),
                Some(client) => way(client.connection(), message, turn),
            };
            self.playing.sent(sent)?;
        }
        Ok(())
    }

    /// Ends the connection, in order.
    pub(super) fn part(&mut self) {
        let _ = self.send();
        if let Some(client) = self.playing.client.take() {
            client.connection().bye();
        }
    }
}

player_traits!(Player, Client);
