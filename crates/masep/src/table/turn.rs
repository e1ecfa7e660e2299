//! An open turn.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_table::{Decision, SeatId, TableError, View, ViewRequest};

use super::Table;
use super::driver::{Driver, Link};
use super::seat::{LateAction, Move, Seat, guarded, make_move};
use crate::Connection;

/// A turn that is open until each of its seats is decided.
///
/// When this is dropped, the turn stays open, and its decisions are nobody's: a host that was interrupted closes it by
/// its number, [`Table::close`].
#[must_use = "its decisions are taken by it"]
pub struct Turn<'a, F> {
    pub(super) table: &'a Table,
    pub(super) number: u64,
    /// The seats that are not decided.
    pub(super) left: usize,
    pub(super) view: F,
}

impl<F, V> Turn<'_, F>
where
    F: FnMut(&Seat) -> V,
    V: Into<View>,
{
    /// The number of the turn.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The next decision; `None` when each seat has decided.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// [`TableError::Panicked`] when a function of the host did: [`late`](super::TableBuilder::late), which ends the table,
    /// or the view function, where a seat has got another player, which closes the turn.
    pub async fn next(&mut self) -> Option<Result<Move, TableError>> {
        while self.left > 0 {
            let number = self.number;
            let found = self.table.shared.wait(|driver| driver.find_in_turn(number));
            let found = found.await;
            self.left -= usize::from(found.is_decision());
            if let Some(made) = found.see_to(self.table, &mut self.view) {
                return Some(made);
            }
        }
        None
    }

    /// Adds to the time of the turn, for all of its seats that are undecided. Players that were asked are not told.
    pub fn extend(&self, by: Duration) {
        let number = self.number;
        self.table.shared.call(|driver, now| {
            driver.call(now, |table| table.extend(number, by, now));
        });
    }

    /// Closes the turn: its seats that are undecided are decided without an action. [`next`](Self::next) gives those
    /// decisions.
    pub fn close(&self) {
        self.table.close(self.number);
    }
}

/// A thing that a turn waits for.
pub(crate) enum Found {
    Request(ViewRequest, Seat),
    Decision(Box<Decision>, Arc<str>),
}

/// A table, as far as those see to it who wait.
pub(crate) trait Host {
    type Link: Link;

    fn late(&self) -> Option<&LateAction>;

    fn call(&self, call: &mut dyn FnMut(&mut Driver<Self::Link>, Instant));
}

impl Found {
    /// True if a seat has decided.
    pub(crate) const fn is_decision(&self) -> bool {
        matches!(self, Self::Decision(..))
    }

    /// Makes a view anew, of which only an error is told, or a move.
    pub(crate) fn see_to<V: Into<View>>(
        self,
        host: &impl Host,
        view: &mut impl FnMut(&Seat) -> V,
    ) -> Option<Result<Move, TableError>> {
        match self {
            Self::Request(request, seat) => match guarded(|| view(&seat).into()) {
                Ok(view) => {
                    host.call(&mut |driver, now| {
                        let view = view.clone();
                        driver.call(now, |table| table.set_view(request, view, now));
                    });
                    None
                }
                Err(error) => {
                    // The seat has no view, and would wait for ever.
                    host.call(&mut |driver, now| {
                        driver.call(now, |table| table.close(request.turn, now));
                    });
                    Some(Err(error))
                }
            },
            Self::Decision(decision, name) => {
                let made = make_move(name, *decision, host.late());
                if made.is_err() {
                    host.call(&mut |driver, now| driver.fail(now));
                }
                Some(made)
            }
        }
    }
}

impl Host for Table {
    type Link = Connection;

    fn late(&self) -> Option<&LateAction> {
        self.late.as_ref()
    }

    fn call(&self, call: &mut dyn FnMut(&mut Driver<Connection>, Instant)) {
        self.shared.call(|driver, now| call(driver, now));
    }
}

impl<F> Drop for Turn<'_, F> {
    fn drop(&mut self) {
        let mut inner = self.table.shared.lock();
        inner.driver.forget_turn(self.number);
    }
}

impl<F> fmt::Debug for Turn<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("number", &self.number)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// The views of these seats. A function of the host makes them, so no lock is held.
pub(crate) fn make_views<V: Into<View>>(
    seats: &[Seat],
    view: &mut impl FnMut(&Seat) -> V,
) -> Result<Vec<(SeatId, View)>, TableError> {
    let views = || {
        seats
            .iter()
            .map(|seat| (seat.id(), view(seat).into()))
            .collect()
    };
    guarded(views)
}
