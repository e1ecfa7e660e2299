//! Connections that an event loop of Python drives.

use std::os::fd::{AsFd, AsRawFd, IntoRawFd, RawFd};
use std::time::Instant;

use masep::TryRecvError;
use masep::blocking::{self, Offer};
use pyo3::prelude::*;

use crate::connection::{self, Connection};
use crate::errors;
use crate::frames::{self, Received};

/// An event loop, and the connections to look at.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct EventLoop(blocking::EventLoop);

impl EventLoop {
    pub(crate) const fn inner(&self) -> &blocking::EventLoop {
        &self.0
    }
}

#[pymethods]
impl EventLoop {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let made = blocking::EventLoop::new();
        made.map(Self).map_err(|error| errors::os(py, &error))
    }

    /// The descriptor that is readable when there are some.
    fn fileno(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }

    /// The keys of those that others have changed.
    fn take_woken(&self) -> Vec<u64> {
        self.0.take_woken()
    }
}

/// A connection that an event loop drives, whose thread makes all these calls. None of them waits, and they keep the GIL.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct Driven {
    connection: Py<Connection>,
}

/// The things to wait for: until the socket is readable, until it is writable, and for how many seconds at most; and
/// whether a frame can be taken, or the connection has ended.
type Waits = (bool, bool, Option<f64>, bool);

#[pymethods]
impl Driven {
    /// Attaches the connection to the loop, which knows it by this key. Gives another descriptor of the socket, which is the
    /// caller's to close, unless the connection is over.
    #[staticmethod]
    fn attach(
        py: Python<'_>,
        connection: Py<Connection>,
        event_loop: &EventLoop,
        key: u64,
    ) -> PyResult<(Self, Option<RawFd>)> {
        let inner = connection.get().inner(py)?;
        let socket = inner.attach(&event_loop.0, key);
        let socket = socket.map_err(|error| errors::os(py, &error))?;
        let descriptor = socket.map(IntoRawFd::into_raw_fd);
        Ok((Self { connection }, descriptor))
    }

    /// Moves bytes, and does what is due. The things to wait for then; `None` when there are none any more.
    fn turn(&self, py: Python<'_>, readable: bool, writable: bool) -> PyResult<Option<Waits>> {
        let turned = self.connection.get().inner(py)?.turn(readable, writable);
        Ok(turned.map(|waits| {
            let left = waits.wakes_at.map(|at| {
                let left = at.saturating_duration_since(Instant::now());
                left.as_secs_f64()
            });
            (waits.reads, waits.writes, left, waits.has_news)
        }))
    }

    /// Sends a frame if there is room now: 0 if all of it is sent, its number if a rest waits, and `None` without room.
    fn offer(&self, py: Python<'_>, body: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
        let connection = self.connection.get();
        let outgoing = frames::outgoing(body)?;
        let inner = connection.inner(py)?;
        let _call = inner.in_loop();
        match connection::offer(inner, outgoing) {
            Ok(Offer::Sent) => Ok(Some(0)),
            Ok(Offer::Rest(number)) => Ok(Some(number)),
            Ok(Offer::NoRoom(_)) => Ok(None),
            Err(error) => Err(connection.not_sent(py, &error)),
        }
    }

    /// True if the frame with this number is sent.
    fn is_written(&self, py: Python<'_>, number: u64) -> PyResult<bool> {
        let connection = self.connection.get();
        let written = connection.inner(py)?.is_written(number);
        written.map_err(|error| connection.not_sent(py, &error))
    }

    /// The next frame; `None` when the connection has ended in order, and false if no frame has arrived.
    fn take(&self, py: Python<'_>) -> PyResult<Taken> {
        let connection = self.connection.get();
        match connection.inner(py)?.take_frame() {
            Ok(frame) => Ok(Taken::Frame(Received { frame })),
            Err(TryRecvError::Empty) => Ok(Taken::Nothing(false)),
            Err(TryRecvError::Closed(_)) => {
                connection::end(py, connection)?;
                Ok(Taken::End(None))
            }
        }
    }

    /// Begins to end the connection, as `close` of a connection does.
    #[pyo3(signature = (code=None, text="", may_return=None))]
    fn begin_close(
        &self,
        py: Python<'_>,
        code: Option<&str>,
        text: &str,
        may_return: Option<bool>,
    ) -> PyResult<()> {
        let connection = self.connection.get();
        let inner = connection.inner(py)?;
        let words = connection::words(py, code, text, may_return)?;
        connection.begin_close(inner);
        inner.begin_bye(words);
        Ok(())
    }

    /// The reason for which the connection ended, if all is done for that which a call waits for.
    fn closed(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        let connection = self.connection.get();
        if !connection.inner(py)?.is_closed() {
            return Ok(None);
        }
        connection.closed(py).map(Some)
    }
}

/// The outcome of `take`.
#[derive(IntoPyObject)]
enum Taken {
    Frame(Received),
    End(Option<bool>),
    Nothing(bool),
}
