//! Errors of the crates as the exceptions of `masep`.

use std::error::Error;
use std::io;
use std::time::Duration;

use masep::tls::{CertificateFault, TlsFault};
use masep::{
    CloseReason, ConnectError, ConnectErrorKind, ConnectPhase, ProfileError, Rejected, SendError,
    TlsError, Undelivered,
};
use masep_proto::{DecodeError, DecodeErrorKind, EncodeError, HelloError, LimitExceeded};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::exit;
use crate::place::Place;

/// The classes are written in Python, where they can have two bases.
fn exception<'py>(py: Python<'py>, name: &str, args: impl PyCallArgs<'py>) -> PyErr {
    let raised = exit::running(py, || {
        let class = py.import("masep._exceptions")?.getattr(name)?;
        class.call1(args)
    });
    raised.map_or_else(|error| error, PyErr::from_value)
}

/// The caller handed over something that cannot be sent.
pub(crate) fn caller(py: Python<'_>, text: impl Into<String>) -> PyErr {
    exception(py, "CallerError", (text.into(),))
}

/// A bound was reached.
pub(crate) fn limit(py: Python<'_>, limit: &LimitExceeded) -> PyErr {
    limit_of(py, limit.to_string(), limit)
}

/// A bound was reached by the value at this place.
pub(crate) fn limit_at(py: Python<'_>, at: &Place<'_, '_>, limit: &LimitExceeded) -> PyErr {
    limit_of(py, format!("{at}: {limit}"), limit)
}

/// A bound was reached, with these words.
fn limit_of(py: Python<'_>, text: String, limit: &LimitExceeded) -> PyErr {
    let args = (text, limit.limit.as_str(), limit.actual, limit.allowed);
    exception(py, "LimitError", args)
}

/// The bytes that arrived are no message.
pub(crate) fn decode(py: Python<'_>, error: &DecodeError) -> PyErr {
    if let DecodeErrorKind::Limit(exceeded) = &error.kind {
        return limit(py, exceeded);
    }
    let position = (error.position.line, error.position.column);
    exception(
        py,
        "PeerError",
        (error.to_string(), error.kind.name(), position),
    )
}

/// The peer sent a message that is not one of its profile.
pub(crate) fn profile(py: Python<'_>, text: impl Into<String>) -> PyErr {
    exception(py, "PeerError", (text.into(), "profile"))
}

/// A value that cannot be sent.
pub(crate) fn encode(py: Python<'_>, error: &EncodeError) -> PyErr {
    match error {
        EncodeError::Limit(exceeded) => limit(py, exceeded),
        EncodeError::Peer { peer, protocol, .. } => {
            let args = (error.to_string(), peer.as_str(), protocol.number());
            exception(py, "UnsupportedError", args)
        }
        other => caller(py, other.to_string()),
    }
}

/// An error of the system, as Python's own sockets say it: which number, and what it means.
pub(crate) fn os(py: Python<'_>, error: &io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => numbered(py, transport(py, error.to_string(), "io"), error),
    }
}

/// An address cannot be listened on: by the caller's fault, or the system's.
pub(crate) fn listen(py: Python<'_>, error: &io::Error) -> PyErr {
    let is_of_tls = error.get_ref().is_some_and(|inner| inner.is::<TlsError>());
    match error.kind() {
        io::ErrorKind::InvalidInput => caller(py, error.to_string()),
        _ if is_of_tls => caller(py, error.to_string()),
        _ => os(py, error),
    }
}

/// An exception with the number that the system has for its cause, if it is the system's: `errno`.
fn numbered(py: Python<'_>, raised: PyErr, cause: &(dyn Error + 'static)) -> PyErr {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        let system = error.downcast_ref::<io::Error>();
        if let Some(number) = system.and_then(io::Error::raw_os_error) {
            // An attribute of each OSError.
            let _ = raised.value(py).setattr(intern!(py, "errno"), number);
            break;
        }
        cause = error.source();
    }
    raised
}

/// There is no connection, or none any more.
pub(crate) fn transport(py: Python<'_>, text: impl Into<String>, reason: &str) -> PyErr {
    exception(py, "TransportError", (text.into(), reason))
}

/// Nothing came in the time that was given.
pub(crate) fn timed_out(py: Python<'_>) -> PyErr {
    exception(py, "TimedOut", (masep::blocking::TimedOut.to_string(),))
}

/// The connection has ended, for this reason.
pub(crate) fn ended(py: Python<'_>, reason: &CloseReason) -> PyErr {
    if matches!(reason, CloseReason::Rejected) {
        return exception(py, "RejectedError", (reason.to_string(), reason.as_str()));
    }
    let text = format!("the connection has ended: {reason}");
    match reason.words() {
        None => transport(py, text, reason.as_str()),
        Some(bye) => {
            let args = (text, reason.as_str(), &*bye.code, &*bye.text);
            exception(py, "TransportError", args)
        }
    }
}

