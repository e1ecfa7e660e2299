//! Connections.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use masep::{
    CloseReason, DecodeErrorKind, Frame, Limits, RecvTimeoutError, SendError, SocketOptions,
    blocking,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bounds::Heeded;
use crate::errors;
use crate::message::Decoded;
use crate::server::PythonAddress;
use crate::waiting::{self, Process};

/// A connection. Calls that do not wait keep the GIL.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct Connection {
    /// `None` only while it is dropped.
    inner: Option<blocking::Connection>,
    heeded: Heeded,
    /// Whether this side closes it: what becomes of that is told by the call that does, and is no
    /// error for those that read.
    closing: AtomicBool,
    /// True if this side gave up a peer that took nothing.
    given_up: AtomicBool,
    /// True if a call has failed because the connection has ended.
    told: AtomicBool,
    process: Process,
}

impl Connection {
    pub(crate) fn new(inner: blocking::Connection, heeded: Heeded) -> Self {
        Self {
            inner: Some(inner),
            heeded,
            closing: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            told: AtomicBool::new(false),
            process: Process::this(),
        }
    }

    fn inner(&self, py: Python<'_>) -> PyResult<&blocking::Connection> {
        self.process.check(py)?;
        self.inner
            .as_ref()
            .ok_or_else(|| errors::transport(py, "the connection is gone", "local_bye"))
    }

    /// The reason why the connection ended, if it has.
    fn reason(&self) -> Option<&CloseReason> {
        match self.inner.as_ref()?.close_reason()? {
            CloseReason::LocalBye if self.given_up.load(Ordering::Relaxed) => {
                Some(&CloseReason::WriteTimeout)
            }
            reason => Some(reason),
        }
    }

    fn ended(&self, py: Python<'_>, reason: &CloseReason) -> PyErr {
        self.told.store(true, Ordering::Relaxed);
        errors::ended(py, reason)
    }

    /// The exception for a frame that was not sent.
    fn not_sent(&self, py: Python<'_>, error: &SendError) -> PyErr {
        match error {
            SendError::Closed(reason) => self.ended(py, self.reason().unwrap_or(reason)),
            other => errors::send(py, other),
        }
    }

    /// An error if the server refused this client and no call has said so.
    fn tell_rejection(&self, py: Python<'_>) -> PyResult<()> {
        match self.reason() {
            Some(reason @ CloseReason::Rejected) if !self.told.load(Ordering::Relaxed) => {
                Err(self.ended(py, reason))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        waiting::release(self.process, self.inner.take());
    }
}

/// The reason for which a connection has ended, as an error if that is none: `BYE`, or the end of the
/// stream between two frames, is how connections end.
fn end(py: Python<'_>, connection: &Connection) -> PyResult<()> {
    match connection.reason() {
        _ if connection.closing.load(Ordering::Relaxed) => Ok(()),
        None | Some(CloseReason::EndOfStream { mid_frame: false }) => Ok(()),
        Some(reason) if reason.is_orderly() => Ok(()),
        Some(reason) => Err(connection.ended(py, reason)),
    }
}

fn body<'py>(py: Python<'py>, frame: &Frame) -> Bound<'py, PyBytes> {
    PyBytes::new(py, frame.bytes())
}

#[pymethods]
impl Connection {
    /// The connection over a socket of which this descriptor is a handle, which it closes.
    #[staticmethod]
    fn over(py: Python<'_>, descriptor: RawFd, peer: &str) -> PyResult<Self> {
        // SAFETY: the caller, `masep.communication`, gives up the descriptor that it has just made.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let limits = Limits::default();
        blocking::Connection::over(owned, peer, &limits, &SocketOptions::default())
            .map(|connection| Self::new(connection, Heeded::of(&limits)))
            .map_err(|error| errors::transport(py, error.to_string(), "io"))
    }

