//! Numbered requests and their answers, which `masep.gymnasium` has for each step of an environment: in one call.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::connection::Connection;
use crate::waiting;

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
    connection.send_message(py, msg_type, params, src_sub_app_id, None)?;
    answer(py, connection, request, timeout)
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
    let until = waiting::deadline(py, timeout)?;
    loop {
        let Some(decoded) = connection.receive_message(py, until)? else {
            return Ok(None);
        };
        if decoded.number(py, REQUEST)? == Some(request) {
            return decoded.into_parts(py).map(Some);
        }
    }
}
