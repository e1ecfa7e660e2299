//! The handshake on a socket.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;
use masep_proto::{Handshake, HelloError, PeerId};

use super::incoming::ends_after_header;
use super::readiness::{Interest, passed, wait};
use super::receive::{Wait, receive};
use crate::sync::Instant;
use crate::transport::rearm_quickack;

/// What a hello tells.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) peer: PeerId,
    /// Whether the peer wrote header and body apart.
    pub(super) peer_splits: bool,
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
    let mut peer_splits = false;
    loop {
        let [ready, stopped] = wait([Interest::readable(socket), stop_interest], until)?;
        if stopped.readable {
            return Err(HelloFailure::Stopped);
        }
        if !ready.readable {
            if passed(until) {
                return Err(HelloFailure::TimedOut);
            }
            continue;
        }
        match receive(stream, buffer, Wait::No, 0) {
            Ok(0) => return Err(HelloFailure::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        if ends_after_header(buffer) {
            peer_splits = true;
            // See `Reader::acknowledge` of the async side.
            rearm_quickack(stream);
        }
        if let Some(peer) = handshake.handle(buffer).map_err(HelloFailure::Bad)? {
            return Ok(Heard { peer, peer_splits });
        }
    }
}
