//! The settings of a game.

use std::time::Duration;

/// The settings of a game.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The number of actors, with a predator each. The game begins when all are there.
    pub(crate) actors: usize,
    /// The number of observers that the game waits for; more may come at any time.
    pub(crate) observers: usize,
    /// The number of episodes.
    pub(crate) episodes: u64,
    /// The seed of all chance.
    pub(crate) seed: u64,
    /// The time of a turn, and of all turns together for a lost connection. An actor that misses it is not waited for
    /// until it acts again. When nobody is left to wait for, the game is over.
    pub(crate) turn_time: Duration,
    /// The number of steps at the beginning that are slow enough to watch, and the time from one of them to the next.
    pub(crate) slow_steps: u64,
    pub(crate) slow_step_time: Duration,
}
