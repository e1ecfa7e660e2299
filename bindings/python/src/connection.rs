//! Connections.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use masep::blocking::Offer;
use masep::{
    Bye, CloseReason, DecodeErrorKind, Frame, FrameKind, Limits, Message, Notice, RecvTimeoutError,
    SendError, SocketOptions, blocking,
};
use masep_proto::Pieces;
use masep_proto::connection::FrameMemory;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::bounds::Heeded;
use crate::frames::{self, Outgoing, Received};
use crate::message::{self, Decoded};
use crate::server::PythonAddress;
use crate::waiting::{self, Call, Process};
use crate::{control, errors};

/// The arrays of frames from this size on are given out with the memory of the frame, which the connection gets back.
const LARGE: usize = 8 * 1024;

/// A connection. Calls that do not wait keep the GIL.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct Connection {
    /// `None` only while it is dropped.
    inner: Option<blocking::Connection>,
    heeded: Heeded,
    /// True while this side closes it: the outcome is told by the call that does so, and is no
    /// error for those that read.
    closing: AtomicBool,
    /// True if a call has failed because the connection has ended.
    told: AtomicBool,
    /// True while a call waits for the answer to a numbered request, or is about to.
    asking: AtomicBool,
    process: Process,
}

/// The one call that asks something on a connection, until this is dropped.
pub(crate) struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A message that was received: the size of its frame, and the memory of large frames.
pub(crate) struct Incoming {
    pub(crate) message: Message,
    pub(crate) size: usize,
    pub(crate) memory: Option<FrameMemory>,
}

impl Incoming {
    /// The same for Python.
    pub(crate) fn decoded(self) -> Decoded {
        Decoded::received(self.message, self.size, self.memory)
    }
}

impl Connection {
    pub(crate) fn new(inner: blocking::Connection, heeded: Heeded) -> Self {
        Self {
            inner: Some(inner),
            heeded,
            closing: AtomicBool::new(false),
            told: AtomicBool::new(false),
            asking: AtomicBool::new(false),
            process: Process::this(),
        }
    }

    pub(crate) fn inner(&self, py: Python<'_>) -> PyResult<&blocking::Connection> {
        self.process.check(py)?;
        self.inner
            .as_ref()
            .ok_or_else(|| errors::transport(py, "the connection is gone", "local_bye"))
    }

