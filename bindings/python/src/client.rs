//! Connecting, and looking for a server.

use std::time::Duration;

use masep::blocking::Client;
use masep::discovery::{SearchOptions, in_turn, search_blocking};
use masep::{Limits, SocketOptions};
use masep_proto::{Handshake, HelloError};
use pyo3::prelude::*;

use crate::connection::Connection;
use crate::waiting;
use crate::{errors, server};

/// The bounds of a connection, with this many seconds for each phase of its coming about.
fn limits(py: Python<'_>, timeout: Option<f64>) -> PyResult<(Limits, SocketOptions)> {
    let (limits, options) = (Limits::default(), SocketOptions::default());
    match seconds(py, timeout)? {
        Some(time) => Ok((limits.hello_time(time), options.connect_time(time))),
        None => Ok((limits, options)),
    }
}

fn seconds(py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = timeout else {
        return Ok(None);
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(Some(time)),
        _ => Err(errors::caller(
            py,
            format!("a timeout is a number of seconds above 0, not {seconds}"),
        )),
    }
}

/// Whether this can be said in a hello.
pub(crate) fn check_id(py: Python<'_>, id: &str) -> PyResult<()> {
    match Handshake::initiator(id, &Limits::default()) {
        Ok(_handshake) => Ok(()),
        Err(HelloError::Limit(exceeded)) => Err(errors::limit(py, &exceeded)),
        Err(error) => Err(errors::caller(py, format!("the id {id:?}: {error}"))),
    }
}

/// Connects to a server.
#[pyfunction]
#[pyo3(signature = (id, address, timeout=None))]
pub(crate) fn connect(
    py: Python<'_>,
    id: String,
    address: String,
    timeout: Option<f64>,
) -> PyResult<Connection> {
    check_id(py, &id)?;
    let (limits, options) = limits(py, timeout)?;
    let client: Result<Client, _> = waiting::call(py, move || {
        Client::builder(id)
            .limits(limits)
            .socket_options(options)
            .connect(address)
    })?;
    let client = client.map_err(|error| errors::connect(py, &error))?;
    Ok(Connection::of(client))
}

/// Searches the LAN for this many seconds, and connects to the first of the servers found that says
/// hello.
#[pyfunction]
pub(crate) fn connect_found(py: Python<'_>, id: String, timeout: f64) -> PyResult<Connection> {
    check_id(py, &id)?;
    let time = seconds(py, Some(timeout))?.unwrap_or_default();
    let options = SearchOptions::default().timeout(time);
    let client: Result<Client, _> =
        waiting::call(py, move || Client::builder(id).discover(&options))?;
    let client = client.map_err(|error| errors::connect(py, &error))?;
    Ok(Connection::of(client))
}

/// The addresses of the servers that answer the search within this many seconds, in the order in
/// which to try them.
#[pyfunction]
#[pyo3(signature = (timeout, first_only=false))]
pub(crate) fn discover(
    py: Python<'_>,
    timeout: f64,
    first_only: bool,
) -> PyResult<Vec<(String, u16)>> {
    let mut options = SearchOptions::default().first_only(first_only);
    if let Some(time) = seconds(py, Some(timeout))? {
        options = options.timeout(time);
    }
    let report = waiting::call(py, move || search_blocking(&options))?;
    let report = report.map_err(|error| errors::transport(py, error.to_string(), "io"))?;
    let found = in_turn(&report.found).into_iter();
    Ok(found.map(server::host_and_port).collect())
}
