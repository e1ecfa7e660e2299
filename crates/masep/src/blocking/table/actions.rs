//! Free for all: each seat acts at its own pace.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::time::{Duration, Instant};

use masep_table::{TableError, TurnTime, View};

use super::Table;
use crate::blocking::TimedOut;
use crate::table::seat::guarded;
use crate::table::{Found, Look, Move, Seat, look};

/// The actions of all seats, as they come: [`Table::actions`]. When it is dropped, its turns are closed.
#[must_use = "the seats are asked when the next action is waited for"]
pub struct Actions<'a, F> {
    pub(super) table: &'a Table,
    pub(super) view: F,
    /// The open turns, by seat.
    pub(super) open: BTreeMap<usize, u64>,
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
            let open = &self.open;
            let found = self.table.shared.wait(until, |driver| look(driver, open))?;
            match found {
                Look::Over => return Ok(None),
                Look::Free(seats) => {
                    if let Err(error) = self.ask(&seats) {
                        return Ok(Some(Err(error)));
                    }
                }
                Look::Found(found) => {
                    if let Found::Decision(decision, _) = &found
                        && let Some(turn) = self.open.remove(&decision.seat.index())
                    {
                        self.table.shared.lock().driver.forget_turn(turn);
                    }
                    if let Some(made) = found.see_to(self.table, &mut self.view) {
                        return Ok(Some(made));
                    }
                }
            }
        }
    }

    fn ask(&mut self, seats: &[Seat]) -> Result<(), TableError> {
        for seat in seats {
            let view = guarded(|| (self.view)(seat).into())?;
            let views = vec![(seat.id(), view)];
            let opened =
                |driver: &mut super::Driver<_>, now| driver.open(views, TurnTime::AsSet, now);
            let turn = self.table.shared.open(opened)?;
            self.open.insert(seat.index(), turn);
        }
        Ok(())
    }
}

impl<F> Drop for Actions<'_, F> {
    fn drop(&mut self) {
        self.table.close_all(mem::take(&mut self.open));
    }
}

impl Table {
    /// Closes these turns, whose decisions nobody takes.
    pub(super) fn close_all(&self, open: BTreeMap<usize, u64>) {
        self.shared.call(|driver, now| {
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
