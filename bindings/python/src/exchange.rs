//! Numbered requests and their answers, for `masep.gymnasium`: those of a step in one call on each side, without a dict
//! of Python on the way.

use std::time::{Duration, Instant};

use masep::Message;
use masep_proto::{Dict, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::connection::{Asking, Connection, Incoming};
use crate::from_python::{Others, text};
use crate::place::Place;
use crate::{array, errors, frames, to_python, waiting};

/// The time for which a read waits. A wait of the main thread is a little longer, see `waiting`.
const READ_TIME: Duration = Duration::from_millis(40);

/// The type of the request and the answer that are read and written without a dict.
const STEP: &str = "step";

/// The key of the number of a request in its parameters, and in those of its answer.
const REQUEST: &str = "request";

/// Sends a request of this number, which its parameters have, and waits for the message with the same number. Those of
/// other numbers are thrown away: they answer requests that somebody has stopped to wait for. None when the
/// connection has ended.
#[pyfunction]
#[pyo3(signature = (connection, msg_type, params, src_sub_app_id, request, timeout=None))]
pub(crate) fn ask<'py>(
    py: Python<'py>,
    connection: &Connection,
    msg_type: &Bound<'py, PyString>,
    params: &Bound<'py, PyAny>,
    src_sub_app_id: &Bound<'py, PyString>,
    request: i64,
    timeout: Option<f64>,
) -> PyResult<Option<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
    let asking = connection.ask(py)?;
    connection.send_message(py, msg_type, params, src_sub_app_id, None)?;
    answered(py, connection, &asking, request, timeout)
}

/// Waits for the message with this number, as [`ask`] does.
#[pyfunction]
#[pyo3(signature = (connection, request, timeout=None))]
pub(crate) fn answer<'py>(
    py: Python<'py>,
    connection: &Connection,
    request: i64,
    timeout: Option<f64>,
) -> PyResult<Option<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
    let asking = connection.ask(py)?;
    answered(py, connection, &asking, request, timeout)
}

fn answered<'py>(
    py: Python<'py>,
    connection: &Connection,
    asking: &Asking<'_>,
    request: i64,
    timeout: Option<f64>,
) -> PyResult<Option<Other<'py>>> {
    let until = waiting::deadline(py, timeout)?;
    let incoming = numbered(py, connection, asking, request, until)?;
    let incoming = incoming.map(|incoming| incoming.decoded().into_parts(py));
    incoming.transpose()
}

fn numbered(
    py: Python<'_>,
    connection: &Connection,
    _asking: &Asking<'_>,
    request: i64,
    until: Option<Instant>,
) -> PyResult<Option<Incoming>> {
    loop {
        let Some(incoming) = connection.receive_message(py, until)? else {
            return Ok(None);
        };
        if number(&incoming) == Some(request) {
            return Ok(Some(incoming));
        }
    }
}

fn number(incoming: &Incoming) -> Option<i64> {
    incoming.message.param(REQUEST)?.as_i64()
}

fn is_step(incoming: &Incoming) -> bool {
    incoming.message.msg_type.as_str() == STEP
}

/// Has the calls that wait for messages on this connection make as few calls of the system as possible.
#[pyfunction]
pub(crate) fn wait_in_reads(py: Python<'_>, connection: &Connection) -> PyResult<()> {
    Ok(connection.inner(py)?.wait_in_reads(READ_TIME)?)
}

/// Sends the request of a step.
#[pyfunction]
pub(crate) fn send_step(
    py: Python<'_>,
    connection: &Connection,
    action: &Bound<'_, PyAny>,
    src_sub_app_id: &Bound<'_, PyString>,
    request: i64,
) -> PyResult<()> {
    let mut params = Dict::with_capacity(2);
    params.insert(REQUEST, Value::from(request));
    put(&mut params, intern!(py, "action"), action)?;
    send(py, connection, params, src_sub_app_id)
}

/// Puts an object of Python under a key of parameters.
fn put(params: &mut Dict, key: &Bound<'_, PyString>, object: &Bound<'_, PyAny>) -> PyResult<()> {
    let value = Others::Strict.value(object, &Place::PARAMS.key(key))?;
    params.insert(text(key)?, value);
    Ok(())
}

fn send(
    py: Python<'_>,
    connection: &Connection,
    params: Dict,
    src_sub_app_id: &Bound<'_, PyString>,
) -> PyResult<()> {
    connection.send_value(py, &Message::new(STEP, params, text(src_sub_app_id)?))
}

/// The parts of the answer to a step: observation, reward, whether it is terminated, and truncated, info, and a dict of what
/// else there is, or none.
type Stepped<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyDict>>,
);

/// The answer to a request that is no step, as [`ask`] gives it.
type Other<'py> = (Bound<'py, PyString>, Bound<'py, PyAny>);

/// Waits for the answer to a step: its parts, or else another answer.
#[pyfunction]
#[pyo3(signature = (connection, request, timeout=None))]
pub(crate) fn stepped<'py>(
    py: Python<'py>,
    connection: &Connection,
    request: i64,
    timeout: Option<f64>,
) -> PyResult<(Option<Stepped<'py>>, Option<Other<'py>>)> {
    let asking = connection.ask(py)?;
    step_answered(py, connection, &asking, request, timeout)
}