    /// Begins a call that waits for an answer. Another one that did too would take it.
    pub(crate) fn ask(&self, py: Python<'_>) -> PyResult<Asking<'_>> {
        self.process.check(py)?;
        if self.asking.swap(true, Ordering::Acquire) {
            let text = "another thread waits for an answer of this environment: each thread has one of its own";
            return Err(errors::caller(py, text));
        }
        Ok(Asking(&self.asking))
    }

    /// The reason why the connection ended, if it has.
    fn reason(&self) -> Option<&CloseReason> {
        self.inner.as_ref()?.close_reason()
    }

    /// This side closes the connection from here on, unless it has ended.
    pub(crate) fn begin_close(&self, inner: &blocking::Connection) {
        if inner.close_reason().is_none() {
            self.closing.store(true, Ordering::Relaxed);
        }
    }

    /// The call that says `BYE` and waits until all is delivered. None for one that has ended, or is of a process from
    /// which this one was forked.
    pub(crate) fn ending(&self) -> Option<Call> {
        let inner = self.inner.as_ref().filter(|_| self.process.is_this())?;
        inner.close_reason().is_none().then(|| {
            self.begin_close(inner);
            let inner = inner.clone();
            Box::new(move || drop(inner.bye())) as Call
        })
    }

    /// The reason for which the connection ended, for the call that closes it.
    pub(crate) fn closed(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.tell_rejection(py)?;
        Ok(self.reason().map_or("local_bye", CloseReason::as_str))
    }

    fn ended(&self, py: Python<'_>, reason: &CloseReason) -> PyErr {
        self.told.store(true, Ordering::Relaxed);
        errors::ended(py, reason)
    }

    /// The exception for a frame that was not sent.
    pub(crate) fn not_sent(&self, py: Python<'_>, error: &SendError) -> PyErr {
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

/// The parts of calls.
impl Connection {
    /// Sends a message.
    pub(crate) fn send_value(&self, py: Python<'_>, message: &Message) -> PyResult<()> {
        let inner = self.inner(py)?;
        let encoded = inner.encode_pieces(message);
        let encoded = encoded.map_err(|error| errors::encode(py, &error))?;
        self.sent(py, inner, encoded)
    }

    /// Sends what is sent, and waits until it is written.
    fn sent(
        &self,
        py: Python<'_>,
        inner: &blocking::Connection,
        outgoing: Result<Pieces, Frame>,
    ) -> PyResult<()> {
        let outcome = match offer(inner, outgoing) {
            Ok(Offer::Sent) => return Ok(()),
            Ok(Offer::Rest(_)) => self.flushed(py, inner)?,
            Ok(Offer::NoRoom(frame)) => {
                let inner = inner.clone();
                waiting::call(py, move || inner.send(frame))?
            }
            Err(error) => Err(error),
        };
        outcome.map_err(|error| self.not_sent(py, &error))
    }

    /// Waits until what was left of a frame is written.
    fn flushed(
        &self,
        py: Python<'_>,
        inner: &blocking::Connection,
    ) -> PyResult<Result<(), SendError>> {
        let flushed = waiting::wait(py, None, |time| match time {
            Some(time) => match inner.flush_timeout(time) {
                Ok(true) => Some(Ok(())),
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            },
            None => Some(inner.flush()),
        });
        if flushed.is_err() {
            // A signal has ended the wait. The frame is sent nevertheless.
            inner.leave_rest();
        }
        flushed
    }

    /// The next frame as a message, with what its arrays can have; none when the connection has ended.
    pub(crate) fn receive_message(
        &self,
        py: Python<'_>,
        until: Option<Instant>,
    ) -> PyResult<Option<Incoming>> {
        let received = self.receive_until(py, until)?;
        received.map(|frame| self.read(py, frame)).transpose()
    }

    /// The next frame; none when the connection has ended.
    fn receive(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Frame>> {
        self.receive_until(py, waiting::deadline(py, timeout)?)
    }

    fn receive_until(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<Option<Frame>> {
        let inner = self.inner(py)?;
        let received = waiting::wait(py, until, |time| match time {
            Some(time) => match inner.recv_timeout(time) {
                Err(RecvTimeoutError::TimedOut) => None,
                received => Some(received.ok()),
            },
            None => Some(inner.recv().ok()),
        })?;
        if received.is_none() {
            end(py, self)?;
        }
        Ok(received)
    }

    /// The message in a frame, within the bounds of the connection.
    fn read(&self, py: Python<'_>, frame: Frame) -> PyResult<Incoming> {
        let inner = self.inner(py)?;
        let size = frame.size();
        let memory = (size > LARGE).then(|| inner.frame_memory());
        let message = inner.decode(frame);
        Ok(Incoming {
            message: message.map_err(|error| errors::decode(py, &error))?,
            size,
            memory: memory.flatten(),
        })
    }

    /// Checks whether a message, of which these are the bytes, is within the bounds of the connection.
    fn check(&self, py: Python<'_>, body: &[u8]) -> PyResult<()> {
        if !self.heeded.checks {
            return Ok(());
        }
        let frame = Frame::of(FrameKind::Xml, Bytes::copy_from_slice(body));
        match self.inner(py)?.decode(frame).map_err(|error| error.kind) {
            Err(DecodeErrorKind::Limit(exceeded)) => Err(errors::limit(py, &exceeded)),
            // The peer is told all other faults.
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
pub(crate) fn end(py: Python<'_>, connection: &Connection) -> PyResult<()> {
    match connection.reason() {
        _ if connection.closing.load(Ordering::Relaxed) => Ok(()),
        None | Some(CloseReason::EndOfStream { mid_frame: false }) => Ok(()),
        Some(reason) if reason.is_orderly() => Ok(()),
        Some(reason) => Err(connection.ended(py, reason)),
    }
}

/// A message in the form in which it is sent on a connection.
fn encoded<'py>(
    inner: &blocking::Connection,
    msg_type: &Bound<'py, PyString>,
    params: &Bound<'py, PyAny>,
    src_sub_app_id: &Bound<'py, PyString>,
    as_text: Option<&Bound<'py, PyAny>>,
) -> PyResult<Result<Pieces, Frame>> {
    let others = message::others(as_text);
    let message = message::message(msg_type, params, src_sub_app_id, others)?;
    let encoded = inner.encode_pieces(&message);
    encoded.map_err(|error| message::not_encoded(params, error))
}

/// Offers what is sent to a connection.
pub(crate) fn offer(
    inner: &blocking::Connection,
    outgoing: Result<Pieces, Frame>,
) -> Result<Offer, SendError> {
    let frame = match outgoing {
        Ok(pieces) => return inner.offer_pieces(pieces),
        Err(frame) => frame,
    };
    inner.offer(frame)
}

/// The reason that a peer of protocol 2 is told.
pub(crate) fn words(
    py: Python<'_>,
    code: Option<&str>,
    text: &str,
    may_return: Option<bool>,
) -> PyResult<Option<Bye>> {
    let Some(code) = code else {
        return Ok(None);
    };
    control::check_code(py, code)?;
    let mut bye = Bye::new(code, text);
    bye.may_return = may_return;
    Ok(Some(bye))
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

    /// A number that no other connection of this process has.
    #[getter]
    fn key(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.inner(py)?.id().number())
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

    /// The reason why the connection ended, if it has.
    #[getter]
    fn close_reason(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        self.inner(py)?;
        Ok(self.reason().map(CloseReason::as_str))
    }

    /// Another descriptor of the socket, which is the caller's to close.
    fn descriptor(&self, py: Python<'_>) -> PyResult<RawFd> {
        let socket = self.inner(py)?.socket();
        let socket = socket.map_err(|error| errors::transport(py, error.to_string(), "io"))?;
        Ok(socket.into_raw_fd())
    }

    /// Sends a frame: bytes, or a message that was encoded for this connection.
    fn send(&self, py: Python<'_>, body: &Bound<'_, PyAny>) -> PyResult<()> {
        let inner = self.inner(py)?;
        let outgoing = frames::outgoing(body)?;
        if let Err(frame) = &outgoing
            && frame.is_bye()
        {
            return self.close(py, None, "", None, None).map(|_reason| ());
        }
        self.sent(py, inner, outgoing)
    }

    /// Sends a message. With `as_text` as for [`encode_message`](message::encode_message).
    #[pyo3(signature = (msg_type, params, src_sub_app_id, as_text=None))]
    pub(crate) fn send_message<'py>(
        &self,
        py: Python<'py>,
        msg_type: &Bound<'py, PyString>,
        params: &Bound<'py, PyAny>,
        src_sub_app_id: &Bound<'py, PyString>,
        as_text: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let inner = self.inner(py)?;
        let encoded = encoded(inner, msg_type, params, src_sub_app_id, as_text)?;
        self.sent(py, inner, encoded)
    }

    /// Sends a frame if there is room now. True if there was. The rest of it goes out by
    /// `try_flush`, or in the next call that sends or receives.
    fn try_send(&self, py: Python<'_>, body: &Bound<'_, PyAny>) -> PyResult<bool> {
        let inner = self.inner(py)?;
        match offer(inner, frames::outgoing(body)?) {
            Ok(Offer::Sent) => Ok(true),
            Ok(Offer::Rest(_)) => {
                inner.leave_rest();
                Ok(true)
            }
            Ok(Offer::NoRoom(_)) => Ok(false),
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
        let flushed = self.flushed(py, self.inner(py)?)?;
        flushed.map_err(|error| self.not_sent(py, &error))
    }

    /// The body of the next frame; `None` when the connection has ended.
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let received = self.receive(py, timeout)?;
        Ok(received.map(|frame| body(py, &frame)))
    }

    /// The next frame as a message; `None` when the connection has ended.
    #[pyo3(signature = (timeout=None))]
    fn recv_message(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Decoded>> {
        let received = self.receive_message(py, waiting::deadline(py, timeout)?)?;
        Ok(received.map(Incoming::decoded))
    }

    /// Reads a message within the bounds of the connection: of a frame of its.
    fn decode(&self, py: Python<'_>, received: &Received) -> PyResult<Decoded> {
        self.read(py, received.frame.clone()).map(Incoming::decoded)
    }

    /// A message in the form in which it is sent on this connection. With `as_text` as for
    /// [`encode_message`](message::encode_message).
    #[pyo3(signature = (msg_type, params, src_sub_app_id, as_text=None))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        msg_type: &Bound<'py, PyString>,
        params: &Bound<'py, PyAny>,
        src_sub_app_id: &Bound<'py, PyString>,
        as_text: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Outgoing> {
        let inner = self.inner(py)?;
        let encoded = encoded(inner, msg_type, params, src_sub_app_id, as_text)?;
        Ok(Outgoing::new(encoded))
    }

    /// The same of a message that was read.
    fn encode_decoded(&self, py: Python<'_>, decoded: &Decoded) -> PyResult<Outgoing> {
        let encoded = self.inner(py)?.encode_pieces(&decoded.message(py)?);
        let encoded = encoded.map_err(|error| errors::encode(py, &error))?;
        Ok(Outgoing::new(encoded))
    }

    /// The same of one in XML, of which these are the bytes, within the bounds of the connection.
    fn encode_xml(&self, py: Python<'_>, body: &[u8]) -> PyResult<Outgoing> {
        self.check(py, body)?;
        let frame = Frame::of(FrameKind::Xml, Bytes::copy_from_slice(body));
        Ok(Outgoing::new(Err(frame)))
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

    /// Says `BYE` when all that was sent is delivered, and closes; with a code and a text, a peer of protocol 2 is told
    /// these. The reason for which the connection ended. With `wait`, it waits for no longer than so many seconds, and
    /// the end goes on.
    #[pyo3(signature = (code=None, text="", may_return=None, wait=None))]
    fn close(
        &self,
        py: Python<'_>,
        code: Option<&str>,
        text: &str,
        may_return: Option<bool>,
        wait: Option<f64>,
    ) -> PyResult<&'static str> {
        let inner = self.inner(py)?;
        let words = words(py, code, text, may_return)?;
        if self.reason().is_none() {
            self.begin_close(inner);
            let inner = inner.clone();
            waiting::call_for(py, wait, move || match words {
                Some(bye) => inner.bye_with(bye),
                None => inner.bye(),
            })?;
        }
        self.closed(py)
    }

    /// The generation of the protocol that is spoken: 1 or 2.
    #[getter]
    fn protocol(&self, py: Python<'_>) -> PyResult<u16> {
        Ok(self.inner(py)?.protocol().number())
    }

    /// The name of the access token with which the peer was let in.
    #[getter]
    fn token_name(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let grant = self.inner(py)?.grant();
        Ok(grant.map(|grant| grant.name.to_string()))
    }

    /// The bounds of what the peer can be sent: a `masep.PeerLimits`.
    #[getter]
    fn peer_limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        control::peer_limits(py, self.inner(py)?.peer_limits())
    }

    /// The server's WELCOME to this client: a `masep.Welcome`, or none.
    #[getter]
    fn welcome<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let welcome = self.inner(py)?.welcome();
        welcome
            .map(|welcome| control::welcome(py, welcome))
            .transpose()
    }

    /// The peer's BYE at its end: a `masep.Bye`, or none.
    #[getter]
    fn peer_bye<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.inner(py)?;
        let words = self.reason().and_then(CloseReason::words);
        words.map(|bye| control::bye(py, bye)).transpose()
    }

    /// The seconds of the last round trip of a ping, or none.
    #[getter]
    fn rtt(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        Ok(self.inner(py)?.rtt().map(|time| time.as_secs_f64()))
    }

    /// Asks the peer for a sign of life. False if it does not.
    fn ping(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.inner(py)?.ping())
    }

    /// Tells the peer of something that was not accepted.
    #[pyo3(signature = (code, text="", about=None))]
    fn notice(
        &self,
        py: Python<'_>,
        code: &str,
        text: &str,
        about: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        control::check_code(py, code)?;
        let mut notice = Notice::new(code, text);
        if let Some(about) = about {
            notice = notice.about(control::about(about)?);
        }
        let told = self.inner(py)?.notice(notice);
        told.map_err(|error| self.not_sent(py, &error))
    }

    /// The oldest notice of the peer's that was not taken: a `masep.Notice`, or none.
    fn try_notice<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let notice = self.inner(py)?.try_notice();
        notice.map(|notice| control::notice(py, notice)).transpose()
    }
}
