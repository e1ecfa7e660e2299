//! The configuration of a table.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use masep_proto::{PeerId, Value};
use masep_table::{Absence, Clock, Late, Settings, TableError, View};

use super::driver::{Driver, Link};
use super::seat::LateAction;
use crate::Duplicates;
use crate::access::AccessRule;
use crate::discovery::{Describe, Description};
use crate::endpoint::Endpoint;
use crate::random::random_bytes;
use crate::request::Asks;
use crate::serving::{ServerSettings, listening_calls};

/// Configures a [`Table`](super::Table).
#[must_use]
#[derive(Clone)]
pub struct TableBuilder {
    game: String,
    seats: Vec<String>,
    rules: Vec<Rule>,
    pub(crate) late: Option<LateAction>,
    /// Those of the server below the table.
    server: ServerSettings,
}

/// A change of the settings.
type Rule = Arc<dyn Fn(Settings) -> Settings + Send + Sync>;

impl TableBuilder {
    pub(crate) fn new(game: String) -> Self {
        let server = ServerSettings {
            asks: Asks::Masep2,
            ..ServerSettings::new(Endpoint::new("engine".into()))
        };
        Self {
            game,
            seats: Vec::new(),
            rules: Vec::new(),
            late: None,
            server,
        }
    }

    /// The names of the seats, in order. There has to be one.
    pub fn seats<S: Into<String>>(mut self, seats: impl IntoIterator<Item = S>) -> Self {
        self.seats = seats.into_iter().map(Into::into).collect();
        self
    }

    /// The engine's id, which peers get to know. Default `engine`.
    pub fn id(mut self, id: impl Into<PeerId>) -> Self {
        self.server.endpoint.id = id.into();
        self
    }

    /// The time that a seat has. Default none: a training run must not invent actions.
    pub fn clock(self, clock: Clock) -> Self {
        self.settings(move |settings| settings.clock(clock))
    }

    /// Makes the action of a seat that has none of its own, because its player is late, asleep, away for too long or gone.
    /// Default: there is none. It is called in the host's calls that take moves; if it panics, the table ends.
    pub fn late<V: Into<Value>>(
        mut self,
        late: impl Fn(&View) -> V + Send + Sync + 'static,
    ) -> Self {
        self.late = Some(Arc::new(move |view| late(view).into()));
        self.settings(|settings| settings.late(Late::Host))
    }

    /// As [`late`](Self::late), with the same action each time.
    pub fn late_action(mut self, action: impl Into<Value>) -> Self {
        let action = action.into();
        self.late = None;
        self.settings(move |settings| settings.late(Late::Action(action.clone())))
    }

    /// The time that turns wait in all for a player whose connection is lost, in one absence. Then it is gone. Default 30 s.
    pub fn grace(self, grace: Duration) -> Self {
        self.absence(Absence::Wait(grace))
    }

    /// The rule for lost connections. Default to wait for 30 s.
    pub fn absence(self, absence: Absence) -> Self {
        self.settings(move |settings| settings.absence(absence))
    }

    /// The number of turns in a row that a seat may miss with its connection alive, until it is waited for no longer.
    /// Default 3; 0 for any number.
    pub fn misses(self, misses: u32) -> Self {
        self.settings(move |settings| settings.misses(misses))
    }

    /// Lets a player that is away take its seat again by its id alone, as pymasep's players always can. Default no: a player
    /// proves its seat by a text. For players that do not keep that text when they are killed.
    pub fn rejoins_by_id(self, allowed: bool) -> Self {
        self.settings(move |settings| settings.rejoins_by_id(allowed))
    }

    /// Lets a pymasep peer take over the live connection of a pymasep peer with the same id. Default no: ids are public.
    pub fn replaces_same_id(mut self, allowed: bool) -> Self {
        self.server.duplicates = match allowed {
            true => Duplicates::Replace,
            false => Duplicates::Refuse,
        };
        self.settings(move |settings| settings.replaces_same_id(allowed))
    }

    /// The other rules, see [`Settings`]. Engine, instance and seats of it are set already.
    pub fn settings(mut self, rule: impl Fn(Settings) -> Settings + Send + Sync + 'static) -> Self {
        self.rules.push(Arc::new(rule));
        self
    }

    listening_calls!(server);

    /// Answers the LAN search from the start until the end of the table, and searches of masep with its id, game and free
    /// seats; with its id alone, where it asks for tokens or has a rule of its own for who is let in. Default off.
    pub fn announce(mut self, announce: bool) -> Self {
        self.server.announce = announce;
        self
    }

    /// The settings of the server below the table. It describes itself to searches by the number of its free seats; with
    /// `None` nobody sits there. Where not everybody is let in, those who search are told the id alone: they are strangers.
    pub(crate) fn server(
        &self,
        free: impl Fn() -> Option<usize> + Send + Sync + 'static,
    ) -> ServerSettings {
        let is_open = matches!(self.server.access, AccessRule::Open);
        let number = move |number: usize| u64::try_from(number).ok().filter(|_| is_open);
        let game = Some(self.game.clone()).filter(|game| is_open && !game.is_empty());
        let seats = self.seats.len();
        let whole = Description {
            id: Some(self.server.endpoint.id.as_str().to_owned()),
            game,
            seats: number(seats),
            free: None,
        };
        let describe = move || Description {
            free: number(free().unwrap_or(seats)),
            ..whole.clone()
        };
        ServerSettings {
            describe: Some(Describe::new(describe)),
            ..self.server.clone()
        }
    }

    /// The table and its connections.
    pub(crate) fn driver<L: Link>(&self) -> io::Result<Driver<L>> {
        let instance = random_text()?;
        let settings = Settings::new(
            self.server.endpoint.id.as_str(),
            instance,
            self.seats.iter(),
        );
        let settings = match self.game.as_str() {
            "" => settings,
            game => settings.game(game),
        };
        let rules = self.rules.iter();
        let settings = rules.fold(settings, |settings, rule| rule(settings));
        let unsound = |error: TableError| io::Error::new(io::ErrorKind::InvalidInput, error);
        Driver::new(settings).map_err(unsound)
    }
}

impl fmt::Debug for TableBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableBuilder")
            .field("id", &self.server.endpoint.id)
            .field("game", &self.game)
            .field("seats", &self.seats)
            .finish_non_exhaustive()
    }
}

/// The name of a life of the engine.
fn random_text() -> io::Result<String> {
    let mut text = String::with_capacity(16);
    for byte in &random_bytes()?[..8] {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
