//! The rules of a gate.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::TypeName;

/// The ids that an engine may get to know in its life, unless the rules say it: pymasep keeps three descriptors for each.
const IDS: usize = 200;
/// The ids of one access token: an interface has a new one each time that it starts.
const TOKEN_IDS: usize = 20;

/// The rules of a [`Gate`](super::Gate).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rules {
    /// The game: DEFINE of another one does not go through. pymasep imports what DEFINE names.
    pub game: TypeName,
    /// The agents that the game has for actors, over the life of the engine. One actor more ends a pymasep engine. Default
    /// 1.
    pub actors: usize,
    /// The different ids that may come in over the life of the engine, actors, observers and those who say nothing. A
    /// pymasep engine keeps three descriptors for each, for ever. Default 200; at 1,024 descriptors, 300 are the end.
    pub ids: usize,
    /// The different ids that may come in with one access token, of those [`ids`](Self::ids): so one holder cannot keep the
    /// others out. Default 20. Clients without tokens have no such bound.
    pub token_ids: usize,
    /// The agents that the holders of one access token may have, of those [`actors`](Self::actors), over the life of the
    /// engine. Default 1. Clients without tokens have no such bound.
    pub token_actors: usize,
    /// The clients that may end the game for all. Default [`Quits::Nobody`].
    pub quits: Quits,
    /// The types of actions that the game knows. Default any.
    pub actions: Option<RangeInclusive<i64>>,
    /// The names of elements that may stand as parameters of actions, such as `Object`: pymasep makes objects of them, and
    /// imports what they name. Nobody looks at what is in them, so that who may act has to be trusted then. Default none.
    pub elements: BTreeSet<String>,
}

/// The clients whose QUIT goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Quits {
    /// Nobody's: a client that wants to leave says BYE.
    #[default]
    Nobody,
    /// The QUIT of actors, which ends the game for all.
    Actors,
}

impl Rules {
    /// The rules for an engine that plays this game, with one actor.
    pub const fn new(game: TypeName) -> Self {
        Self {
            game,
            actors: 1,
            ids: IDS,
            token_ids: TOKEN_IDS,
            token_actors: 1,
            quits: Quits::Nobody,
            actions: None,
            elements: BTreeSet::new(),
        }
    }
}
