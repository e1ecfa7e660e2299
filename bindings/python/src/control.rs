//! The control messages of protocol 2, as objects of `masep._control`.

use std::time::Duration;

use masep::{Bye, Hello, Notice, PeerLimits, Welcome};
use masep_proto::Value;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::from_python::Others;
use crate::place::Place;
use crate::{errors, message, to_python};

fn make<'py>(
    py: Python<'py>,
    class: &str,
    fields: Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "masep._control"))?
        .getattr(class)?
        .call((), Some(&fields))
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

/// Checks a reason for programs, which compare it: it goes over the wire as it is, or not at all.
pub(crate) fn check_code(py: Python<'_>, code: &str) -> PyResult<()> {
    if *Bye::new(code, "").code == *code {
        return Ok(());
    }
    let text = format!(
        "a code has at most 64 bytes, all of them of printable characters; this has {}: {}",
        code.len(),
        message::quoted(code),
    );
    Err(errors::caller(py, text))
}

/// `masep.Hello`.
pub(crate) fn hello<'py>(py: Python<'py>, hello: Hello) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    let features = hello.features.iter().map(|feature| &**feature);
    fields.set_item("id", hello.id.as_str())?;
    fields.set_item("features", PyTuple::new(py, features)?)?;
    fields.set_item("agent", &*hello.agent)?;
    fields.set_item("role", hello.role.as_deref())?;
    fields.set_item("game", hello.game.as_deref())?;
    fields.set_item("table", hello.table.as_deref())?;
    fields.set_item("seat", hello.seat.as_deref())?;
    fields.set_item("token", hello.token.as_ref().map(|token| token.reveal()))?;
    fields.set_item("resume", hello.resume.as_deref())?;
    fields.set_item("profile", hello.profile.as_deref())?;
    fields.set_item("make", dict(py, hello.make)?)?;
    make(py, "Hello", fields)
}

/// `masep.Welcome`.
pub(crate) fn welcome<'py>(py: Python<'py>, welcome: Welcome) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    let features = welcome.features.iter().map(|feature| &**feature);
    fields.set_item("features", PyTuple::new(py, features)?)?;
    fields.set_item("instance", welcome.instance.as_deref())?;
    fields.set_item("seat", welcome.seat.as_deref())?;
    fields.set_item("resume", welcome.resume.as_deref())?;
    fields.set_item("epoch", welcome.epoch)?;
    fields.set_item("last", dict(py, welcome.last)?)?;
    fields.set_item("grace", welcome.grace_ms.map(seconds))?;
    fields.set_item("game", welcome.game.as_deref())?;
    fields.set_item("seats", welcome.seats)?;
    fields.set_item("free", welcome.free)?;
    fields.set_item("profile", welcome.profile.as_deref())?;
    let heartbeat = (welcome.heartbeat_ms > 0).then(|| seconds(welcome.heartbeat_ms));
    fields.set_item("heartbeat", heartbeat)?;
    make(py, "Welcome", fields)
}

/// `masep.PeerLimits`.
pub(crate) fn peer_limits<'py>(py: Python<'py>, limits: PeerLimits) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("protocol", limits.protocol.number())?;
    fields.set_item("frame_bytes", limits.frame_bytes)?;
    make(py, "PeerLimits", fields)
}

/// `masep.Bye`.
pub(crate) fn bye<'py>(py: Python<'py>, bye: &Bye) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("code", &*bye.code)?;
    fields.set_item("text", &*bye.text)?;
    fields.set_item("may_return", bye.may_return)?;
    make(py, "Bye", fields)
}

/// `masep.Notice`.
pub(crate) fn notice<'py>(py: Python<'py>, notice: Notice) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("code", &*notice.code)?;
    fields.set_item("text", &*notice.text)?;
    fields.set_item("about", dict(py, notice.about)?)?;
    make(py, "Notice", fields)
}

/// A map as a dict.
pub(crate) fn dict<'py>(
    py: Python<'py>,
    dict: Option<masep_proto::Dict>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    dict.map(|dict| to_python::value(py, dict.into(), None))
        .transpose()
}

/// The subject of a notice.
pub(crate) fn about(about: &Bound<'_, PyAny>) -> PyResult<masep_proto::Dict> {
    dict_of("about", about)
}

/// The map of an argument of this name.
pub(crate) fn dict_of(name: &str, object: &Bound<'_, PyAny>) -> PyResult<masep_proto::Dict> {
    match Others::Strict.value(object, &Place::PARAMS)? {
        Value::Dict(dict) => Ok(dict),
        _ => {
            let text = format!(
                "{name} is a dict or None, not {}",
                object.get_type().name()?
            );
            Err(errors::caller(object.py(), text))
        }
    }
}
