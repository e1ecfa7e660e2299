//! Tables.

mod turn;
pub(crate) mod values;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use masep::Address;
use masep::blocking;
use masep::table::{Absence, Clock, Event, TableBuilder, TableError, TurnTime};
use pyo3::prelude::*;

pub(crate) use turn::{Actions, Turn};

use crate::bounds::{endless, given, seconds};
use crate::exit::detach;
use crate::listening::{ListenOptions, with_options};
use crate::server::{PythonAddress, target_of};
use crate::waiting::{self, Call, Process};
use crate::{access, client, errors};

/// `masep._table._Rules`, by its attributes. Times are seconds.
#[derive(FromPyObject)]
struct Rules<'py> {
    id: String,
    deadline: Option<f64>,
    bank: Option<f64>,
    late: Option<Bound<'py, PyAny>>,
    grace: Option<f64>,
    misses: u32,
    forget_time: f64,
    farewell: f64,
    rejoins_by_id: bool,
    replaces_same_id: bool,
    strangers: bool,
    keeps_env_step: bool,
    hears_echo: bool,
    finals_unanswered: Vec<String>,
    most_peers: usize,
    most_spectators: usize,
}

impl Rules<'_> {
    fn apply(&self, py: Python<'_>, builder: TableBuilder) -> PyResult<TableBuilder> {
        client::check_id(py, &self.id)?;
        let bank = self.bank.map(|bank| seconds(py, "bank", bank));
        let clock = Clock {
            per_turn: endless(py, "deadline", self.deadline)?,
            bank: bank.transpose()?,
        };
        let grace = endless(py, "grace", self.grace)?;
        let forget_time = seconds(py, "forget_time", self.forget_time)?;
        let farewell = seconds(py, "farewell", self.farewell)?;
        let Self {
            strangers,
            keeps_env_step,
            hears_echo,
            most_peers,
            most_spectators,
            ..
        } = *self;
        let finals_unanswered = self.finals_unanswered.clone();
        let builder = builder
            .id(self.id.as_str())
            .clock(clock)
            .absence(grace.map_or(Absence::Proceed, Absence::Wait))
            .misses(self.misses)
            .rejoins_by_id(self.rejoins_by_id)
            .replaces_same_id(self.replaces_same_id)
            .settings(move |settings| {
                let settings = settings
                    .forget_time(forget_time)
                    .farewell(farewell)
                    .strangers(strangers)
                    .keeps_env_step(keeps_env_step)
                    .hears_echo(hears_echo)
                    .peers(most_peers)
                    .spectators(most_spectators);
                let seats = finals_unanswered.iter();
                seats.fold(settings, |settings, seat| settings.finals_unanswered(seat))
            });
        Ok(match &self.late {
            None => builder,
            Some(late) if late.is_callable() && !late.is_instance_of::<pyo3::types::PyType>() => {
                let late = late.clone().unbind();
                builder.late(move |view| {
                    values::call_host(|py| {
                        let observation = values::inert(py, view.observation.clone())?;
                        values::kept(&late.bind(py).call1((observation,))?, "action")
                    })
                })
            }
            Some(action) => builder.late_action(values::kept(action, "late")?),
        })
    }
}

/// Seats, turns, deadlines, rejoining and spectators, for their host.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct Table {
    /// Taken out by the end.
    inner: RwLock<Option<Arc<blocking::Table>>>,
    address: Address,
    target: String,
    process: Process,
}

impl Table {
    /// The table, until it was closed.
    fn get(&self, py: Python<'_>) -> PyResult<Arc<blocking::Table>> {
        self.process.check(py)?;
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let over = || values::error(py, &TableError::Over);
        inner.clone().ok_or_else(over)
    }

