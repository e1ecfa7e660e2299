//! Clients about which the host of a server is asked, and those that it hands to another process.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use masep::{Limits, Rejected, SocketOptions, blocking};
use masep_proto::connection::Heard;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bounds::{self, Heeded};
use crate::connection::Connection;
use crate::event_loop::EventLoop;
use crate::exit::detach;
use crate::server::PythonAddress;
use crate::waiting::{self, Process};
use crate::{control, errors};

/// A client of protocol 2 that waits for the host's word.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct Request {
    /// Until it is decided.
    inner: Mutex<Option<masep::Request>>,
    peer: String,
    address: masep::Address,
    process: Process,
}

impl Request {
    pub(crate) fn new(inner: masep::Request) -> Self {
        Self {
            peer: inner.peer().as_str().to_owned(),
            address: inner.address().clone(),
            inner: Mutex::new(Some(inner)),
            process: Process::this(),
        }
    }

    /// The request, which is decided now.
    fn take(&self, py: Python<'_>) -> PyResult<masep::Request> {
        self.process.check(py)?;
        let taken = self
            .inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        taken.ok_or_else(|| errors::caller(py, "it was decided about this client before"))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        waiting::release(self.process, inner.take());
    }
}

#[pymethods]
impl Request {
    /// The client's id.
    #[getter]
    fn peer(&self) -> &str {
        &self.peer
    }

    /// The client's address.
    #[getter]
    fn address(&self) -> PythonAddress {
        self.address.clone().into()
    }

    /// The same as text.
    #[getter]
    fn target(&self) -> String {
        self.address.to_string()
    }

    /// The client by its own word: a `masep.Hello`.
    #[getter]
    fn hello<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let hello = inner.as_ref().map(|request| request.hello().clone());
        drop(inner);
        let hello =
            hello.ok_or_else(|| errors::caller(py, "it was decided about this client before"))?;
        control::hello(py, hello)
    }

    /// Takes the client, with a WELCOME that has this.
    #[pyo3(signature = (profile=None, game=None, seats=None, free=None))]
    fn admit(
        &self,
        py: Python<'_>,
        profile: Option<String>,
        game: Option<String>,
        seats: Option<u64>,
        free: Option<u64>,
    ) -> PyResult<()> {
        let request = self.take(py)?;
        let mut welcome = request.welcome();
        welcome.profile = profile.map(Into::into);
        welcome.game = game.map(Into::into);
        (welcome.seats, welcome.free) = (seats, free);
        detach(py, || drop(request.admit(welcome)));
        Ok(())
    }

    /// Does not take it, for this reason.
    #[pyo3(signature = (code="denied", text="", retry_after=None))]
    fn refuse(
        &self,
        py: Python<'_>,
        code: &str,
        text: &str,
        retry_after: Option<f64>,
    ) -> PyResult<()> {
        let retry_after = retry_after.map(|time| bounds::seconds(py, "retry_after", time));
        control::check_code(py, code)?;
        let mut rejected = Rejected::new(code, text);
        rejected.retry_ms = retry_after
            .transpose()?
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let request = self.take(py)?;
        detach(py, || request.refuse(rejected));
        Ok(())
    }

    /// Gives it away, for a process that goes on with it by `take_over`. None if it has gone.
    fn detach(&self, py: Python<'_>) -> PyResult<Option<Detached>> {
        let request = self.take(py)?;
        match detach(py, || request.detach()) {
            None => Ok(None),
            Some(Ok(detached)) => Ok(Some(Detached {
                inner: Mutex::new(Some(detached)),
                process: Process::this(),
            })),
            Some(Err(error)) => Err(errors::os(py, &error)),
        }
    }
}

/// A client that was given away, until it is forgotten.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct Detached {
    inner: Mutex<Option<blocking::Detached>>,
    process: Process,
}

impl Detached {
    fn with<T>(&self, py: Python<'_>, call: impl FnOnce(&blocking::Detached) -> T) -> PyResult<T> {
        self.process.check(py)?;
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = inner.as_ref().map(call);
        inner.ok_or_else(|| errors::caller(py, "this client is forgotten"))
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        waiting::release(self.process, inner.take());
    }
}

#[pymethods]
impl Detached {
    /// The descriptor of its stream, for as long as this has it.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.with(py, |detached| detached.as_fd().as_raw_fd())
    }

    /// The bytes that were heard of it, and whether it was answered.
    fn heard<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, bool)> {
        self.with(py, |detached| {
            let heard = detached.heard();
            (PyBytes::new(py, &heard.bytes), heard.is_answered)
        })
    }

    /// The code and the text of the reason for which it is to be ended, by the rules of its server; none as long as there is
    /// none.
    fn end(&self, py: Python<'_>) -> PyResult<Option<(&'static str, String)>> {
        self.with(py, |detached| {
            let end = detached.end();
            end.map(|reason| (reason.as_str(), reason.to_string()))
        })
    }

    /// Has this loop woken with this key when there is one.
    fn watch(&self, py: Python<'_>, event_loop: &EventLoop, key: u64) -> PyResult<()> {
        self.with(py, |detached| detached.watch(event_loop.inner(), key))
    }

    /// Closes its stream here, and forgets it.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        self.process.check(py)?;
        let inner = {
            // Not while the GIL is given back: others wait for this with it.
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.take()
        };
        detach(py, || drop(inner));
        Ok(())
    }
}

/// Goes on with a client that was detached, over a socket of which this descriptor is a handle, which it closes.
#[pyfunction]
#[pyo3(signature = (id, descriptor, heard, is_answered, profile=None, limits=None, socket_options=None))]
#[expect(
    clippy::too_many_arguments,
    reason = "all that the other process has of it"
)]
pub(crate) fn take_over(
    py: Python<'_>,
    id: String,
    descriptor: RawFd,
    heard: &[u8],
    is_answered: bool,
    profile: Option<String>,
    limits: Option<&Bound<'_, PyAny>>,
    socket_options: Option<&Bound<'_, PyAny>>,
) -> PyResult<Connection> {
    // SAFETY: the caller, `masep.gymnasium`, gives up the descriptor, which it has got from another process.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let limits: Limits = bounds::limits(limits)?;
    let options: SocketOptions = bounds::socket_options(socket_options)?;
    let heeded = Heeded::of(&limits);
    let heard = Heard {
        bytes: heard.to_vec(),
        is_answered,
    };
    let taken = waiting::call(py, move || {
        blocking::Connection::accept_over(id, owned, &heard, profile.as_deref(), &limits, &options)
    })?;
    taken
        .map(|connection| Connection::new(connection, heeded))
        .map_err(|error| errors::transport(py, error.to_string(), "io"))
}
