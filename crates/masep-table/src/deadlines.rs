//! Deadlines: the end of a time, of a grace, of a farewell.

use std::time::{Duration, Instant};

use crate::seat::{Presence, Seat};
use crate::{Absence, Cause, Effect, SeatId, Table};

/// The end of the wait for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Grace,
    Time,
}

impl Table {
    /// Settles what has waited for too long by now. Where an answer is due, the first call asks the shell for [what
    /// has arrived](Effect::LookAt), and the next one decides: so the time of arrival counts, not the order in
    /// which a shell hears of a timer and of a message.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.is_stale = true;
        self.forget_absent(now);
        self.end_turns(now);
        if self.is_ending() {
            self.end_farewells(now);
        }
        self.conclude(now);
    }

    fn forget_absent(&mut self, now: Instant) {
        for seat in self.seats() {
            if self
                .forget_at(&self.seats[seat.0])
                .is_some_and(|at| at <= now)
            {
                self.give_up(seat);
            }
        }
        self.conclude(now);
    }

    fn forget_at(&self, seat: &Seat) -> Option<Instant> {
        match seat.presence {
            Presence::Away(away) => away.since.checked_add(self.settings.forget_time),
            _ => None,
        }
    }

    /// Ends the wait for those whose time is over.
    fn end_turns(&mut self, now: Instant) {
        let is_due = |seat: SeatId| {
            let question = self.seats[seat.0].question.as_ref()?;
            let (at, over) = self.wait_over(seat)?;
            let is_running = question.watch.is_running();
            (is_running && at <= question.watch.at(now)).then_some((seat, over))
        };
        let due: Vec<_> = self.seats().filter_map(is_due).collect();
        for (seat, over) in due {
            match over {
                Over::Grace => self.give_up(seat),
                Over::Time if self.look_at(seat) => {}
                Over::Time => self.end_time(seat, now),
            }
        }
    }

    /// The reading of the stopwatch at which the wait for a seat is over, and by what.
    fn wait_over(&self, seat: SeatId) -> Option<(Duration, Over)> {
        let place = &self.seats[seat.0];
        let question = place.question.as_ref()?;
        let grace = match self.settings.absence {
            Absence::Wait(grace) => place.grace_over(grace),
            Absence::Proceed => None,
        };
        let grace = grace.map(|at| (at, Over::Grace));
        let time = question.limit(place.bank).map(|at| (at, Over::Time));
        grace.into_iter().chain(time).min_by_key(|(at, _)| *at)
    }

    /// Asks the shell once for what has arrived from a player whose time is over.
    fn look_at(&mut self, seat: SeatId) -> bool {
        let place = &mut self.seats[seat.0];
        let Some((to, question)) = place.peer().zip(place.question.as_mut()) else {
            return false;
        };
        if std::mem::replace(&mut question.was_looked_at, true) {
            return false;
        }
        self.effects.push_back(Effect::LookAt { to });
        true
    }

    fn end_time(&mut self, seat: SeatId, now: Instant) {
        let cause = if self.seats[seat.0].is_away() {
            Cause::Away
        } else {
            Cause::Late
        };
        self.decide(seat, Err(cause), now);
        self.pump(seat, now);
    }

    /// When the wait for a seat is over.
    pub(crate) fn question_due(&self, seat: SeatId) -> Option<Instant> {
        let (at, _) = self.wait_over(seat)?;
        self.seats[seat.0].question.as_ref()?.watch.when(at)
    }

    /// The first deadline.
    pub(crate) fn first_deadline(&self) -> Option<Instant> {
        let forgotten = self.seats.iter().filter_map(|seat| self.forget_at(seat));
        let waits = self.seats().filter_map(|seat| self.question_due(seat));
        let farewells = self
            .peers
            .keys()
            .filter_map(|peer| self.farewell_deadline(*peer));
        let farewells = farewells.take(if self.is_ending() { usize::MAX } else { 0 });
        forgotten.chain(waits).chain(farewells).min()
    }
}
