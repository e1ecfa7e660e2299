//! A player without async: see [`masep::player`](crate::player), whose calls these are.

use std::thread;
use std::time::{Duration, Instant};

use masep_proto::{Dict, Message, Value};
use masep_table::player::{End, Event, Step, Turn};

use super::{Client, ClientBuilder, Connection, TimedOut, answering_in_calls};
use crate::discovery::SearchOptions;
use crate::player::{Place, PlayerBuilder, Playing, Received, Told, player_calls, player_traits};
use crate::sync::now;
use crate::{ConnectError, IntoTarget, InvalidAddress, SendError};

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

/// The way to wait: until then, or for as long as it takes.
#[derive(Clone, Copy, Default)]
pub(super) struct Waiting(Option<Instant>);

impl Waiting {
    pub(super) fn within(time: Duration) -> Self {
        Self(now().checked_add(time))
    }

    fn rest(self, next: Instant) -> Result<(), TimedOut> {
        let end = self.0.map_or(next, |until| until.min(next));
        thread::sleep(end.saturating_duration_since(now()));
        if end < next { Err(TimedOut) } else { Ok(()) }
    }

    fn receive(self, connection: &Connection) -> Result<Received, TimedOut> {
        connection.recv_or_notice(self.0)
    }
}

impl PlayerBuilder {
    /// As [`join`](Self::join), for a player without async.
    ///
    /// # Errors
    /// Text that is no address.
    pub fn join_blocking(self, address: impl IntoTarget) -> Result<Player, InvalidAddress> {
        let playing = self.playing_at(address, now())?;
        Ok(Player { playing })
    }

    /// As [`discover`](Self::discover), for a player without async.
    pub fn discover_blocking(self, options: &SearchOptions) -> Player {
        let playing = self.playing(Place::OnLan(options.clone()), now());
        Player { playing }
    }
}

impl Place {
    /// Makes an attempt to connect.
    pub(super) fn connect(self, builder: ClientBuilder) -> Result<Client, ConnectError> {
        match self {
            Self::At(target) => builder.connect(target),
            Self::OnLan(options) => builder.discover(&options),
        }
    }
}

impl Player {
    player_calls!();

    /// [`next_turn`](Self::next_turn) that blocks no longer than `time`, or until an attempt to connect is over.
    ///
    /// # Errors
    /// [`TimedOut`] if there was no turn in that time.
    pub fn next_turn_timeout(&mut self, time: Duration) -> Result<Option<Turn>, TimedOut> {
        self.playing.take_newer();
        self.find(Waiting::within(time), Playing::next_turn)
    }

    /// [`event`](Self::event) that blocks no longer than `time`, or until an attempt to connect is over.
    ///
    /// # Errors
    /// [`TimedOut`] if nothing has happened in that time.
    pub fn event_timeout(&mut self, time: Duration) -> Result<Option<Event>, TimedOut> {
        self.find(Waiting::within(time), Playing::next_event)
    }

    fn dial(&mut self) -> Result<Client, ConnectError> {
        let (builder, place) = self.begin_attempt();
        place.connect(builder)
    }

    /// An attempt to connect begins: what it is made with.
    pub(super) fn begin_attempt(&mut self) -> (ClientBuilder, Place) {
        let endpoint = answering_in_calls(self.playing.begin_attempt());
        (ClientBuilder::with(endpoint), self.playing.place.clone())
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
