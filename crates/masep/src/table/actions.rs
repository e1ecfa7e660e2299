//! Free for all: each seat acts at its own pace.

use std::fmt;

use masep_table::{TableError, View};

use super::Table;
use super::asking::{OpenActions, TurnHost};
use super::seat::{Move, Seat};

/// The actions of all seats, as they come: [`Table::actions`]. When it is dropped, its turns are closed. Those of a
/// [blocking](crate::blocking) table have calls that block.
#[must_use = "the seats are asked when the next action is waited for"]
pub struct Actions<'a, F, T: TurnHost = Table> {
    pub(crate) table: &'a T,
    pub(crate) view: F,
    pub(crate) open: OpenActions,
}

impl<'a, F, T: TurnHost> Actions<'a, F, T> {
    pub(crate) fn new(table: &'a T, view: F) -> Self {
        Self {
            table,
            view,
            open: OpenActions::default(),
        }
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

impl<F, T: TurnHost> Drop for Actions<'_, F, T> {
    fn drop(&mut self) {
        self.open.close(self.table);
    }
}

impl<F, T: TurnHost> fmt::Debug for Actions<'_, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Actions").field(&self.open).finish()
    }
}