    /// The id of the peer.
    #[getter]
    fn peer(&self, py: Python<'_>) -> PyResult<&str> {
        Ok(self.inner(py)?.peer())
    }

    /// The address of the peer.
    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<PythonAddress> {
        Ok(self.inner(py)?.address().into())
    }

    /// The same as text.
    #[getter]
    fn target(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.inner(py)?.address().to_string())
    }

    /// For how many seconds the peer may take nothing.
    #[getter]
    fn write_time(&self) -> f64 {
        self.heeded.write_time.as_secs_f64()
    }

    /// The reason why the connection ended, if it has.
    #[getter]
    fn close_reason(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        self.inner(py)?;
        Ok(self.reason().map(CloseReason::as_str))
    }

    /// True if it was this side that ended the connection.
    #[getter]
    fn ended_here(&self, py: Python<'_>) -> PyResult<bool> {
        use CloseReason::{Aborted, LocalBye, Replaced, Shutdown};
        self.inner(py)?;
        Ok(matches!(
            self.reason(),
            Some(LocalBye | Shutdown | Replaced | Aborted)
        ))
    }

    /// Another descriptor of the socket, which is the caller's to close.
    fn descriptor(&self, py: Python<'_>) -> PyResult<RawFd> {
        let socket = self.inner(py)?.socket();
        let socket = socket.map_err(|error| errors::transport(py, error.to_string(), "io"))?;
        Ok(socket.into_raw_fd())
    }

    /// Sends a frame.
    fn send(&self, py: Python<'_>, body: &[u8]) -> PyResult<()> {
        let inner = self.inner(py)?;
        let frame = Frame::new(Bytes::copy_from_slice(body));
        if frame.is_bye() {
            return self.close(py).map(|_reason| ());
        }
        let outcome = match inner.offer(frame.clone()) {
            Ok(true) => return Ok(()),
            Ok(false) => {
                let inner = inner.clone();
                waiting::call(py, move || inner.flush())?
            }
            Err(SendError::Full(_)) => {
                let inner = inner.clone();
                waiting::call(py, move || inner.send(frame))?
            }
            Err(error) => Err(error),
        };
        outcome.map_err(|error| self.not_sent(py, &error))
    }

    /// Sends a frame if there is room now. True if there was. The rest of it goes out by
    /// `try_flush`, or in the next call that sends or receives.
    fn try_send(&self, py: Python<'_>, body: &[u8]) -> PyResult<bool> {
        let frame = Frame::new(Bytes::copy_from_slice(body));
        match self.inner(py)?.try_send(frame) {
            Ok(()) => Ok(true),
            Err(SendError::Full(_)) => Ok(false),
            Err(error) => Err(self.not_sent(py, &error)),
        }
    }

    /// Sends the rest of a frame as far as there is room now. True if nothing is left.
    fn try_flush(&self, py: Python<'_>) -> PyResult<bool> {
        let flushed = self.inner(py)?.try_flush();
        flushed.map_err(|error| self.not_sent(py, &error))
    }

    /// Sends what is left of a frame.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.inner(py)?.clone();
        let flushed = waiting::call(py, move || inner.flush())?;
        flushed.map_err(|error| self.not_sent(py, &error))
    }

    /// The body of the next frame; `None` when the connection has ended.
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let inner = self.inner(py)?;
        let until = waiting::deadline(py, timeout)?;
        let received = waiting::wait(py, until, |time| match time {
            Some(time) => match inner.recv_timeout(time) {
                Err(RecvTimeoutError::TimedOut) => None,
                received => Some(received.ok()),
            },
            None => Some(inner.recv().ok()),
        })?;
        if let Some(frame) = received {
            return Ok(Some(body(py, &frame)));
        }
        end(py, self)?;
        Ok(None)
    }

    /// The body of the next frame if it has arrived. `None` also when the connection has ended.
    fn try_recv<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let inner = self.inner(py)?;
        if let Ok(frame) = inner.try_recv() {
            return Ok(Some(body(py, &frame)));
        }
        end(py, self)?;
        Ok(None)
    }

    /// Reads a message within the bounds of the connection.
    fn decode(&self, py: Python<'_>, body: &[u8]) -> PyResult<Decoded> {
        let frame = Frame::new(Bytes::copy_from_slice(body));
        let message = self.inner(py)?.decode(frame);
        let message = message.map_err(|error| errors::decode(py, &error))?;
        Ok(Decoded::new(message))
    }

    /// Checks whether a message, of which these are the bytes, is within the bounds of the connection.
    fn check(&self, py: Python<'_>, body: &[u8]) -> PyResult<()> {
        if !self.heeded.checks {
            return Ok(());
        }
        let frame = Frame::new(Bytes::copy_from_slice(body));
        match self.inner(py)?.decode(frame).map_err(|error| error.kind) {
            Err(DecodeErrorKind::Limit(exceeded)) => Err(errors::limit(py, &exceeded)),
            // What else is wrong, the peer is told.
            _ => Ok(()),
        }
    }

    /// Says `BYE`, unless the connection has ended, and closes, without waiting: what the peer does not
    /// take at once is written for up to a second in the background. In a process that was forked
    /// from that of the connection, it does nothing.
    fn try_close(&self) {
        if let (Some(inner), true) = (&self.inner, self.process.is_this()) {
            self.closing.store(true, Ordering::Relaxed);
            // An error says that it has ended already.
            let _: Result<(), SendError> = inner.try_send(Frame::BYE);
        }
    }

    /// Ends the connection, unless it has ended, because the peer took nothing for too long.
    fn give_up(&self) {
        if let (Some(inner), true) = (&self.inner, self.process.is_this())
            && inner.close_reason().is_none()
            && !self.closing.load(Ordering::Relaxed)
        {
            self.given_up.store(true, Ordering::Relaxed);
            // As in `try_close`.
            let _: Result<(), SendError> = inner.try_send(Frame::BYE);
        }
    }

    /// Says `BYE` when all that was sent is delivered, and closes. The reason for which the
    /// connection ended.
    fn close(&self, py: Python<'_>) -> PyResult<&'static str> {
        let inner = self.inner(py)?;
        if self.reason().is_none() {
            self.closing.store(true, Ordering::Relaxed);
            let inner = inner.clone();
            waiting::call(py, move || inner.bye())?;
        }
        self.tell_rejection(py)?;
        Ok(self.reason().map_or("local_bye", CloseReason::as_str))
    }
}

