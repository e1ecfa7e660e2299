//! An engine's report of a game.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use masep::PeerId;

/// The number of round trips that are kept, the latest ones: a game may be long, memory is not.
const ROUND_TRIPS: usize = 100_000;

/// The figures of a game.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Whole episodes.
    pub(crate) episodes: u64,
    /// Steps of all episodes.
    pub(crate) steps: u64,
    /// The time of the game, from the moment when all players were there.
    pub(crate) time: Duration,
    /// Each actor's score.
    pub(crate) scores: Vec<Score>,
    /// From an observation to the action that answers it, as the engine sees it.
    pub(crate) round_trips: VecDeque<Duration>,
}

impl Report {
    /// The number of the view that is shown next, from 1: one for each step, and the first of each episode.
    pub(crate) fn next_view(&self) -> u64 {
        self.steps + self.episodes + 1
    }

    pub(crate) fn add_round_trip(&mut self, time: Duration) {
        if self.round_trips.len() == ROUND_TRIPS {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back(time);
    }

    /// The time within which this part of the round trips was over: 0.5 gives the median. `None` if
    /// there were none.
    pub(crate) fn round_trip_quantile(&self, part: f64) -> Option<Duration> {
        let mut times: Vec<Duration> = self.round_trips.iter().copied().collect();
        times.sort_unstable();
        let rank = (part * times.len() as f64).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied()
    }
}

/// The achievements of an actor.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    /// The id of the actor.
    pub(crate) id: PeerId,
    /// The sum of its rewards.
    pub(crate) reward: i64,
    /// The number of prey it caught.
    pub(crate) caught: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} episodes, {} steps in {:.1?}",
            self.episodes, self.steps, self.time
        )?;
        let median = self.round_trip_quantile(0.5).unwrap_or_default();
        writeln!(f, "the median of the round trips was {median:.1?}")?;
        for Score { id, reward, caught } in &self.scores {
            writeln!(f, "{id} caught {caught} and has a reward of {reward}")?;
        }
        Ok(())
    }
}
