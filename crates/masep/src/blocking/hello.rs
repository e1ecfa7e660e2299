//! The handshake on a socket.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;
use masep_proto::{Handshake, HelloError, PeerId};

use super::readiness::{Interest, after, earlier, passed, wait};
use super::receive::{Wait, receive};
use crate::sync::Instant;
use crate::transport::{rearm_quickack, withhold_acknowledgement};
use crate::write_pattern::{Acknowledgement, Brought, HELD_BACK, WritePattern};

/// What a hello tells.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) peer: PeerId,
    pub(super) pattern: WritePattern<Instant>,
}

/// Why the peer's hello did not come.
#[derive(Debug)]
pub(super) enum HelloFailure {
    TimedOut,
    /// Nobody wants it any more.
    Stopped,
    Closed,
    Bad(HelloError),
    Io(io::Error),
}

impl From<io::Error> for HelloFailure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Reads the peer's hello, until the deadline or until `stop` is readable. What came after it stays
/// in `buffer`.
pub(super) fn hear_hello(
    stream: &TcpStream,
    stop: Option<BorrowedFd<'_>>,
    handshake: &mut Handshake,
    buffer: &mut BytesMut,
    until: Option<Instant>,
) -> Result<Heard, HelloFailure> {
    let socket = stream.as_fd();
    // Without a `stop` the socket stands in for it, and is not asked.
    let stop_interest = Interest::readable(stop.unwrap_or(socket)).or_readable_if(stop.is_some());
    let mut pattern = WritePattern::before_hello();
    loop {
        // Of one of which the header has come alone it is found out whether the body is held back.
        let held_back = pattern.awaits_body().then(|| after(HELD_BACK)).flatten();
        let next = earlier(until, held_back);
        let [ready, stopped] = wait([Interest::readable(socket), stop_interest], next)?;
        if stopped.readable {
            return Err(HelloFailure::Stopped);
        }
        if !ready.readable {
            if passed(until) {
                return Err(HelloFailure::TimedOut);
            }
            if passed(held_back) {
                pattern.hello_is_held_back(Instant::now());
                rearm_quickack(stream);
            }
            continue;
        }
        let before = buffer.len();
        let bytes = match receive(stream, buffer, Wait::No, 0) {
            Ok(0) => return Err(HelloFailure::Closed),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        let whole = handshake.handle(buffer).map_err(HelloFailure::Bad)?;
        if let Some(peer) = whole {
            acknowledge(stream, pattern.end_hello());
            return Ok(Heard { peer, pattern });
        }
        let brought = Brought::by(before, bytes);
        acknowledge(stream, note(&mut pattern, brought, buffer.len()));
    }
}

/// Notes a read that left so many bytes behind the last whole frame.
pub(super) fn note(
    pattern: &mut WritePattern<Instant>,
    brought: Brought,
    rest: usize,
) -> Acknowledgement {
    let waited = |since| Instant::now().saturating_duration_since(since);
    pattern.note(brought, rest, Instant::now, waited)
}

pub(super) fn acknowledge(stream: &TcpStream, due: Acknowledgement) {
    match due {
        Acknowledgement::AsUsual => {}
        Acknowledgement::Now => rearm_quickack(stream),
        Acknowledgement::Withhold => withhold_acknowledgement(stream),
    }
}