/// The server does not take this client, and says why.
fn rejected(py: Python<'_>, text: String, rejected: &Rejected) -> PyErr {
    let retry_after = rejected
        .retry_ms
        .map(|time| Duration::from_millis(time).as_secs_f64());
    let args = (
        text,
        "rejected",
        &*rejected.code,
        &*rejected.text,
        retry_after,
    );
    exception(py, "RejectedError", args)
}

/// A frame was not sent.
pub(crate) fn send(py: Python<'_>, error: &SendError) -> PyErr {
    match error {
        SendError::TooLarge(large) => limit_of(py, large.to_string(), &large.exceeded()),
        SendError::Full(exceeded) => limit(py, exceeded),
        SendError::Encode(error) => encode(py, error),
        SendError::Closed(reason) => ended(py, reason),
        SendError::Undelivered(undelivered) => self::undelivered(py, undelivered),
        other => transport(py, other.to_string(), "io"),
    }
}

/// Some peers cannot be sent what all were to be sent.
fn undelivered(py: Python<'_>, undelivered: &Undelivered) -> PyErr {
    let peers = PyDict::new(py);
    for (peer, error) in &undelivered.peers {
        let error = send(py, error).into_value(py);
        if let Err(error) = peers.set_item(peer.as_str(), error) {
            return error;
        }
    }
    let args = (undelivered.to_string(), undelivered.sent, peers);
    exception(py, "UndeliveredError", args)
}

/// No connection came about.
pub(crate) fn connect(py: Python<'_>, error: &ConnectError) -> PyErr {
    let hint = hint(error).map_or(String::new(), |hint| format!("; {hint}"));
    let text = match &error.kind {
        // Nothing was waited for.
        ConnectErrorKind::Hello(HelloError::Own(_)) | ConnectErrorKind::Token(_) => {
            format!("{}: {}", error.target, error.kind)
        }
        _ => format!("{error}{hint}"),
    };
    match &error.kind {
        ConnectErrorKind::TimedOut(_) => transport(py, text, "timeout"),
        ConnectErrorKind::NotFound => transport(py, text, "not_found"),
        ConnectErrorKind::Closed => transport(py, text, "closed"),
        ConnectErrorKind::Address(error) => caller(py, error.to_string()),
        ConnectErrorKind::Rejected(why) => rejected(py, text, why),
        ConnectErrorKind::OtherProtocol(_) => transport(py, text, "other_protocol"),
        ConnectErrorKind::Hello(HelloError::Own(_)) | ConnectErrorKind::Token(_) => {
            caller(py, text)
        }
        ConnectErrorKind::Hello(_) => exception(py, "PeerError", (text, "hello")),
        ConnectErrorKind::Profile(ProfileError::NoPlace) => caller(py, text),
        ConnectErrorKind::Profile(_) => profile(py, text),
        ConnectErrorKind::Tls(fault) => transport(py, text, fault.as_str()),
        ConnectErrorKind::TlsSettings(error) => caller(py, error.to_string()),
        ConnectErrorKind::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
            numbered(py, exception(py, "RefusedError", (text, "refused")), io)
        }
        ConnectErrorKind::Io(io) => numbered(py, transport(py, text, "io"), io),
        _ => transport(py, text, "io"),
    }
}

/// The way out of an error, for people, by the names of Python's arguments.
fn hint(error: &ConnectError) -> Option<&'static str> {
    Some(match (error.phase, &error.kind) {
        (
            ConnectPhase::Hello,
            ConnectErrorKind::TimedOut(_) | ConnectErrorKind::Closed | ConnectErrorKind::Hello(_),
        ) => "is it a server of masep or pymasep?",
        (_, ConnectErrorKind::Rejected(why)) => return hint_of_refusal(&why.code),
        (_, ConnectErrorKind::Tls(TlsFault::Certificate(CertificateFault::Issuer))) => {
            "tls_ca= names the authority to trust; a line of `masep token new` has it"
        }
        (_, ConnectErrorKind::Tls(TlsFault::Certificate(CertificateFault::Name))) => {
            "tls_name= says the name that it is to have"
        }
        (_, ConnectErrorKind::Tls(TlsFault::NotTls)) => "without TLS its address is \"host:port\"",
        _ => return None,
    })
}

/// The way out of a refusal.
#[pyfunction]
pub(crate) fn hint_of_refusal(code: &str) -> Option<&'static str> {
    Some(match code {
        "tls_required" => "its address is \"masep+tls://host:port\"",
        "unauthorized" => "token= has the token, or the line of `masep token new` as the address",
        _ => return None,
    })
}
