//! An open turn.

use std::fmt;
use std::time::Duration;

use masep_table::{SeatId, TableError, View};

use super::Table;
use super::seat::{Move, Seat, guarded, make_move};

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
    /// or the view function, where a seat has got another player, which leaves that seat without a view.
    pub async fn next(&mut self) -> Option<Result<Move, TableError>> {
        while self.left > 0 {
            let number = self.number;
            let found = self.table.shared.wait(|driver| {
                if let Some(request) = driver.take_view_request(number) {
                    let seat = driver.seat(request.seat);
                    return Some(Found::Request(request, seat));
                }
                let decision = driver.take_decision(number)?;
                let name = driver.seat(decision.seat).shared_name();
                Some(Found::Decision(Box::new(decision), name))
            });
            match found.await {
                Found::Request(request, seat) => {
                    let view = match guarded(|| (self.view)(&seat).into()) {
                        Ok(view) => view,
                        Err(error) => return Some(Err(error)),
                    };
                    self.table.shared.call(|driver, now| {
                        driver.call(now, |table| table.set_view(request, view, now));
                    });
                }
                Found::Decision(decision, name) => {
                    self.left -= 1;
                    let late = self.table.late.as_ref();
                    let made = make_move(name, *decision, late);
                    if made.is_err() {
                        self.table.shared.call(|driver, now| driver.fail(now));
                    }
                    return Some(made);
                }
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
enum Found {
    Request(masep_table::ViewRequest, Seat),
    Decision(Box<masep_table::Decision>, std::sync::Arc<str>),
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
pub(super) fn make_views<V: Into<View>>(
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