fn step_answered<'py>(
    py: Python<'py>,
    connection: &Connection,
    asking: &Asking<'_>,
    request: i64,
    timeout: Option<f64>,
) -> PyResult<(Option<Stepped<'py>>, Option<Other<'py>>)> {
    let until = waiting::deadline(py, timeout)?;
    match numbered(py, connection, asking, request, until)? {
        Some(incoming) if is_step(&incoming) => Ok((Some(parts(py, incoming)?), None)),
        Some(incoming) => Ok((None, Some(incoming.decoded().into_parts(py)?))),
        None => Ok((None, None)),
    }
}

/// [`send_step`] and [`stepped`].
#[pyfunction]
#[pyo3(signature = (connection, action, src_sub_app_id, request, timeout=None))]
pub(crate) fn step<'py>(
    py: Python<'py>,
    connection: &Connection,
    action: &Bound<'_, PyAny>,
    src_sub_app_id: &Bound<'_, PyString>,
    request: i64,
    timeout: Option<f64>,
) -> PyResult<(Option<Stepped<'py>>, Option<Other<'py>>)> {
    let asking = connection.ask(py)?;
    send_step(py, connection, action, src_sub_app_id, request)?;
    step_answered(py, connection, &asking, request, timeout)
}

fn parts(py: Python<'_>, incoming: Incoming) -> PyResult<Stepped<'_>> {
    const KEYS: [&str; 5] = ["observation", "reward", "terminated", "truncated", "info"];
    let Incoming {
        message,
        size,
        memory,
    } = incoming;
    let Message {
        msg_type,
        mut params,
        src_sub_app,
    } = message;
    drop((msg_type, src_sub_app));
    let is_array = matches!(params.get("observation"), Some(Value::Array(_)));
    // An observation that is an array is taken last: all else of its frame is gone then, whose memory it gets.
    let (mut array, others) = (None, memory.as_ref().filter(|_| !is_array));
    if others.is_some() && frames::has_array(&params, size / 2) {
        params = frames::apart(params, size / 2);
    }
    let mut found = [const { None }; KEYS.len()];
    let mut rest = None;
    if let Value::Dict(params) = params {
        for (key, value) in params {
            let at = KEYS.iter().position(|known| *known == &*key);
            match (at, value) {
                (Some(0), Value::Array(observation)) => array = Some(observation),
                (Some(at), value) => found[at] = Some(to_python::value(py, value, others)?),
                (None, _) if &*key == REQUEST => {}
                (None, value) => rest
                    .get_or_insert_with(|| PyDict::new(py))
                    .set_item(&*key, to_python::value(py, value, others)?)?,
            }
        }
    }
    if let Some(observation) = array {
        found[0] = Some(array::to_python(py, *observation, memory.as_ref())?);
    }
    match found {
        [
            Some(observation),
            Some(reward),
            Some(terminated),
            Some(truncated),
            Some(info),
        ] => Ok((observation, reward, terminated, truncated, info, rest)),
        _ => {
            let text = format!("the answer to a step has not all of {}", KEYS.join(", "));
            Err(errors::profile(py, text))
        }
    }
}

/// A request: its type, its number, and an action or parameters.
type Request<'py> = (Bound<'py, PyString>, Option<i64>, Bound<'py, PyAny>);

/// The next request of a client: its type, its number, and the action of a step, or the parameters of another one. None
/// when the connection has ended.
#[pyfunction]
pub(crate) fn next_request<'py>(
    py: Python<'py>,
    connection: &Connection,
) -> PyResult<Option<Request<'py>>> {
    let Some(mut incoming) = connection.receive_message(py, None)? else {
        return Ok(None);
    };
    let number = number(&incoming);
    if !is_step(&incoming) {
        let (kind, params) = incoming.decoded().into_parts(py)?;
        return Ok(Some((kind, number, params)));
    }
    let action = match &mut incoming.message.params {
        Value::Dict(params) => params.remove("action"),
        _ => None,
    };
    let Some(action) = action else {
        return Err(errors::profile(py, "a step has no action"));
    };
    let memory = incoming.memory.clone();
    drop(incoming);
    let action = to_python::value(py, action, memory.as_ref())?;
    Ok(Some((intern!(py, "step").clone(), number, action)))
}

/// Sends the answer to a step.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the parts of an answer")]
pub(crate) fn answer_step(
    py: Python<'_>,
    connection: &Connection,
    src_sub_app_id: &Bound<'_, PyString>,
    request: i64,
    observation: &Bound<'_, PyAny>,
    reward: f64,
    terminated: bool,
    truncated: bool,
    info: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let mut params = Dict::with_capacity(6);
    params.insert(REQUEST, Value::from(request));
    put(&mut params, intern!(py, "observation"), observation)?;
    params.insert("reward", Value::Float(reward));
    params.insert("terminated", Value::Bool(terminated));
    params.insert("truncated", Value::Bool(truncated));
    put(&mut params, intern!(py, "info"), info)?;
    send(py, connection, params, src_sub_app_id)
}
