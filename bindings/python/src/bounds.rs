//! Bounds and options as they are given in Python: objects of `masep._limits`, and words.

use std::time::Duration;

use masep::{Duplicates, Limits, Protocols, ServerLimits, SocketOptions, WhenFull};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use crate::errors;

/// `masep.Limits`, by its attributes. Times are seconds.
#[derive(FromPyObject)]
struct GivenLimits {
    frame_bytes: usize,
    payload_bytes: Option<u32>,
    message_bytes: usize,
    depth: usize,
    nodes: usize,
    text_bytes: usize,
    int_digits: usize,
    id_bytes: usize,
    hello_time: f64,
    idle_time: Option<f64>,
    heartbeat: Option<f64>,
    write_time: f64,
    queue_messages: usize,
    queue_bytes: usize,
    messages_per_second: Option<u32>,
    bytes_per_second: Option<u64>,
    rate_time: f64,
}

/// `masep.ServerLimits`.
#[derive(FromPyObject)]
struct GivenServerLimits {
    connections: usize,
    connections_per_address: Option<usize>,
    decision_time: f64,
    incoming_bytes: usize,
    answers_per_second: u32,
}

/// `masep.SocketOptions`.
#[derive(FromPyObject)]
struct GivenSocketOptions {
    connect_time: f64,
    keepalive_time: Option<f64>,
    busy_poll: f64,
}

/// Options by the attributes of an object, which has this name, if any that a caller knows; what is wrong with them is the
/// caller's fault.
pub(crate) fn given<'py, T>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    object.extract().map_err(|error: PyErr| {
        let py = object.py();
        let Some(cause) = error.cause(py) else {
            let kind = object.get_type();
            return match class_of(name) {
                Some(class) => errors::caller(py, format!("{name} is a masep.{class}, not {kind}")),
                None => errors::caller(py, format!("{name}: {}", error.value(py))),
            };
        };
        // "failed to extract field GivenLimits.depth"
        let text = error.value(py).to_string();
        let field = text.rsplit('.').next().unwrap_or_default();
        let at = match name {
            "" => field.to_owned(),
            name => format!("{name}.{field}"),
        };
        if !cause.is_instance_of::<PyOverflowError>(py) {
            return errors::caller(py, format!("{at}: {}", cause.value(py)));
        }
        let is_negative = |given: &Bound<'_, PyAny>| given.lt(0).unwrap_or_default();
        let fault = match object.getattr(field) {
            Ok(given) if is_negative(&given) => format!("from 0 on, not {given}"),
            Ok(given) => format!("that is not so large as {given}"),
            Err(_) => "that is not so large".to_owned(),
        };
        errors::caller(py, format!("{at} is a whole number {fault}"))
    })
}

/// The class of options that have this name.
fn class_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "limits" => "Limits",
        "server_limits" => "ServerLimits",
        "socket_options" => "SocketOptions",
        _ => return None,
    })
}

/// A time that may be without end.
pub(crate) fn endless(py: Python<'_>, name: &str, time: Option<f64>) -> PyResult<Option<Duration>> {
    if time == Some(f64::INFINITY) {
        let text = format!("{name} is a number of seconds from 0 on, or None for no end, not inf");
        return Err(errors::caller(py, text));
    }
    time.map(|time| seconds(py, name, time)).transpose()
}

pub(crate) fn seconds(py: Python<'_>, name: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        errors::caller(
            py,
            format!("{name} is a number of seconds from 0 on, not {seconds}"),
        )
    })
}

/// The bounds of messages and connections.
pub(crate) fn limits(object: Option<&Bound<'_, PyAny>>) -> PyResult<Limits> {
    let Some(object) = object else {
        return Ok(Limits::default());
    };
    let py = object.py();
    let it: GivenLimits = given(object, "limits")?;
    Ok(Limits::default()
        .frame_bytes(it.frame_bytes)
        .payload_bytes(it.payload_bytes)
        .message_bytes(it.message_bytes)
        .depth(it.depth)
        .nodes(it.nodes)
        .text_bytes(it.text_bytes)
        .int_digits(it.int_digits)
        .id_bytes(it.id_bytes)
        .hello_time(seconds(py, "hello_time", it.hello_time)?)
        .idle_time(endless(py, "idle_time", it.idle_time)?)
        .heartbeat(endless(py, "heartbeat", it.heartbeat)?)
        .write_time(seconds(py, "write_time", it.write_time)?)
        .queue_messages(it.queue_messages)
        .queue_bytes(it.queue_bytes)
        .messages_per_second(it.messages_per_second)
        .bytes_per_second(it.bytes_per_second)
        .rate_time(seconds(py, "rate_time", it.rate_time)?))
}

