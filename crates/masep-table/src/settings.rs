//! The rules of a table.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use masep_proto::Value;
use masep_proto::protocol2::is_sayable;

use crate::TableError;

/// The time that a seat has. None by default: a training run must not invent actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// For each turn. Default none.
    pub per_turn: Option<Duration>,
    /// For the whole life of the table: what a turn takes beyond [`per_turn`](Self::per_turn) comes out of it.
    /// Default none. Without a time per turn, all that a turn takes comes out of it.
    pub bank: Option<Duration>,
}

/// The time of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TurnTime {
    /// The time of [`Settings::clock`].
    #[default]
    AsSet,
    /// This instead of [`Clock::per_turn`]. The bank counts as ever.
    Limited(Duration),
    /// No deadline. The bank is not touched.
    Unlimited,
}

/// The action of a seat that has none of its own: because it is late, away for too long, asleep or gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Late {
    /// There is none: [`How::None`](crate::How::None).
    #[default]
    Nothing,
    /// This one.
    Action(Value),
    /// The host makes one of the view, which the decision holds then. So no function of the host runs inside
    /// the table.
    Host,
}

/// The rule for a turn that comes to a seat whose connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Wait, for at most this long in one absence, counted only while a turn waits. Then the seat is gone.
    Wait(Duration),
    /// Decide at once. The seat stays away.
    Proceed,
}

/// The rules of a table, and its seats. Made once, and not changed.
#[derive(Clone)]
pub struct Settings {
    pub(crate) engine: String,
    pub(crate) instance: String,
    pub(crate) game: Option<String>,
    pub(crate) seats: Vec<String>,
    pub(crate) finals_unanswered: BTreeSet<String>,
    pub(crate) clock: Clock,
    pub(crate) late: Late,
    pub(crate) absence: Absence,
    pub(crate) misses: u32,
    pub(crate) forget_time: Duration,
    pub(crate) strangers: bool,
    pub(crate) replaces_same_id: bool,
    pub(crate) rejoins_by_id: bool,
    pub(crate) keeps_env_step: bool,
    pub(crate) hears_echo: bool,
    pub(crate) peers: usize,
    pub(crate) spectators: usize,
    pub(crate) farewell: Duration,
}

