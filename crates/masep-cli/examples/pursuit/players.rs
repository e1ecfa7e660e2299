//! The players of the game, and those that a turn waits for.

use masep::{Connection, ConnectionId, PeerId, Role};

use super::world::Move;

/// Somebody who has registered.
pub(crate) struct Player {
    connection: Connection,
    role: Role,
    /// True if turns wait for it: not for an observer, nor for an actor that is gone or has let a
    /// turn pass.
    is_awake: bool,
    /// Its move in this turn, if it has chosen one.
    chosen: Option<Move>,
}

impl Player {
    fn id(&self) -> &PeerId {
        self.connection.peer()
    }

    fn is_awaited(&self) -> bool {
        self.is_awake && self.chosen.is_none()
    }
}

/// The phase of the game.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// An actor that goes leaves no gap: another one can come.
    Before,
    /// The seat of an actor that is gone is kept for it.
    Playing,
    /// Nobody comes in, and no move counts.
    Over,
}

/// All who have registered.
pub(crate) struct Players {
    /// The actors among them have the predators of the world, in this order.
    list: Vec<Player>,
    /// The number of actors that there may be.
    seats: usize,
    game: Phase,
}

impl Players {
    pub(crate) fn new(seats: usize) -> Self {
        Self {
            list: Vec::new(),
            seats,
            game: Phase::Before,
        }
    }

    /// True if this connection has registered.
    pub(crate) fn has(&self, connection: &Connection) -> bool {
        self.list
            .iter()
            .any(|it| it.connection.id() == connection.id())
    }

    /// Takes somebody in, if there is a place. An actor that was gone gets its predator back.
    pub(crate) fn admit(&mut self, connection: &Connection, role: Role) -> bool {
        if self.game == Phase::Over {
            return false;
        }
        let player = Player {
            connection: connection.clone(),
            role,
            is_awake: role == Role::Actor,
            chosen: None,
        };
        let has_been_here = |it: &&mut Player| it.role == role && it.id() == player.id();
        if let Some(old) = self.list.iter_mut().find(has_been_here) {
            *old = player;
            return true;
        }
        // The ids of actors stand in each observation, and XML does not take every character.
        let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let has_place = role == Role::Observer
            || self.count(Role::Actor) < self.seats && player.id().chars().all(is_plain);
        if has_place {
            self.list.push(player);
        }
        has_place
    }

    /// Somebody is gone.
    pub(crate) fn depart(&mut self, connection: ConnectionId) {
        let game = self.game;
        self.list.retain_mut(|it| {
            let is_gone = it.connection.id() == connection;
            it.is_awake &= !is_gone;
            !is_gone || game == Phase::Playing && it.role == Role::Actor
        });
    }

    /// The game begins with the actors of now.
    pub(crate) fn begin_game(&mut self) {
        self.game = Phase::Playing;
        // The order of arrival is chance; the game shall depend on the seed alone.
        self.list.sort_by(|a, b| a.id().as_str().cmp(b.id()));
    }

    /// The game is over.
    pub(crate) fn end_game(&mut self) {
        self.game = Phase::Over;
    }

    /// Nobody has chosen yet.
    pub(crate) fn begin_turn(&mut self) {
        for player in &mut self.list {
            player.chosen = None;
        }
    }

    /// True if a turn has to wait for somebody.
    pub(crate) fn is_any_awaited(&self) -> bool {
        self.list.iter().any(Player::is_awaited)
    }

    /// An actor has said something: it is awake.
    pub(crate) fn wake(&mut self, connection: &Connection) {
        if let Some(actor) = self.actor_on(connection) {
            actor.is_awake = true;
        }
    }

    /// Takes the move of an actor. True if it counts: an actor has one in each turn, an observer
    /// none.
    pub(crate) fn choose(&mut self, connection: &Connection, chosen: Move) -> bool {
        let game = self.game;
        let Some(actor) = self.actor_on(connection) else {
            return false;
        };
        let counts = game == Phase::Playing && actor.chosen.is_none();
        if counts {
            actor.chosen = Some(chosen);
        }
        counts
    }

    /// The moves of all actors. An actor that has not chosen stays, and is not waited for until it wakes up.
    /// `None` if there is nobody left to wait for.
    pub(crate) fn end_turn(&mut self) -> Option<Vec<Move>> {
        for player in &mut self.list {
            player.is_awake &= player.chosen.is_some();
        }
        let moves = self.actors().map(|it| it.chosen.unwrap_or_default());
        let is_any_awake = self.list.iter().any(|it| it.is_awake);
        is_any_awake.then(|| moves.collect())
    }

    /// The number of players in this role.
    pub(crate) fn count(&self, role: Role) -> usize {
        self.list.iter().filter(|it| it.role == role).count()
    }

    /// The ids of the actors, in the order of their predators.
    pub(crate) fn actor_ids(&self) -> impl Iterator<Item = &PeerId> {
        self.actors().map(Player::id)
    }

    /// The connections of all players, also of those who are gone.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.list.iter().map(|it| it.connection.clone()).collect()
    }

    fn actors(&self) -> impl Iterator<Item = &Player> {
        self.list.iter().filter(|it| it.role == Role::Actor)
    }

    fn actor_on(&mut self, connection: &Connection) -> Option<&mut Player> {
        self.list
            .iter_mut()
            .find(|it| it.role == Role::Actor && it.connection.id() == connection.id())
    }
}
