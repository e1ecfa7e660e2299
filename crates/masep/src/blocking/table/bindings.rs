//! Calls for bindings to other languages: their turns cannot borrow a table, and their event loops must not wait.

use std::collections::BTreeMap;
use std::mem::{self, ManuallyDrop};
use std::time::{Duration, Instant};

use masep_table::{TableError, TurnTime, View};

use super::{Actions, Table, Turn};
use crate::blocking::TimedOut;
use crate::table::{Move, Seat};

/// A [`Turn`] that borrows nothing. Its table is to be told when nobody takes its decisions any more, by
/// [`Table::forget`].
#[derive(Debug)]
pub struct OpenTurn {
    number: u64,
    left: usize,
}

impl OpenTurn {
    /// The number of the turn.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// [`Actions`] that borrow nothing. [`Table::close_actions`] closes their turns.
#[derive(Debug, Default)]
pub struct OpenActions {
    open: BTreeMap<usize, u64>,
}

impl Table {
    /// [`open_timed`](Self::open_timed) for these seats, or for all.
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
        // Not dropped: its decisions are kept until it is forgotten.
        let turn = ManuallyDrop::new(self.open_seats(&seats, time, &mut view)?);
        Ok(OpenTurn {
            number: turn.number,
            left: turn.left,
        })
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
            number: turn.number,
            left: turn.left,
            view: &mut view,
        });
        let next = borrowed.next_timeout(time);
        turn.left = borrowed.left;
        next
    }

    /// [`Turn::extend`] of the turn of this number.
    pub fn extend(&self, turn: u64, by: Duration) {
        self.shared.call(|driver, now| {
            driver.call(now, |table| table.extend(turn, by, now));
        });
    }

    /// Nobody takes the decisions of the turn of this number any more.
    pub fn forget(&self, turn: u64) {
        self.shared.lock().driver.forget_turn(turn);
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
            open: mem::take(&mut actions.open),
        });
        let next = borrowed.next_timeout(time);
        actions.open = mem::take(&mut borrowed.open);
        next
    }

    /// Closes the turns of these actions.
    pub fn close_actions(&self, actions: &mut OpenActions) {
        self.close_all(mem::take(&mut actions.open));
    }

    /// Blocks until something has happened that a call may wait for, beyond so many things, or the time is over. The number
    /// of them all.
    pub fn wait_for_news(&self, seen: u64, time: Duration) -> u64 {
        self.shared
            .wait_for_news(seen, Instant::now().checked_add(time))
    }
}
