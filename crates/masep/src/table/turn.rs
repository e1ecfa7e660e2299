//! An open turn.

use std::fmt;
use std::time::Duration;

use masep_table::{TableError, View};

use super::Table;
use super::asking::{OpenTurn, TurnHost};
use super::seat::{Move, Seat};

/// A turn that is open until each of its seats is decided. That of a [blocking](crate::blocking) table has calls that block.
///
/// When this is dropped, the turn stays open, and its decisions are nobody's: a host that was interrupted closes it by
/// its number, [`Table::close`].
#[must_use = "its decisions are taken by it"]
pub struct Turn<'a, F, T: TurnHost = Table> {
    pub(crate) table: &'a T,
    pub(crate) turn: OpenTurn,
    pub(crate) view: F,
}

impl<F, T: TurnHost> Turn<'_, F, T> {
    /// The number of the turn.
    pub const fn number(&self) -> u64 {
        self.turn.number()
    }

    /// Adds to the time of the turn, for all of its seats that are undecided. Players that were asked are not told.
    pub fn extend(&self, by: Duration) {
        self.table.extend_turn(self.number(), by);
    }

    /// Closes the turn: its seats that are undecided are decided without an action. `next` gives those decisions.
    pub fn close(&self) {
        self.table.close_turn(self.number());
    }
}

impl<F, V> Turn<'_, F>
where
    F: FnMut(&Seat) -> V,
    V: Into<View>,
{
    /// The next decision; `None` when each seat has decided.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// [`TableError::Panicked`] when a function of the host did: [`late`](super::TableBuilder::late), which ends the table,
    /// or the view function, which is called again for a seat's new player: that closes the turn.
    pub async fn next(&mut self) -> Option<Result<Move, TableError>> {
        while self.turn.undecided() > 0 {
            let found = self.table.shared.wait(|driver| self.turn.find(driver));
            if let Some(made) = found.await.see_to(self.table, &mut self.view) {
                return Some(made);
            }
        }
        None
    }
}

impl<F, T: TurnHost> Drop for Turn<'_, F, T> {
    fn drop(&mut self) {
        self.table.forget_turn(self.turn.number());
    }
}

impl<F, T: TurnHost> fmt::Debug for Turn<'_, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.turn).finish()
    }
}
