//! Free for all: each seat acts at its own pace.

use std::fmt;
use std::time::{Duration, Instant};

use masep_table::{TableError, View};

use super::Table;
use crate::blocking::TimedOut;
use crate::table::asking::OpenActions;
use crate::table::{Move, Seat};

/// The actions of all seats, as they come: [`Table::actions`]. When it is dropped, its turns are closed.
#[must_use = "the seats are asked when the next action is waited for"]
pub struct Actions<'a, F> {
    pub(super) table: &'a Table,
    pub(super) view: F,
    pub(super) open: OpenActions,
}

impl<'a, F, V> Actions<'a, F>
where
    F: FnMut(&Seat) -> V,
    V: Into<View>,
{
    pub(super) fn new(table: &'a Table, view: F) -> Self {
        Self {
            table,
            view,
            open: OpenActions::default(),
        }
    }

    /// The next decision; `None` when the table has ended, or each seat is gone or closed. Each seat is asked that is not,
    /// with a view of now: players that are asleep are asked when they have woken up, and those that are away as the rule
    /// for that says.
    ///
    /// # Errors
    /// As [`Turn::next`](super::Turn::next), and [`TableError::TurnIsOpen`] where a seat is in a turn of another call.
    #[expect(clippy::should_implement_trait, reason = "it blocks")]
    pub fn next(&mut self) -> Option<Result<Move, TableError>> {
        self.next_until(None).unwrap_or(None)
    }

    /// [`next`](Self::next) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if no seat decided in that time.
    pub fn next_timeout(
        &mut self,
        time: Duration,
    ) -> Result<Option<Result<Move, TableError>>, TimedOut> {
        self.next_until(Instant::now().checked_add(time))
    }

    fn next_until(
        &mut self,
        until: Option<Instant>,
    ) -> Result<Option<Result<Move, TableError>>, TimedOut> {
        loop {
            let look = |driver: &mut _| self.open.look(driver);
            let look = self.table.shared.wait_for_moves(until, look)?;
            if let Some(next) = self.open.see_to(look, self.table, &mut self.view) {
                return Ok(next);
            }
        }
    }
}

impl<F> Drop for Actions<'_, F> {
    fn drop(&mut self) {
        self.open.close(self.table);
    }
}

impl<F> fmt::Debug for Actions<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Actions").field(&self.open).finish()
    }
}