impl Settings {
    /// A table of the engine with this id. `instance` is another text for each life of the engine, such as random
    /// letters: by it, a resume text of an earlier life is known. It is said in each `WELCOME`, so it has 1 to 512 bytes, all
    /// [printable](masep_proto::is_printable).
    pub fn new<S: Into<String>>(
        engine: impl Into<String>,
        instance: impl Into<String>,
        seats: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            engine: engine.into(),
            instance: instance.into(),
            game: None,
            seats: seats.into_iter().map(Into::into).collect(),
            finals_unanswered: BTreeSet::new(),
            clock: Clock::default(),
            late: Late::default(),
            absence: Absence::Wait(Duration::from_secs(30)),
            misses: 3,
            forget_time: Duration::from_secs(600),
            strangers: false,
            replaces_same_id: false,
            rejoins_by_id: false,
            keeps_env_step: false,
            hears_echo: true,
            peers: 4096,
            spectators: 2048,
            farewell: Duration::from_secs(1),
        }
    }

    /// The game that peers may name. Default any. A `WELCOME` tells it, if it has 1 to 512 bytes, all
    /// [printable](masep_proto::is_printable): another one only pymasep peers can name.
    #[must_use]
    pub fn game(mut self, game: impl Into<String>) -> Self {
        self.game = Some(game.into());
        self
    }

    /// The time of each seat. Default none.
    #[must_use]
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The action of a seat that has none of its own. Default none.
    #[must_use]
    pub fn late(mut self, late: Late) -> Self {
        self.late = late;
        self
    }

    /// The rule for lost connections. Default to wait for 30 s.
    #[must_use]
    pub const fn absence(mut self, absence: Absence) -> Self {
        self.absence = absence;
        self
    }

    /// The number of turns in a row that a seat may miss with its connection alive, until it is asleep and is
    /// waited for no longer. Default 3; 0 for any number.
    #[must_use]
    pub const fn misses(mut self, misses: u32) -> Self {
        self.misses = misses;
        self
    }

    /// The time after which a seat that is away is gone, whether or not a turn waited for it. Default 10 min.
    #[must_use]
    pub const fn forget_time(mut self, time: Duration) -> Self {
        self.forget_time = time;
        self
    }

    /// Sets whether a newcomer, of either protocol, gets the seat of a pymasep peer that is away, if none is open that it wants
    /// and may have. Default no. It is [seated](crate::Event::Seated) as in an open seat, and is asked the question that waits
    /// there, with a view of its own; the one before does not get the seat back. The seats of players of protocol 2 are kept,
    /// which can prove them. That of a player with an access token goes to nobody with another one.
    #[must_use]
    pub const fn strangers(mut self, allowed: bool) -> Self {
        self.strangers = allowed;
        self
    }

    /// Sets whether a pymasep peer replaces the live connection of a pymasep peer with the same id. Default no: ids
    /// are public, and anybody who knows one could take the seat over.
    #[must_use]
    pub const fn replaces_same_id(mut self, allowed: bool) -> Self {
        self.replaces_same_id = allowed;
        self
    }

    /// Sets whether an id is proof enough for a seat that is away and has a resume text, as it is for the seat of a
    /// pymasep peer. Default no. For players that keep no resume text when they are killed.
    #[must_use]
    pub const fn rejoins_by_id(mut self, allowed: bool) -> Self {
        self.rejoins_by_id = allowed;
        self
    }

    /// Sets whether the `env_step` that a pymasep peer gets is the host's. Default no: the table writes the turn's
    /// number into it, because a pymasep peer answers only steps that rise.
    #[must_use]
    pub const fn keeps_env_step(mut self, keeps: bool) -> Self {
        self.keeps_env_step = keeps;
        self
    }

    /// Sets whether an int in the parameter `turn` of a pymasep peer's action is the number of the turn that it is for,
    /// which the table gives with each question as `turn`. Default yes. No where actions of the game have such a
    /// parameter of their own.
    #[must_use]
    pub const fn hears_echo(mut self, hears: bool) -> Self {
        self.hears_echo = hears;
        self
    }

    /// Says that the pymasep peer on this seat does not answer final observations. (pymasep's own interface does.)
    #[must_use]
    pub fn finals_unanswered(mut self, seat: impl Into<String>) -> Self {
        self.finals_unanswered.insert(seat.into());
        self
    }

    /// The number of connections, in seats or not. Default 4096.
    #[must_use]
    pub const fn peers(mut self, most: usize) -> Self {
        self.peers = most;
        self
    }

    /// The number of spectators. Default 2048.
    #[must_use]
    pub const fn spectators(mut self, most: usize) -> Self {
        self.spectators = most;
        self
    }

    /// The time for pymasep peers to answer `END`. Default 1 s.
    #[must_use]
    pub const fn farewell(mut self, time: Duration) -> Self {
        self.farewell = time;
        self
    }

    pub(crate) fn check(&self) -> Result<(), TableError> {
        if !is_sayable(&self.instance) {
            return Err(TableError::Instance(self.instance.clone()));
        }
        if let Some(wrong) = self.seats.iter().find(|name| !is_sayable(name)) {
            return Err(TableError::SeatName(wrong.clone()));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.seats.iter().find(|name| !names.insert(name.as_str())) {
            return Err(TableError::SeatTwice(twice.clone()));
        }
        let mut named = self.finals_unanswered.iter();
        match named.find(|name| !names.contains(name.as_str())) {
            Some(unknown) => Err(TableError::UnknownSeat(unknown.clone())),
            None if names.is_empty() => Err(TableError::NoSeats),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("engine", &self.engine)
            .field("seats", &self.seats)
            .field("clock", &self.clock)
            .field("absence", &self.absence)
            .finish_non_exhaustive()
    }
}