/// The part of the bounds of a connection that its Python object heeds itself.
#[derive(Clone, Copy)]
pub(crate) struct Heeded {
    /// True if a message within the default bounds may be over those of the connection.
    pub(crate) checks: bool,
}

impl Heeded {
    pub(crate) fn of(limits: &Limits) -> Self {
        let default = Limits::default();
        let checks = limits.message_bytes < default.message_bytes
            || limits.depth < default.depth
            || limits.nodes < default.nodes
            || limits.text_bytes < default.text_bytes
            || limits.int_digits < default.int_digits;
        Self { checks }
    }
}

/// The bounds of a server.
pub(crate) fn server_limits(object: Option<&Bound<'_, PyAny>>) -> PyResult<ServerLimits> {
    let Some(object) = object else {
        return Ok(ServerLimits::default());
    };
    let py = object.py();
    let it: GivenServerLimits = given(object, "server_limits")?;
    Ok(ServerLimits::default()
        .connections(it.connections)
        .connections_per_address(it.connections_per_address)
        .decision_time(seconds(py, "decision_time", it.decision_time)?)
        .incoming_bytes(it.incoming_bytes)
        .answers_per_second(it.answers_per_second))
}

/// Options of sockets.
pub(crate) fn socket_options(object: Option<&Bound<'_, PyAny>>) -> PyResult<SocketOptions> {
    let Some(object) = object else {
        return Ok(SocketOptions::default());
    };
    let py = object.py();
    let it: GivenSocketOptions = given(object, "socket_options")?;
    Ok(SocketOptions::default()
        .connect_time(seconds(py, "connect_time", it.connect_time)?)
        .keepalive_time(endless(py, "keepalive_time", it.keepalive_time)?)
        .busy_poll(seconds(py, "busy_poll", it.busy_poll)?))
}

/// The number of a generation of the protocol. One that is no `u16` is an error of `masep`, as another one is.
#[derive(Clone, Copy)]
pub(crate) struct Generation(u16);

impl<'py> FromPyObject<'_, 'py> for Generation {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        object.extract().map(Self).map_err(|error: PyErr| {
            if error.is_instance_of::<PyOverflowError>(py) {
                no_generation(py, &object.to_string())
            } else {
                error
            }
        })
    }
}

fn no_generation(py: Python<'_>, given: &str) -> PyErr {
    let text = format!("protocol is 1, 2, or None for both, not {given}");
    errors::caller(py, text)
}

/// The generations of the protocol that are spoken: all, or one, unless the address says another.
pub(crate) fn protocols(
    py: Python<'_>,
    given: Option<Generation>,
    address: &str,
    by_address: Option<Protocols>,
) -> PyResult<Protocols> {
    let Some(Generation(given)) = given else {
        return Ok(by_address.unwrap_or(Protocols::Both));
    };
    let protocols = match given {
        1 => Protocols::Pymasep,
        2 => Protocols::Masep2,
        other => return Err(no_generation(py, &other.to_string())),
    };
    match by_address {
        Some(other) if other != protocols && other != Protocols::Both => {
            let text = format!("protocol is {given}, and the address {address:?} wants the other");
            Err(errors::caller(py, text))
        }
        _ => Ok(protocols),
    }
}

/// The policy for a queue that is full.
pub(crate) fn when_full(py: Python<'_>, name: &str) -> PyResult<WhenFull> {
    match name {
        "wait" => Ok(WhenFull::Wait),
        "newest" => Ok(WhenFull::NewestWins),
        "disconnect" => Ok(WhenFull::Disconnect),
        _ => Err(errors::caller(
            py,
            format!("when_full is \"wait\", \"newest\" or \"disconnect\", not {name:?}"),
        )),
    }
}

/// The rule for a hello whose id is in use.
pub(crate) fn duplicates(py: Python<'_>, name: &str) -> PyResult<Duplicates> {
    match name {
        "refuse" => Ok(Duplicates::Refuse),
        "replace" => Ok(Duplicates::Replace),
        _ => Err(errors::caller(
            py,
            format!("duplicates is \"refuse\" or \"replace\", not {name:?}"),
        )),
    }
}