    fn take(&self) -> Option<Arc<blocking::Table>> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.take()
    }

    /// Makes a call that does not wait for long.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&blocking::Table) -> T + Send,
    ) -> PyResult<T> {
        let table = self.get(py)?;
        Ok(detach(py, || call(&table)))
    }

    fn try_with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&blocking::Table) -> Result<T, TableError> + Send,
    ) -> PyResult<T> {
        self.with(py, call)?
            .map_err(|error| values::error(py, &error))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The time of a turn: `None` for the clock's, a time below 0 for none.
fn turn_time(py: Python<'_>, deadline: Option<f64>) -> PyResult<TurnTime> {
    match deadline {
        None => Ok(TurnTime::AsSet),
        Some(deadline) if deadline < 0.0 => Ok(TurnTime::Unlimited),
        Some(_) => {
            let time = endless(py, "deadline", deadline)?;
            Ok(time.map_or(TurnTime::Unlimited, TurnTime::Limited))
        }
    }
}

#[pymethods]
impl Table {
    /// Listens on an address.
    #[staticmethod]
    fn bind(
        py: Python<'_>,
        game: String,
        seats: Vec<String>,
        address: &str,
        rules: &Bound<'_, PyAny>,
        options: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let (rules, options): (Rules<'_>, ListenOptions<'_>) =
            (given(rules, "")?, given(options, "")?);
        let target = client::target(py, address)?;
        let builder = masep::Table::builder(game)
            .seats(seats)
            .protocols(options.protocols(py, address, target.protocols())?);
        let builder = with_options!(py, options, rules.apply(py, builder)?);
        let table = waiting::call(py, move || builder.bind_blocking(target))?;
        let table = table.map_err(|error| errors::listen(py, &error))?;
        Ok(Self {
            address: table.local_address(),
            target: target_of(table.server()),
            inner: RwLock::new(Some(Arc::new(table))),
            process: Process::this(),
        })
    }

    /// The address on which it listens.
    #[getter]
    fn address(&self) -> PythonAddress {
        self.address.clone().into()
    }

    /// The same as text, as `join` takes it.
    #[getter]
    fn target(&self) -> String {
        self.target.clone()
    }

    /// The address for peers of pymasep's protocol alone, as text.
    #[getter]
    fn pymasep_target(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let address = self.with(py, |table| table.server().pymasep_address().cloned())?;
        Ok(address.map(|address| address.to_string()))
    }

    /// True if anybody who reaches it can join.
    #[getter]
    fn is_exposed(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |table| table.server().is_exposed())
    }

    /// Ends the connections of these: how many there were.
    #[pyo3(signature = (id=None, token=None, address=None))]
    fn kick(
        &self,
        py: Python<'_>,
        id: Option<String>,
        token: Option<String>,
        address: Option<String>,
    ) -> PyResult<usize> {
        let subject = access::subject(py, id, token, address)?;
        self.with(py, move |table| table.server().kick(&subject))
    }

    /// The same, and keeps them out.
    #[pyo3(signature = (id=None, token=None, address=None))]
    fn ban(
        &self,
        py: Python<'_>,
        id: Option<String>,
        token: Option<String>,
        address: Option<String>,
    ) -> PyResult<usize> {
        let subject = access::subject(py, id, token, address)?;
        self.with(py, move |table| table.server().ban(subject))
    }

    /// Lets these come again. False if they were not banned.
    #[pyo3(signature = (id=None, token=None, address=None))]
    fn unban(
        &self,
        py: Python<'_>,
        id: Option<String>,
        token: Option<String>,
        address: Option<String>,
    ) -> PyResult<bool> {
        let subject = access::subject(py, id, token, address)?;
        self.with(py, move |table| table.server().unban(subject))
    }

    /// The seats as they are now.
    fn seats<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let seats = self.with(py, blocking::Table::seats)?;
        seats.iter().map(|seat| values::seat(py, seat)).collect()
    }

    /// The number of spectators.
    fn spectators(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, blocking::Table::spectators)
    }

    /// The episode, from 0.
    fn episode(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, blocking::Table::episode)
    }

    /// Waits until each seat has somebody.
    #[pyo3(signature = (timeout=None))]
    fn filled(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let table = self.get(py)?;
        let until = waiting::deadline(py, timeout)?;
        let filled = waiting::wait(py, until, |time| match time {
            None => Some(table.filled()),
            Some(time) => table.filled_timeout(time).ok(),
        })?;
        filled.map_err(|error| values::error(py, &error))
    }

    /// Opens a turn for these seats, or all.
    #[pyo3(signature = (seats, view, deadline=None))]
    fn open(
        &self,
        py: Python<'_>,
        seats: Option<Vec<String>>,
        view: Py<PyAny>,
        deadline: Option<f64>,
    ) -> PyResult<Turn> {
        let table = self.get(py)?;
        let time = turn_time(py, deadline)?;
        Turn::open(py, table, self.process, seats.as_deref(), time, view)
    }

    /// The actions of all seats, each at its own pace.
    fn actions(&self, py: Python<'_>, view: Py<PyAny>) -> PyResult<Actions> {
        Ok(Actions::new(self.get(py)?, self.process, view))
    }

    /// Shows this to the spectators.
    fn show(&self, py: Python<'_>, view: &Bound<'_, PyAny>) -> PyResult<()> {
        let view = values::view(view)?;
        self.try_with(py, move |table| table.show(view))
    }

    /// Ends the episode: each player is shown its last view.
    fn finish_episode(&self, py: Python<'_>, view: Py<PyAny>) -> PyResult<()> {
        self.try_with(py, |table| {
            table.finish_episode(|seat| turn::view_of(&view, seat))
        })
    }

    /// Ends the episode for one seat.
    fn finish_seat(&self, py: Python<'_>, name: &str, view: &Bound<'_, PyAny>) -> PyResult<()> {
        let view = values::view(view)?;
        self.try_with(py, move |table| table.finish_seat(name, view))
    }

    /// Stops the clocks.
    fn pause(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, blocking::Table::pause)
    }

    /// Lets the clocks run again.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, blocking::Table::resume)
    }

    /// Closes a seat, as for a dead agent.
    fn close_seat(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.try_with(py, |table| table.close_seat(name))
    }

    /// Opens a seat again.
    fn open_seat(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.try_with(py, |table| table.open_seat(name))
    }

    /// The next thing that has happened; `None` when the table has ended and all was told.
    #[pyo3(signature = (timeout=None))]
    fn event<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let table = self.get(py)?;
        let until = waiting::deadline(py, timeout)?;
        loop {
            let event = waiting::wait(py, until, |time| match time {
                None => Some(table.event()),
                Some(time) => table.event_timeout(time).ok(),
            })?;
            let Some(event) = event else {
                return Ok(None);
            };
            if let Some(event) = self.told(py, &table, event)? {
                return Ok(Some(event));
            }
        }
    }

    /// The things that have happened and were not taken.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let table = self.get(py)?;
        let events = detach(py, || table.events()).into_iter();
        let told = events.map(|event| self.told(py, &table, event).transpose());
        told.flatten().collect()
    }

    /// The number of events that were dropped because nobody took them.
    fn missed_events(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, blocking::Table::missed_events)
    }

    /// Waits until more has happened than so many things, for no longer than so many seconds; their number. `None` when it
    /// was closed.
    fn wait_for_news(&self, py: Python<'_>, seen: u64, timeout: f64) -> PyResult<Option<u64>> {
        let time = waiting::time(py, timeout)?.unwrap_or(Duration::MAX);
        let Ok(table) = self.get(py) else {
            return Ok(None);
        };
        let news = detach(py, || table.wait_for_news(seen, time));
        waiting::release(self.process, table);
        Ok(Some(news))
    }

    /// Ends the game, and waits until all have been told.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let Ok(table) = self.get(py) else {
            return self.process.check(py);
        };
        waiting::call(py, move || table.end())
    }

    /// Ends all connections at once, if they have not ended.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.process.check(py)?;
        self.let_go();
        Ok(())
    }
}

impl Table {
    /// Drops the table, which ends its connections at once, unless a thread still waits for something of it.
    pub(crate) fn let_go(&self) {
        waiting::release(self.process, self.take());
    }

    /// The call that ends the game, and waits until all have been told. None if it was closed, or in a process that was
    /// forked.
    pub(crate) fn ending(&self) -> Option<Call> {
        if !self.process.is_this() {
            return None;
        }
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let table = inner.clone()?;
        Some(Box::new(move || table.end()))
    }

    fn told<'py>(
        &self,
        py: Python<'py>,
        table: &blocking::Table,
        event: Event,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        // The names do not change, and their lock is held for moments only.
        values::event(py, event, |seat| table.name(seat).to_string())
    }
}
