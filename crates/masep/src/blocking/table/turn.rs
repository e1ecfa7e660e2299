//! The turns of a table without async: their calls that wait.

use std::time::{Duration, Instant};

use masep_table::{TableError, View};

use super::Table;
use crate::blocking::TimedOut;
use crate::table::asking::{OpenActions, OpenTurn};
use crate::table::{self, Move, Seat};

/// A turn that is open until each of its seats is decided.
///
/// When this is dropped, the turn stays open, and its decisions are nobody's: [`Table::close`] closes it by its number.
pub type Turn<'a, F> = table::Turn<'a, F, Table>;

/// The actions of all seats, as they come: [`Table::actions`]. When it is dropped, its turns are closed.
pub type Actions<'a, F> = table::Actions<'a, F, Table>;

impl<F, V> Turn<'_, F>
where
    F: FnMut(&Seat) -> V,
    V: Into<View>,
{
    /// The next decision; `None` when each seat has decided.
    ///
    /// # Errors
    /// [`TableError::Panicked`] when a function of the host did: [`late`](crate::table::TableBuilder::late), which ends
    /// the table, or the view function, which is called again for a seat's new player: that closes the turn.
    #[expect(clippy::should_implement_trait, reason = "it blocks")]
    pub fn next(&mut self) -> Option<Result<Move, TableError>> {
        let next = self.table.next_in(&mut self.turn, None, &mut self.view);
        next.unwrap_or(None)
    }

    /// [`next`](Self::next) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if no seat decided in that time.
    pub fn next_timeout(
        &mut self,
        time: Duration,
    ) -> Result<Option<Result<Move, TableError>>, TimedOut> {
        let until = Instant::now().checked_add(time);
        self.table.next_in(&mut self.turn, until, &mut self.view)
    }
}

impl<F, V> Actions<'_, F>
where
    F: FnMut(&Seat) -> V,
    V: Into<View>,
{
    /// The next decision; `None` when the table has ended, or each seat is gone or closed. Each seat without an open question
    /// is asked, with a fresh view: players that are asleep are asked when they have woken up, and those that are away as the rule
    /// for that says.
    ///
    /// # Errors
    /// As [`Turn::next`], and [`TableError::TurnIsOpen`] where a seat is in a turn of another call.
    #[expect(clippy::should_implement_trait, reason = "it blocks")]
    pub fn next(&mut self) -> Option<Result<Move, TableError>> {
        let next = self.table.next_among(&mut self.open, None, &mut self.view);
        next.unwrap_or(None)
    }

    /// [`next`](Self::next) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if no seat decided in that time.
    pub fn next_timeout(
        &mut self,
        time: Duration,
    ) -> Result<Option<Result<Move, TableError>>, TimedOut> {
        let until = Instant::now().checked_add(time);
        self.table.next_among(&mut self.open, until, &mut self.view)
    }
}

impl Table {
    /// The next decision in a turn.
    pub(in crate::blocking) fn next_in<V: Into<View>>(
        &self,
        turn: &mut OpenTurn,
        until: Option<Instant>,
        view: &mut impl FnMut(&Seat) -> V,
    ) -> Result<Option<Result<Move, TableError>>, TimedOut> {
        while turn.undecided() > 0 {
            let find = |driver: &mut _| turn.find(driver);
            let found = self.shared.wait_for_moves(until, find)?;
            if let Some(made) = found.see_to(self, view) {
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    /// The next decision in one of these turns.
    pub(in crate::blocking) fn next_among<V: Into<View>>(
        &self,
        actions: &mut OpenActions,
        until: Option<Instant>,
        view: &mut impl FnMut(&Seat) -> V,
    ) -> Result<Option<Result<Move, TableError>>, TimedOut> {
        loop {
            let look = |driver: &mut _| actions.look(driver);
            let look = self.shared.wait_for_moves(until, look)?;
            if let Some(next) = actions.see_to(look, self, view) {
                return Ok(next);
            }
        }
    }
}
