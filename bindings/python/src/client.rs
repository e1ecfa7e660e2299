//! Connecting, and looking for a server.

use std::time::Duration;

use masep::blocking::Client;
use masep::discovery::{SearchOptions, SearchReport, in_turn, search_blocking};
use masep::{IntoTarget, Limits, Protocols, Target};
use masep_proto::HelloError;
use masep_proto::connection::Config;
use pyo3::prelude::*;

use crate::access::{Way, with_credentials};
use crate::bounds::Heeded;
use crate::connection::Connection;
use crate::waiting;
use crate::{bounds, control, errors, server, tls};

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

/// Checks that this can be said in a hello.
pub(crate) fn check_id(py: Python<'_>, id: &str) -> PyResult<()> {
    match Config::new(id, Limits::default()) {
        Ok(_config) => Ok(()),
        Err(HelloError::Limit(exceeded)) => Err(errors::limit(py, &exceeded)),
        Err(error) => Err(errors::caller(py, format!("the id {id:?}: {error}"))),
    }
}

/// Connects to a server. With `timeout`, each phase has this many seconds, whatever limits and options say. `protocol` is 1
/// or 2, or none for what the address says, or both.
#[pyfunction]
#[pyo3(signature = (
    id, address, timeout=None, when_full="wait", limits=None, socket_options=None, protocol=None,
    profile=None, make=None, trust=None, token=None,
))]
#[expect(clippy::too_many_arguments, reason = "the options of a client")]
pub(crate) fn connect(
    py: Python<'_>,
    id: String,
    address: String,
    timeout: Option<f64>,
    when_full: &str,
    limits: Option<&Bound<'_, PyAny>>,
    socket_options: Option<&Bound<'_, PyAny>>,
    protocol: Option<bounds::Generation>,
    profile: Option<String>,
    make: Option<&Bound<'_, PyAny>>,
    trust: Option<tls::Trust>,
    token: Option<String>,
) -> PyResult<Connection> {
    check_id(py, &id)?;
    let way = Way::new(py, &address, token, protocol)?;
    let when_full = bounds::when_full(py, when_full)?;
    let mut limits = bounds::limits(limits)?;
    let mut options = bounds::socket_options(socket_options)?;
    if let Some(time) = seconds(py, timeout)? {
        limits = limits.hello_time(time);
        options = options.connect_time(time);
    }
    let heeded = Heeded::of(&limits);
    let mut client = Client::builder(id)
        .protocols(way.protocols)
        .limits(limits)
        .when_full(when_full)
        .socket_options(options);
    client = with_credentials!(way, client);
    if let Some(profile) = profile {
        client = client.profile(&profile);
    }
    if let Some(make) = make {
        client = client.make(control::dict_of("make", make)?);
    }
    if let Some(tls) = tls::client(trust) {
        client = client.tls(tls);
    }
    let client: Result<Client, _> = waiting::call(py, move || client.connect(way.target))?;
    let client = client.map_err(|error| errors::connect(py, &error))?;
    Ok(Connection::new(client.connection().clone(), heeded))
}

/// The target that text says.
pub(crate) fn target(py: Python<'_>, address: &str) -> PyResult<Target> {
    let target = address.into_target();
    target.map_err(|error| errors::caller(py, error.to_string()))
}

/// Searches the LAN for this many seconds, and connects to the first of the servers found that says
/// hello, in pymasep's protocol.
#[pyfunction]
pub(crate) fn connect_found(py: Python<'_>, id: String, timeout: f64) -> PyResult<Connection> {
    check_id(py, &id)?;
    let time = seconds(py, Some(timeout))?.unwrap_or_default();
    let options = SearchOptions::default().timeout(time);
    let client: Result<Client, _> = waiting::call(py, move || {
        Client::builder(id)
            .protocols(Protocols::Pymasep)
            .discover(&options)
    })?;
    let client = client.map_err(|error| errors::connect(py, &error))?;
    Ok(Connection::new(
        client.connection().clone(),
        Heeded::of(&Limits::default()),
    ))
}

/// A server of a search: host and port, and id, game, seats and free seats by its own word.
type FoundServer = (
    (String, u16),
    Option<String>,
    Option<String>,
    Option<u64>,
    Option<u64>,
);

/// As `discover`, with what the servers say of themselves.
#[pyfunction]
pub(crate) fn search(py: Python<'_>, timeout: f64) -> PyResult<Vec<FoundServer>> {
    let report = run_search(py, timeout, false)?;
    let describe = |address| {
        let told = report
            .descriptions
            .get(&address)
            .cloned()
            .unwrap_or_default();
        let place = server::host_and_port(address);
        (place, told.id, told.game, told.seats, told.free)
    };
    Ok(in_turn(&report.found).into_iter().map(describe).collect())
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
    let report = run_search(py, timeout, first_only)?;
    let found = in_turn(&report.found).into_iter();
    Ok(found.map(server::host_and_port).collect())
}

fn run_search(py: Python<'_>, timeout: f64, first_only: bool) -> PyResult<SearchReport> {
    let mut options = SearchOptions::default().first_only(first_only);
    if let Some(time) = seconds(py, Some(timeout))? {
        options = options.timeout(time);
    }
    let report = waiting::call(py, move || search_blocking(&options))?;
    report.map_err(|error| errors::transport(py, error.to_string(), "io"))
}
