//! Free for all: each seat acts at its own pace.

use std::fmt;

use masep_table::{TableError, View};

use super::Table;
use super::asking::OpenActions;
use super::seat::{Move, Seat};

/// The actions of all seats, as they come: [`Table::actions`]. When it is dropped, its turns are closed.
#[must_use = "the seats are asked when the next action is waited for"]
pub struct Actions<'a, F> {
    table: &'a Table,
    view: F,
    open: OpenActions,
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
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// As [`Turn::next`](super::Turn::next), and [`TableError::TurnIsOpen`] where a seat is in a turn of another call.
    pub async fn next(&mut self) -> Option<Result<Move, TableError>> {
        loop {
            let look = self.table.shared.wait(|driver| self.open.look(driver));
            let look = look.await;
            if let Some(next) = self.open.see_to(look, self.table, &mut self.view) {
                return next;
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
