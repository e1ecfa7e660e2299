//! The calls of the host, none of which waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_table::{Decision, Event, SeatId, TableError, TurnTime, View, ViewRequest};

use super::{Driver, Link};
use crate::table::asking::Found;
use crate::table::seat::Seat;

impl<L: Link> Driver<L> {
    /// Opens a turn, whose decisions are kept until [`forget_turn`](Self::forget_turn).
    pub(crate) fn open(
        &mut self,
        views: Vec<(SeatId, View)>,
        time: TurnTime,
        now: Instant,
    ) -> Result<u64, TableError> {
        let decisions = VecDeque::with_capacity(views.len());
        let number = self.table.open(views, time, now)?;
        self.turns.insert(number, decisions);
        self.carry_out(now);
        Ok(number)
    }

    /// The next decision of a turn.
    fn take_decision(&mut self, turn: u64) -> Option<Decision> {
        self.turns.get_mut(&turn)?.pop_front()
    }

    /// The next thing that a turn waits for.
    pub(crate) fn find_in_turn(&mut self, turn: u64) -> Option<Found> {
        if let Some(request) = self.take_view_request(turn) {
            return Some(Found::Request(request, self.seat(request.seat)));
        }
        let decision = self.take_decision(turn)?;
        let name = self.name(decision.seat);
        Some(Found::Decision(Box::new(decision), name))
    }

    /// Nobody will ask for the decisions of this turn.
    pub(crate) fn forget_turn(&mut self, turn: u64) {
        self.turns.remove(&turn);
    }

    /// A view of this turn that is to be made anew.
    fn take_view_request(&mut self, turn: u64) -> Option<ViewRequest> {
        let mut requests = self.view_requests.iter();
        let place = requests.position(|request| request.turn == turn)?;
        Some(self.view_requests.swap_remove(place))
    }

    /// Shows something to the spectators. The connections write it themselves: there may be a thousand.
    pub(crate) fn show(&mut self, view: View, now: Instant) {
        for key in self.unwritten.clone() {
            if !self.look_whether_written(key, now) {
                self.waits.push(key);
            }
        }
        self.is_showing = true;
        self.call(now, |table| table.show(view, now));
        self.is_showing = false;
    }

    pub(crate) fn end_table(&mut self, now: Instant) {
        self.call(now, |table| table.end(now));
    }

    /// A function of the host has failed.
    pub(crate) fn fail(&mut self, now: Instant) {
        self.call(now, |table| table.fail("the engine has failed", now));
        self.has_news = true;
    }

    /// True if the end of the game has begun.
    pub(crate) const fn has_ended(&self) -> bool {
        self.table.has_ended()
    }

    /// `Ok` if each seat has had somebody at the same time, or the last one without somebody was closed; an error if the table is over before; `None` as long as that is
    /// open.
    pub(crate) fn filled(&self) -> Option<Result<(), TableError>> {
        if self.is_filled {
            return Some(Ok(()));
        }
        self.table.is_over().then_some(Err(TableError::Over))
    }

    /// Takes the next event, or `None` within when none comes any more.
    pub(crate) fn next_event(&mut self) -> Option<Option<Event>> {
        match self.events.pop() {
            Some(event) => Some(Some(event)),
            None => self.table.is_over().then_some(None),
        }
    }

    pub(crate) fn take_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The number of events that were dropped.
    pub(crate) const fn missed_events(&self) -> u64 {
        self.events.missed()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.table.deadline()
    }

    /// A seat as it is now.
    pub(crate) fn seat(&self, seat: SeatId) -> Seat {
        Seat {
            id: seat,
            name: self.name(seat),
            player: self.table.player(seat).cloned(),
            state: self.table.state(seat),
            has_pymaseps_player: self.table.has_pymaseps_player(seat),
        }
    }

    /// True if the seat has the same player as it had, as far as a view depends on it.
    pub(crate) fn has_player_of(&self, seen: &Seat) -> bool {
        let seat = seen.id();
        self.table.player(seat) == seen.player()
            && self.table.has_pymaseps_player(seat) == seen.has_pymaseps_player()
    }

    fn name(&self, seat: SeatId) -> Arc<str> {
        let name = self.names.get(seat.index());
        name.cloned().unwrap_or_else(|| "".into())
    }

    /// The seats of these names.
    pub(crate) fn find<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<SeatId>, TableError> {
        let find = |name: &str| {
            let seat = self.table.seat(name);
            seat.ok_or_else(|| TableError::UnknownSeat(name.to_owned()))
        };
        names.into_iter().map(find).collect()
    }

    /// The longest that a connection may take to end when the table is over.
    pub(crate) const FAREWELL: Duration = Duration::from_secs(2);
}
