//! Turns of a table.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use masep::blocking::table::{OpenActions, OpenTurn};
use masep::blocking::{Table, TimedOut};
use masep::table::{Move, Seat, TableError, TurnTime, View};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::values;
use crate::bounds::seconds;
use crate::errors;
use crate::exit::detach;
use crate::waiting::{self, Process};

/// The longest time in one call of the table.
const LONG: Duration = Duration::from_secs(3600);

type Next = Result<Option<Result<Move, TableError>>, TimedOut>;

/// The view that this function of the host makes for a seat.
pub(super) fn view_of(function: &Py<PyAny>, seat: &Seat) -> View {
    values::call_host(|py| {
        let seat = values::seat(py, seat)?;
        values::view(&function.bind(py).call1((seat,))?)
    })
}

/// A lock that one caller has at a time, and for as long as its call of the host takes.
fn lock<'a, T>(py: Python<'_>, mutex: &'a Mutex<T>) -> PyResult<MutexGuard<'a, T>> {
    match mutex.try_lock() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => {
            Err(errors::caller(py, "another thread waits for this turn"))
        }
    }
}

/// Waits for the next move of something, which one caller does at a time.
fn next<'py, T: Send>(
    py: Python<'py>,
    state: &Mutex<T>,
    timeout: Option<f64>,
    step: impl Fn(&mut T, Duration) -> Next + Sync,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let until = waiting::deadline(py, timeout)?;
    drop(lock(py, state)?);
    let next = waiting::wait(py, until, |time| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match step(&mut state, time.unwrap_or(LONG)) {
                Ok(next) => return Some(next),
                Err(TimedOut) if time.is_some() => return None,
                Err(TimedOut) => {}
            }
        }
    })?;
    match next {
        None => Ok(None),
        Some(Ok(made)) => values::made_move(py, made).map(Some),
        Some(Err(error)) => Err(values::error(py, &error)),
    }
}

/// An open turn.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct Turn {
    table: Arc<Table>,
    process: Process,
    number: u64,
    turn: Mutex<OpenTurn>,
    view: Py<PyAny>,
}

impl Turn {
    pub(super) fn open(
        py: Python<'_>,
        table: Arc<Table>,
        process: Process,
        seats: Option<&[String]>,
        time: TurnTime,
        view: Py<PyAny>,
    ) -> PyResult<Self> {
        let opened = detach(py, || {
            table.open_apart(seats, time, |seat: &Seat| view_of(&view, seat))
        });
        let turn = opened.map_err(|error| values::error(py, &error))?;
        Ok(Self {
            table,
            process,
            number: turn.number(),
            turn: Mutex::new(turn),
            view,
        })
    }
}

#[pymethods]
impl Turn {
    /// The function that makes the views often has the turn.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.view)
    }

    /// The number of the turn.
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }

    /// The next decision; `None` when each seat has decided.
    #[pyo3(signature = (timeout=None))]
    fn next<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.process.check(py)?;
        next(py, &self.turn, timeout, |turn, time| {
            let view = |seat: &Seat| view_of(&self.view, seat);
            self.table.next_of(turn, time, view)
        })
    }

    /// Adds to its time.
    fn extend(&self, py: Python<'_>, by: f64) -> PyResult<()> {
        self.process.check(py)?;
        let by = seconds(py, "the time more", by)?;
        detach(py, || self.table.extend(self.number, by));
        Ok(())
    }

    /// Closes it: its seats that are undecided are decided without an action.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.process.check(py)?;
        detach(py, || self.table.close(self.number));
        Ok(())
    }

    /// Nobody takes its decisions any more.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        self.process.check(py)?;
        detach(py, || {
            self.table.close(self.number);
            self.table.forget(self.number);
        });
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (table, number) = (self.table.clone(), self.number);
        release(self.process, table, move |table| {
            table.close(number);
            table.forget(number);
        });
    }
}

/// Tells the table of an end, without the GIL.
fn release(process: Process, table: Arc<Table>, tell: impl FnOnce(&Table) + Send) {
    if !process.is_this() {
        std::mem::forget(table);
        return;
    }
    Python::try_attach(|py| detach(py, || tell(&table)));
    waiting::release(process, table);
}

/// The actions of all seats, each at its own pace.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct Actions {
    table: Arc<Table>,
    process: Process,
    open: Mutex<OpenActions>,
    view: Py<PyAny>,
}

impl Actions {
    pub(super) fn new(table: Arc<Table>, process: Process, view: Py<PyAny>) -> Self {
        Self {
            table,
            process,
            open: Mutex::default(),
            view,
        }
    }
}

#[pymethods]
impl Actions {
    /// The function that makes the views often has them.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.view)
    }

    /// The next decision; `None` when nobody plays any more.
    #[pyo3(signature = (timeout=None))]
    fn next<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.process.check(py)?;
        next(py, &self.open, timeout, |open, time| {
            let view = |seat: &Seat| view_of(&self.view, seat);
            self.table.next_action(open, time, view)
        })
    }

    /// Closes the turns that are open.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.process.check(py)?;
        let mut open = lock(py, &self.open)?;
        let open = &mut *open;
        detach(py, || self.table.close_actions(open));
        Ok(())
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut open = std::mem::take(open);
        release(self.process, self.table.clone(), move |table| {
            table.close_actions(&mut open);
        });
    }
}
