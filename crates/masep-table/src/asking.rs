//! Turns and episodes, as the host calls them.

use std::time::{Duration, Instant};

use crate::question::Question;
use crate::seat::{Presence, Unsent};
use crate::view::View;
use crate::{Cause, SeatId, Table, TableError, TurnTime, ViewRequest};

impl Table {
    /// Opens a turn, in which each of these seats is asked once. Its number is returned; those of turns and of finals
    /// rise together. The turn is over when each of its seats is decided. Other seats may be in another turn at the
    /// same time: so each can play at its own pace.
    ///
    /// # Errors
    /// A seat is in an open turn, not there, or named twice; or the table has ended.
    pub fn open(
        &mut self,
        views: impl IntoIterator<Item = (SeatId, View)>,
        time: TurnTime,
        now: Instant,
    ) -> Result<u64, TableError> {
        let now = self.tick(now);
        let views: Vec<_> = views.into_iter().collect();
        self.check(&views)?;
        self.begin_playing();
        self.number += 1;
        let turn = self.number;
        let seats: Vec<_> = views.iter().map(|(seat, _)| *seat).collect();
        for (seat, view) in views {
            let mut question = Question::new(turn, view, time, self.settings.clock, now);
            question.watch.run(!self.is_paused && self.present > 0, now);
            let place = &mut self.seats[seat.0];
            place.missed_view = None;
            place.is_finished = false;
            place.question = Some(question);
            place.wait(true, Duration::ZERO);
            self.open += 1;
        }
        if self.present == 0 {
            // It may hold.
            self.has_changed = true;
            self.conclude(now);
        }
        for seat in seats {
            self.decide_if_unreachable(seat, now);
            self.pump(seat, now);
            let due = self.question_due(seat);
            self.wake = self.wake.into_iter().chain(due).min();
        }
        self.conclude(now);
        Ok(turn)
    }

    /// Adds to the time of an open turn, for all of its seats that are undecided. Players that were asked are not
    /// told.
    pub fn extend(&mut self, turn: u64, by: Duration, now: Instant) {
        let now = self.tick(now);
        let questions = self
            .seats
            .iter_mut()
            .filter_map(|seat| seat.question.as_mut());
        let those = questions.filter(|question| question.turn == turn);
        those.for_each(|question| question.extend(by));
        self.is_stale = true;
        self.conclude(now);
    }

    /// Closes an open turn: its seats that are undecided are [`Cause::Closed`].
    pub fn close(&mut self, turn: u64, now: Instant) {
        let now = self.tick(now);
        for seat in self.seats() {
            if self.asked(seat) == Some(turn) {
                self.decide(seat, Err(Cause::Closed), now);
            }
        }
        self.conclude(now);
    }

    /// Closes all open turns.
    pub(crate) fn close_all(&mut self, now: Instant) {
        for seat in self.seats() {
            self.decide(seat, Err(Cause::Closed), now);
        }
    }

    /// Ends the episode: each of these seats is shown the last view of it, but for those that were
    /// [finished](Self::finish) before. Nothing is waited for.
    ///
    /// # Errors
    /// A turn is open, a seat is not there or named twice, or the table has ended.
    pub fn finish_episode(
        &mut self,
        views: impl IntoIterator<Item = (SeatId, View)>,
        now: Instant,
    ) -> Result<u64, TableError> {
        let now = self.tick(now);
        let views: Vec<_> = views.into_iter().collect();
        self.check(&views)?;
        let mut seats = self.seats();
        if let Some(open) = seats.find_map(|seat| self.asked(seat)) {
            return Err(TableError::TurnIsOpen(open));
        }
        self.show_last(views, now);
        self.episode += 1;
        for seat in &mut self.seats {
            seat.is_finished = false;
        }
        self.conclude(now);
        Ok(self.number)
    }

    /// Ends the episode for these seats alone, as for dead agents: each is shown its last view. Others play on, and so
    /// does one of these that is asked again. Nothing is waited for.
    ///
    /// # Errors
    /// A seat is in an open turn, not there, or named twice; or the table has ended.
    pub fn finish(
        &mut self,
        views: impl IntoIterator<Item = (SeatId, View)>,
        now: Instant,
    ) -> Result<u64, TableError> {
        let now = self.tick(now);
        let views: Vec<_> = views.into_iter().collect();
        self.check(&views)?;
        self.show_last(views, now);
        self.conclude(now);
        Ok(self.number)
    }

    fn show_last(&mut self, views: Vec<(SeatId, View)>, now: Instant) {
        self.begin_playing();
        self.number += 1;
        for (seat, view) in views {
            let place = &mut self.seats[seat.0];
            if std::mem::replace(&mut place.is_finished, true) {
                continue;
            }
            place.missed_view = None;
            if !matches!(place.presence, Presence::Vacant | Presence::Gone) {
                place.final_view = Some(Unsent {
                    number: self.number,
                    episode: self.episode,
                    view,
                });
            }
            self.pump(seat, now);
        }
    }

    /// Gives the view of a seat that was [asked for anew](crate::Effect::AskView). Too late, it changes nothing.
    pub fn set_view(&mut self, request: ViewRequest, view: View, now: Instant) {
        let now = self.tick(now);
        let ViewRequest { seat, turn, epoch } = request;
        if let Some(place) = self.seats.get_mut(seat.0)
            && place.epoch == epoch
            && let Some(question) = &mut place.question
            && question.turn == turn
        {
            question.view.get_or_insert(view);
            self.pump(seat, now);
        }
        self.conclude(now);
    }

    fn check(&self, views: &[(SeatId, View)]) -> Result<(), TableError> {
        if self.is_ending() {
            return Err(TableError::Over);
        }
        let mut named = vec![false; self.seats.len()];
        for (seat, _) in views {
            let place = self.seats.get(seat.0);
            let place = place.ok_or_else(|| TableError::UnknownSeat(seat.0.to_string()))?;
            if let Some(question) = &place.question {
                return Err(TableError::TurnIsOpen(question.turn));
            }
            if std::mem::replace(&mut named[seat.0], true) {
                return Err(TableError::SeatTwice(place.name.clone()));
            }
        }
        Ok(())
    }
}