/// Ends connections, all at the same time, for no longer than this many seconds. Those of a process
/// from which this one was forked are left alone.
#[pyfunction]
pub(crate) fn close_all(
    py: Python<'_>,
    connections: Vec<Py<Connection>>,
    timeout: f64,
) -> PyResult<()> {
    let (done, ended) = mpsc::channel();
    let mut open = Vec::new();
    for connection in &connections {
        let connection = connection.get();
        if let Some(inner) = &connection.inner
            && connection.process.is_this()
            && inner.close_reason().is_none()
        {
            // All before any ends: of two ends in this process, the other is no rejection.
            connection.closing.store(true, Ordering::Relaxed);
            open.push(inner.clone());
        }
    }
    for inner in open {
        let done = done.clone();
        // Without a thread for it, the connection ends with the process.
        let _ = std::thread::Builder::new()
            .name("masep-bye".into())
            .spawn(move || {
                inner.bye();
                drop(done);
            });
    }
    drop(done);
    let until = waiting::deadline(py, Some(timeout))?;
    let left = until.map_or(Duration::MAX, |until| {
        until.saturating_duration_since(Instant::now())
    });
    // Nothing is sent: the last sender that is dropped ends the wait.
    let _: Result<(), _> = py.detach(move || ended.recv_timeout(left));
    Ok(())
}
