//! How a socket is left: with all that the peer is owed and a `BYE`.
//!
//! A bare close makes an unmodified pymasep peer spin at 100 % of a core; a reset ends it. So a
//! socket is closed after a `BYE`, and reset where the peer does not take even that.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::MsgFlags;
use socket2::SockRef;

use super::acceptor::Slot;
use super::outgoing::{Pushed, WriteHalf};
use super::readiness::{Interest, after, passed, wait, wait_for_any};
use crate::CloseReason;
use crate::driver::CLOSE_GRACE;
use crate::sync::{Instant, recv, thread};
use crate::wire::{BYE, DRAIN_BYTES};

/// A socket on its way out. Dropping it closes the socket, whatever others still hold it.
#[derive(Debug)]
pub(super) struct Farewell {
    half: WriteHalf,
    state: State,
    /// Whether the end of the peer's stream, or an error, was found.
    stream_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The peer is owed something.
    Owed,
    /// The peer has, or will have, all that it is owed.
    Delivered,
    /// The peer stopped to take bytes.
    GivenUp,
}

impl Farewell {
    /// Leaves a connection that ends for this reason.
    pub(super) fn new(mut half: WriteHalf, reason: &CloseReason) -> Self {
        let state = if *reason == CloseReason::WriteTimeout {
            State::GivenUp
        } else if reason.peer_may_read() {
            half.unsent.extend_from_slice(BYE);
            State::Owed
        } else {
            State::Delivered
        };
        Self {
            half,
            state,
            stream_ended: false,
        }
    }

    /// Leaves a socket on which no connection came about, with these bytes as the last.
    pub(super) fn of_stream(stream: Arc<TcpStream>, owed: &[u8], slot: Option<Slot>) -> Self {
        Self {
            half: WriteHalf::new(stream, owed, slot),
            state: State::Owed,
            stream_ended: false,
        }
    }

    /// Goes on as far as it can without a wait: whether nothing is left to be done.
    ///
    /// Done is when the last byte was sent to the peer, not only written to the socket: what the
    /// peer sends after the close makes the kernel reset the connection and drop what is unsent.
    fn advance(&mut self) -> bool {
        if self.state == State::Owed {
            self.state = match self.deliver() {
                Ok(true) => State::Delivered,
                Ok(false) => State::Owed,
                Err(_) => State::GivenUp,
            };
        }
        self.state != State::Owed
    }

    fn deliver(&mut self) -> io::Result<bool> {
        if self.half.push_unsent()? != Pushed::All {
            return Ok(false);
        }
        let stream = &self.half.stream;
        // From here on the socket is writable when nothing is unsent. Where it has no such option, it
        // is no TCP socket, and what was written to it has arrived.
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&**stream).set_tcp_notsent_lowat(1);
        let [ready] = wait([Interest::writable(stream.as_fd())], Some(Instant::now()))?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(ready.writable),
        }
    }

    /// Goes on until the deadline; whether all was delivered. What the peer sends meanwhile is
    /// thrown away: it may be one that reads only when it could write.
    pub(super) fn finish(self, until: Option<Instant>) -> bool {
        finish_all(vec![self], until) == [true]
    }

    /// Finishes without a wait: what the socket does not take now is not sent.
    pub(super) fn finish_now(mut self) {
        self.advance();
    }

    /// Finishes without a wait if that is possible, else in a thread of its own.
    pub(super) fn finish_in_background(mut self) {
        if self.advance() {
            return;
        }
        // Whoever waits for bytes to read is told now, not when the thread is done.
        let _ = self.half.stream.shutdown(Shutdown::Read);
        // Where there is no thread for it, it is dropped here.
        let _ = thread::Builder::new()
            .name("masep-farewell".into())
            .spawn(move || self.finish(after(CLOSE_GRACE)));
    }

    fn interest(&self) -> Interest<'_> {
        Interest::writable(self.half.stream.as_fd()).or_readable_if(!self.stream_ended)
    }

    /// Throws away what the peer sent, as far as it has arrived and up to a bound. An error of the
    /// socket, which the system tells once, is the end of what can be delivered.
    fn discard(&mut self) {
        let mut landing = [0; 4096];
        let mut drained = 0;
        while drained < DRAIN_BYTES && !self.stream_ended {
            let socket = self.half.stream.as_raw_fd();
            match recv(socket, &mut landing, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from) {
                Ok(read) if read > 0 => drained += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) => self.stream_ended = true,
                Err(_) => {
                    self.stream_ended = true;
                    if self.state == State::Owed {
                        self.state = State::GivenUp;
                    }
                }
            }
        }
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let stream = self.half.stream.clone();
        // Free before the peer can know: it may come back at once.
        self.half.slot = None;
        if self.state == State::Delivered {
            let _ = stream.shutdown(Shutdown::Write);
            // A close with unread bytes is a reset.
            self.discard();
            // Whoever waits in a read or for room wakes up and lets go of the socket.
            let _ = stream.shutdown(Shutdown::Both);
        } else {
            // The reset goes out when the last one has let go of the socket. A stream that was shut for writing
            // would end in order before that, for a peer that reads now what had reached it.
            let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

/// Finishes several at the same time: which were delivered when all were done, or the deadline
/// passed.
pub(super) fn finish_all(mut farewells: Vec<Farewell>, until: Option<Instant>) -> Vec<bool> {
    loop {
        let mut interests = Vec::new();
        for farewell in &mut farewells {
            if !farewell.advance() {
                interests.push(farewell.interest());
            }
        }
        if interests.is_empty() || passed(until) || wait_for_any(&interests, until).is_err() {
            break;
        }
        for farewell in &mut farewells {
            if farewell.state == State::Owed {
                farewell.discard();
            }
        }
    }
    farewells
        .iter()
        .map(|farewell| farewell.state == State::Delivered)
        .collect()
}
