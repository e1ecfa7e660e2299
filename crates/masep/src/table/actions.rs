//! Free for all: each seat acts at its own pace.

use std::collections::BTreeMap;
use std::fmt;

use masep_table::{Absence, SeatState, TableError, TurnTime, View};

use super::driver::{Driver, Link};
use super::seat::{Move, Seat, guarded};
use super::{Found, Table};

/// The actions of all seats, as they come: [`Table::actions`]. When it is dropped, its turns are closed.
#[must_use = "the seats are asked when the next action is waited for"]
pub struct Actions<'a, F> {
    table: &'a Table,
    view: F,
    /// The open turns, by seat.
    open: BTreeMap<usize, u64>,
}

/// The outcome of a look.
pub(crate) enum Look {
    Found(Found),
    /// These can be asked.
    Free(Vec<Seat>),
    /// Nobody plays any more.
    Over,
}

/// Looks what there is for those who have these turns open, by seat. `None` if there is nothing now.
pub(crate) fn look<L: Link>(driver: &mut Driver<L>, open: &BTreeMap<usize, u64>) -> Option<Look> {
    let found = open.values().find_map(|turn| driver.find_in_turn(*turn));
    if let Some(found) = found {
        return Some(Look::Found(found));
    }
    if driver.has_ended() {
        return Some(Look::Over);
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
        return Some(Look::Free(free));
    }
    let is_out = |seat: &Seat| matches!(seat.state(), SeatState::Gone | SeatState::Closed);
    (open.is_empty() && seats.iter().all(is_out)).then_some(Look::Over)
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
            let found = self.table.shared.wait(|driver| look(driver, open));
            match found.await {
                Look::Over => return None,
                Look::Free(seats) => {
                    if let Err(error) = self.ask(&seats) {
                        return Some(Err(error));
                    }
                }
                Look::Found(found) => {
                    if let Found::Decision(decision, _) = &found
                        && let Some(turn) = self.open.remove(&decision.seat.index())
                    {
                        self.table.shared.lock().driver.forget_turn(turn);
                    }
                    if let Some(made) = found.see_to(self.table, &mut self.view) {
                        return Some(made);
                    }
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
