//! Calls for bindings to other languages: their turns cannot borrow a table, and their event loops must not wait.

use std::time::{Duration, Instant};

use masep_table::{TableError, TurnTime, View};

#[cfg(doc)]
use crate::blocking::{Actions, Turn};
use crate::blocking::{Table, TimedOut};
use crate::table::asking::{Host as _, OpenActions, OpenTurn, TurnHost as _, open_turn};
use crate::table::{Move, Seat};

impl Table {
    /// [`open_timed`](Self::open_timed) for these seats, or for all. The table is to be told when nobody takes the decisions
    /// any more, by [`forget`](Self::forget).
    ///
    /// # Errors
    /// As [`open_timed`](Self::open_timed).
    pub fn open_apart<V: Into<View>>(
        &self,
        seats: Option<&[String]>,
        time: TurnTime,
        mut view: impl FnMut(&Seat) -> V,
    ) -> Result<OpenTurn, TableError> {
        let seats = match seats {
            Some(names) => {
                let names = names.iter().map(String::as_str);
                self.look(|driver| driver.find(names))?
            }
            None => self.all_seats(),
        };
        open_turn(self, &seats, time, &mut view)
    }

    /// [`Turn::next_timeout`] of a turn of this table.
    ///
    /// # Errors
    /// As [`Turn::next_timeout`].
    pub fn next_of<V: Into<View>>(
        &self,
        turn: &mut OpenTurn,
        time: Duration,
        mut view: impl FnMut(&Seat) -> V,
    ) -> Result<Option<Result<Move, TableError>>, TimedOut> {
        self.next_in(turn, Instant::now().checked_add(time), &mut view)
    }

    /// [`Turn::extend`] of the turn of this number.
    pub fn extend(&self, turn: u64, by: Duration) {
        self.extend_turn(turn, by);
    }

    /// Nobody takes the decisions of the turn of this number any more.
    pub fn forget(&self, turn: u64) {
        self.forget_turn(turn);
    }

    /// [`Actions::next_timeout`] of actions of this table.
    ///
    /// # Errors
    /// As [`Actions::next_timeout`].
    pub fn next_action<V: Into<View>>(
        &self,
        actions: &mut OpenActions,
        time: Duration,
        mut view: impl FnMut(&Seat) -> V,
    ) -> Result<Option<Result<Move, TableError>>, TimedOut> {
        self.next_among(actions, Instant::now().checked_add(time), &mut view)
    }

    /// Closes the turns of these actions.
    pub fn close_actions(&self, actions: &mut OpenActions) {
        actions.close(self);
    }

    /// Blocks until something has happened that a call may wait for, beyond so many things, or the time is over. The number
    /// of them all.
    pub fn wait_for_news(&self, seen: u64, time: Duration) -> u64 {
        self.shared
            .wait_for_news(seen, Instant::now().checked_add(time))
    }
}
