//! Free for all: each seat acts at its own pace.

use std::collections::BTreeMap;
use std::fmt;

use masep_table::{Absence, SeatState, TableError, TurnTime, View};

use super::Table;
use super::seat::{Move, Seat, guarded, make_move};

/// The actions of all seats, as they come: [`Table::actions`]. When it is dropped, its turns are closed.
#[must_use = "the seats are asked when the next action is waited for"]
pub struct Actions<'a, F> {
    table: &'a Table,
    view: F,
    /// The open turns, by seat.
    open: BTreeMap<usize, u64>,
}

/// The outcome of a look.
enum Found {
    Decision(Box<masep_table::Decision>, std::sync::Arc<str>),
    Request(masep_table::ViewRequest, Seat),
    /// These can be asked.
    Free(Vec<Seat>),
    /// Nobody plays any more.
    Over,
}

impl<'a, F, V> Actions<'a, F>
where
    F: FnMut(&Seat) -> V,
    V: Into<View>,
{
    pub(super) const fn new(table: &'a Table, view: F) -> Self {
        Self {
            table,
            view,
            open: BTreeMap::new(),
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
            let open = &self.open;
            let found = self.table.shared.wait(|driver| {
                for (seat, turn) in open {
                    if let Some(request) = driver.take_view_request(*turn) {
                        let seat = driver.seat(request.seat);
                        return Some(Found::Request(request, seat));
                    }
                    if let Some(decision) = driver.take_decision(*turn) {
                        debug_assert_eq!(decision.seat.index(), *seat);
                        let name = driver.seat(decision.seat).shared_name();
                        return Some(Found::Decision(Box::new(decision), name));
                    }
                }
                if driver.has_ended() {
                    return Some(Found::Over);
                }
                let waits = matches!(driver.table().absence(), Absence::Wait(_));
                let seats: Vec<Seat> = driver.table().seats().map(|it| driver.seat(it)).collect();
                let may_ask = |seat: &&Seat| match seat.state() {
                    _ if open.contains_key(&seat.index()) => false,
                    SeatState::Present => true,
                    SeatState::Away => waits,
                    _ => false,
                };
                let free: Vec<Seat> = seats.iter().filter(may_ask).cloned().collect();
                if !free.is_empty() {
                    return Some(Found::Free(free));
                }
                let is_out =
                    |seat: &Seat| matches!(seat.state(), SeatState::Gone | SeatState::Closed);
                (open.is_empty() && seats.iter().all(is_out)).then_some(Found::Over)
            });
            match found.await {
                Found::Over => return None,
                Found::Free(seats) => {
                    if let Err(error) = self.ask(&seats) {
                        return Some(Err(error));
                    }
                }
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
                    let turn = self.open.remove(&decision.seat.index());
                    let made = make_move(name, *decision, self.table.late.as_ref());
                    self.table.shared.call(|driver, now| {
                        turn.into_iter().for_each(|turn| driver.forget_turn(turn));
                        if made.is_err() {
                            driver.fail(now);
                        }
                    });
                    return Some(made);
                }
            }
        }
    }

    fn ask(&mut self, seats: &[Seat]) -> Result<(), TableError> {
        for seat in seats {
            let view = guarded(|| (self.view)(seat).into())?;
            let turn = self
                .table
                .shared
                .call(|driver, now| driver.open(vec![(seat.id(), view)], TurnTime::AsSet, now))?;
            self.open.insert(seat.index(), turn);
        }
        Ok(())
    }
}

impl<F> Drop for Actions<'_, F> {
    fn drop(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.table.shared.call(|driver, now| {
            for turn in open.into_values() {
                driver.forget_turn(turn);
                driver.call(now, |table| table.close(turn, now));
            }
        });
    }
}

impl<F> fmt::Debug for Actions<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actions")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
