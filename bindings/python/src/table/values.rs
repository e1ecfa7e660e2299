//! Views, moves and events between Python and a table.

use std::cell::RefCell;
use std::panic::resume_unwind;

use masep::table::{Event, How, Move, Seat, SeatState, TableError, View};
use masep_proto::{Dict, PeerId, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple};

use crate::exit::attach;
use crate::from_python::Others;
use crate::place::Place;
use crate::{errors, frames, to_python};

thread_local! {
    /// The exception of a function of the host. It is raised by the call in which it was made, in the same thread.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Calls a function of the host without the GIL. Its exception goes through the table as a panic, of which nothing is
/// printed.
pub(super) fn call_host<T>(call: impl FnOnce(Python<'_>) -> PyResult<T>) -> T {
    attach(call).unwrap_or_else(|raised| {
        RAISED.set(Some(raised));
        resume_unwind(Box::new("an exception"))
    })
}

/// The exception for an error of a table.
pub(crate) fn error(py: Python<'_>, error: &TableError) -> PyErr {
    match error {
        TableError::Panicked(_) => {
            let raised = RAISED.take();
            raised.unwrap_or_else(|| errors::transport(py, error.to_string(), "aborted"))
        }
        TableError::Over => errors::transport(py, error.to_string(), "over"),
        other => errors::caller(py, other.to_string()),
    }
}

/// A value of Python's that is kept: arrays are copied.
pub(crate) fn kept(object: &Bound<'_, PyAny>, name: &'static str) -> PyResult<Value> {
    let value = Others::Strict.value(object, &Place::named(name))?;
    Ok(match frames::has_array(&value, 0) {
        true => frames::apart(value, usize::MAX),
        false => value,
    })
}

/// The view that a function of the host gave: `masep.View`, or an observation alone.
pub(super) fn view(object: &Bound<'_, PyAny>) -> PyResult<View> {
    let py = object.py();
    let class = py
        .import(intern!(py, "masep._table"))?
        .getattr(intern!(py, "View"))?;
    if !object.is_instance(&class)? {
        return Ok(View::new(kept(object, "view")?));
    }
    let observation = kept(&object.getattr(intern!(py, "observation"))?, "observation")?;
    let information = kept(&object.getattr(intern!(py, "information"))?, "information")?;
    match information {
        Value::Dict(information) => Ok(View {
            observation,
            information,
        }),
        _ => Err(errors::caller(py, "information is a dict")),
    }
}

/// `masep.Seat`.
pub(super) fn seat<'py>(py: Python<'py>, seat: &Seat) -> PyResult<Bound<'py, PyAny>> {
    let state = match seat.state() {
        SeatState::Open => "open",
        SeatState::Present => "present",
        SeatState::Asleep => "asleep",
        SeatState::Away => "away",
        SeatState::Gone => "gone",
        SeatState::Closed => "closed",
    };
    let player = seat.player().map(|player| player.as_str());
    py.import(intern!(py, "masep._table"))?
        .getattr(intern!(py, "Seat"))?
        .call1((
            seat.name(),
            player,
            state,
            seat.index(),
            seat.has_pymaseps_player(),
        ))
}

/// The words for the way in which a turn was decided.
pub(crate) fn how(how: How) -> (&'static str, Option<&'static str>) {
    (how.as_str(), how.cause().map(|cause| cause.as_str()))
}

/// `masep.Move`. An action that is no value in Python is none: no player can make a call of the host fail.
pub(super) fn made_move<'py>(py: Python<'py>, made: Move) -> PyResult<Bound<'py, PyAny>> {
    let (turn, index, seat) = (made.turn(), made.index(), made.seat().to_owned());
    let (how, mut why) = how(made.how());
    let action = match made.into_action().map(|action| inert(py, action)) {
        Some(Ok(action)) => Some(action),
        Some(Err(_)) => {
            why = Some("unreadable");
            None
        }
        None => None,
    };
    py.import(intern!(py, "masep._table"))?
        .getattr(intern!(py, "Move"))?
        .call1((seat, action, how, why, turn, index))
}

/// A value as an object of Python. Names of classes stay names, so that nothing has to be imported.
pub(crate) fn inert(py: Python<'_>, value: Value) -> PyResult<Bound<'_, PyAny>> {
    if !to_python::names_a_class(&value) {
        return to_python::value(py, value, None);
    }
    let items = |items: Vec<Value>| -> PyResult<Vec<_>> {
        items.into_iter().map(|item| inert(py, item)).collect()
    };
    match value {
        Value::Type(name) => py
            .import(intern!(py, "masep._types"))?
            .getattr(intern!(py, "TypeName"))?
            .call1((name.as_str(),)),
        Value::List(list) => Ok(PyList::new(py, items(list)?)?.into_any()),
        Value::Tuple(tuple) => Ok(PyTuple::new(py, items(tuple)?)?.into_any()),
        Value::Set(set) => Ok(PySet::new(py, items(set)?)?.into_any()),
        Value::Dict(dict) => Ok(inert_dict(py, dict)?.into_any()),
        other => to_python::value(py, other, None),
    }
}

/// A dict as one of Python, as [`inert`].
pub(crate) fn inert_dict(py: Python<'_>, dict: Dict) -> PyResult<Bound<'_, PyDict>> {
    let result = PyDict::new(py);
    for (key, item) in dict {
        result.set_item(PyString::new(py, &key), inert(py, item)?)?;
    }
    Ok(result)
}

/// `masep.TableEvent`; `None` for one that this package does not know.
pub(super) fn event<'py>(
    py: Python<'py>,
    event: Event,
    name: impl Fn(masep::table::SeatId) -> String,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let of = |kind: &'static str, seat| (kind, Some(name(seat)), None, None, None);
    let with_id = |kind: &'static str, seat, id: PeerId| {
        let id = Some(id.as_str().to_owned());
        (kind, Some(name(seat)), id, None, None)
    };
    let (kind, seat, id, code, spectators) = match event {
        Event::Seated { seat, id } => with_id("seated", seat, id),
        Event::Filled => ("filled", None, None, None, None),
        Event::Away(seat) => of("away", seat),
        Event::Back { seat, id } => with_id("back", seat, id),
        Event::Asleep(seat) => of("asleep", seat),
        Event::Awake(seat) => of("awake", seat),
        Event::Gone(seat) => of("gone", seat),
        Event::Vacant(seat) => of("vacant", seat),
        Event::Emptied => ("emptied", None, None, None, None),
        Event::Spectators(count) => ("spectators", None, None, None, Some(count)),
        Event::Ignored { seat, code } => {
            ("ignored", seat.map(name), None, Some(code.as_str()), None)
        }
        Event::Rejected { id, code } => {
            let id = Some(id.as_str().to_owned());
            ("rejected", None, id, Some(code.as_str()), None)
        }
        Event::StepNotRising(seat) => of("step_not_rising", seat),
        Event::Ended => ("ended", None, None, None, None),
        _ => return Ok(None),
    };
    let class = py
        .import(intern!(py, "masep._table"))?
        .getattr(intern!(py, "TableEvent"))?;
    Ok(Some(class.call1((kind, seat, id, code, spectators))?))
}
