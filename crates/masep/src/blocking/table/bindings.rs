//! Calls for bindings to other languages: their turns cannot borrow a table, and their event loops must not wait.

use std::mem::{self, ManuallyDrop};
use std::time::{Duration, Instant};

use masep_table::{TableError, TurnTime, View};

use super::{Actions, Table, Turn};
use crate::blocking::TimedOut;
use crate::table::asking::{OpenActions, OpenTurn};
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
        let seats = {
            let inner = self.shared.lock();
            match seats {
                Some(names) => inner.driver.find(names.iter().map(String::as_str))?,
                None => inner.driver.table().seats().collect(),
            }
        };
        self.open_turn(&seats, time, &mut view)
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
        let mut borrowed = ManuallyDrop::new(Turn {
            table: self,
            turn: mem::replace(turn, OpenTurn::new(turn.number(), 0)),
            view: &mut view,
        });
        let next = borrowed.next_timeout(time);
        mem::swap(turn, &mut borrowed.turn);
        next
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
        let mut borrowed = ManuallyDrop::new(Actions {
            table: self,
            view: &mut view,
            open: mem::take(actions),
        });
        let next = borrowed.next_timeout(time);
        *actions = mem::take(&mut borrowed.open);
        next
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
