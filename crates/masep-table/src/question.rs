//! The question to a seat in an open turn, and the time for it.

use std::time::{Duration, Instant};

use crate::stopwatch::Stopwatch;
use crate::view::View;
use crate::{Clock, TurnTime};

/// The question to a seat, until it is decided.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The number of the turn.
    pub(crate) turn: u64,
    pub(crate) opened: Instant,
    /// `None` while the host is asked for it anew.
    pub(crate) view: Option<View>,
    /// Actions without an action.
    pub(crate) empty: u8,
    /// The time is over, and the shell was asked for what has arrived.
    pub(crate) was_looked_at: bool,
    /// The time that it has taken.
    pub(crate) watch: Stopwatch,
    /// The time for it; `None` for any.
    time: Option<Time>,
    extension: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Time {
    /// Zero where all that it takes comes out of the bank.
    per_turn: Duration,
    is_per_turn: bool,
    uses_bank: bool,
}

impl Question {
    pub(crate) fn new(turn: u64, view: View, time: TurnTime, clock: Clock, now: Instant) -> Self {
        let per_turn = match time {
            TurnTime::AsSet => clock.per_turn,
            TurnTime::Limited(time) => Some(time),
            TurnTime::Unlimited => None,
        };
        let uses_bank = clock.bank.is_some() && time != TurnTime::Unlimited;
        let time = Time {
            per_turn: per_turn.unwrap_or_default(),
            is_per_turn: per_turn.is_some(),
            uses_bank,
        };
        Self {
            turn,
            opened: now,
            view: Some(view),
            empty: 0,
            was_looked_at: false,
            watch: Stopwatch::new(now),
            time: (time.is_per_turn || uses_bank).then_some(time),
            extension: Duration::ZERO,
        }
    }

    /// Adds to the time.
    pub(crate) const fn extend(&mut self, by: Duration) {
        self.extension = self.extension.saturating_add(by);
        self.was_looked_at = false;
    }

    /// The reading of the stopwatch at which a seat with this bank is late.
    pub(crate) fn limit(&self, bank: Option<Duration>) -> Option<Duration> {
        let time = self.time?;
        let bank = bank.filter(|_| time.uses_bank).unwrap_or_default();
        Some(self.free().saturating_add(bank))
    }

    /// The time that costs nothing of the bank.
    fn free(&self) -> Duration {
        let time = self.time.map_or(Duration::ZERO, |time| time.per_turn);
        time.saturating_add(self.extension)
    }

    /// The rest of the time of the turn, and of a bank.
    pub(crate) fn left(
        &self,
        bank: Option<Duration>,
        now: Instant,
    ) -> (Option<Duration>, Option<Duration>) {
        let Some(time) = self.time else {
            return (None, bank);
        };
        let reading = self.watch.at(now);
        let left = self.free().saturating_sub(reading);
        (
            time.is_per_turn.then_some(left),
            self.bank_at(bank, reading),
        )
    }

    /// The rest of a bank when the stopwatch shows this.
    pub(crate) fn bank_at(&self, bank: Option<Duration>, reading: Duration) -> Option<Duration> {
        let uses_bank = self.time.is_some_and(|time| time.uses_bank);
        let used = reading.saturating_sub(self.free());
        bank.map(|bank| {
            if uses_bank {
                bank.saturating_sub(used)
            } else {
                bank
            }
        })
    }
}
