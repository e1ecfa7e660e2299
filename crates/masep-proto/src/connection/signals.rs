//! The types in which a shell and a connection talk to each other.

use std::io;
use std::mem;

use super::action;
use crate::tls::TlsFault;

/// Room for one read: bytes that the shell reads are appended to [`buffer`](Self::buffer), within its capacity.
///
/// It leaves the connection for the system call, so that no lock is held in it, and comes back with
/// [`Connection::put_room`](super::Connection::put_room), whatever came of the call.
#[derive(Debug)]
#[must_use = "nothing is read until it is put back"]
pub struct Room {
    bytes: Vec<u8>,
    before: usize,
}

impl Room {
    pub(super) const fn new(bytes: Vec<u8>) -> Self {
        let before = bytes.len();
        Self { bytes, before }
    }

    pub(super) fn into_parts(self) -> (Vec<u8>, usize) {
        (self.bytes, self.before)
    }

    /// The buffer to append to. Its bytes stay as they are, and it is not to grow beyond its capacity, of
    /// which at least one byte is free.
    pub const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The number of bytes that can be read.
    pub const fn free(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Appends as many of these bytes as there is room for, and gives their number. For streams that have their bytes in
    /// memory.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.free());
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }
}

/// The outcome of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes were appended to the room. Without any, the read was interrupted.
    Bytes,
    /// Nothing has arrived.
    Blocked,
    /// The peer's stream has ended.
    End,
    /// The stream failed.
    Failed(io::ErrorKind),
    /// The TLS of the stream failed, or is none.
    Tls(TlsFault),
}

/// An error that is a [`TlsFault`] counts as such.
impl From<io::Result<usize>> for Read {
    #[inline]
    fn from(result: io::Result<usize>) -> Self {
        match result {
            Ok(0) => Self::End,
            Ok(_) => Self::Bytes,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Self::Blocked,
                io::ErrorKind::Interrupted => Self::Bytes,
                kind => {
                    let fault = error.get_ref().and_then(|error| error.downcast_ref());
                    fault.map_or(Self::Failed(kind), |fault| Self::Tls(*fault))
                }
            },
        }
    }
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The stream took so many bytes.
    Bytes(usize),
    /// The stream takes nothing now.
    Blocked,
    /// The stream failed.
    Failed(io::ErrorKind),
}

impl From<io::Result<usize>> for Write {
    #[inline]
    fn from(result: io::Result<usize>) -> Self {
        match result {
            Ok(0) => Self::Blocked,
            Ok(written) => Self::Bytes(written),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Self::Blocked,
                io::ErrorKind::Interrupted => Self::Bytes(0),
                kind => Self::Failed(kind),
            },
        }
    }
}

/// The urgency of a call of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// No: there is nothing to do, it is the user's turn, or the room or transmit is out.
    #[default]
    Nothing,
    /// When the stream is ready for it: the last call found that it was not.
    Ready,
    /// Now, whether or not the stream is known to be ready. The connection waits for the outcome.
    Now,
}

/// The calls that a connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The wish to read into a room.
    pub read: Want,
    /// The wish to write a transmit.
    pub write: Want,
    /// The wish to be told by [`Connection::sent`](super::Connection::sent) that all written bytes were sent. A shell
    /// whose stream cannot tell calls it at once.
    pub sent: bool,
}

/// A thing that is to be done to the stream, besides reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Acknowledge the bytes that have arrived at once (`TCP_QUICKACK`): the peer waits for that before it goes on.
    QuickAck,
    /// Put off the acknowledgement of the bytes that come next (`TCP_QUICKACK` off): the behaviour of the peer
    /// meanwhile shows if it writes header and body apart.
    DelayAck,
    /// Shut the stream for writing.
    HalfClose,
    /// Close the stream.
    Close,
    /// Close the stream so that the peer finds an error instead of its end.
    Reset,
}

impl Action {
    pub(super) const fn of(bit: u16) -> Option<Self> {
        Some(match bit {
            action::QUICK_ACK => Self::QuickAck,
            action::DELAY_ACK => Self::DelayAck,
            action::HALF_CLOSE => Self::HalfClose,
            action::CLOSE => Self::Close,
            action::RESET => Self::Reset,
            _ => return None,
        })
    }
}

/// The things that are to be done to the stream, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Actions(Pending);

impl Actions {
    pub(super) const fn take(pending: &mut Pending) -> Self {
        Self(mem::replace(pending, Pending(0)))
    }

    /// True if the stream is to be closed.
    #[inline]
    pub const fn close(self) -> bool {
        self.0.0 & (action::CLOSE | action::RESET) != 0
    }
}

impl Iterator for Actions {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        Action::of(self.0.take_first())
    }
}

/// A thing that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer's hello was heard, and a verdict is asked for: [`Connection::admit`](super::Connection::admit)
    /// or [`Connection::refuse`](super::Connection::refuse).
    Hello,
    /// Both sides have said hello.
    Open,
    /// There will be no connection, see [`Connection::failure`](super::Connection::failure).
    Failed,
    /// Frames have arrived.
    Frames,
    /// The peer did not accept something, which is no end (protocol 2):
    /// [`Connection::poll_notice`](super::Connection::poll_notice).
    Notice,
    /// The peer's ping is to be answered (protocol 2): a [write](super::Wants::write) is wanted, of which nobody else is told.
    Control,
    /// There is room in the queue again, after a frame was refused for lack of it.
    SendRoom,
    /// The number of frames, of all that were [accepted](super::Connection::accepted), that were written or
    /// dropped in favour of newer ones.
    Written(u64),
    /// The connection has a reason to end: no frame is accepted any more, none arrives, and those that wait are
    /// the last.
    Ended,
    /// The connection has ended: the peer was told, or cannot be. Its id and its place are free.
    Closed,
    /// The stream is closed, or is as soon as the last [`Action`] is done.
    Over,
}

/// The way of a frame that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The frame waits, and another call will write it.
    Queued,
    /// The caller takes a transmit and writes it now.
    WriteNow,
    /// The frame waits, and nobody is writing: the writer is to be woken.
    WakeWriter,
}

/// Some of a small set of things, given out in order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending(u16);

impl Pending {
    pub(super) const fn set(&mut self, bit: u16) {
        self.0 |= bit;
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Takes one back.
    pub(super) const fn clear(&mut self, bit: u16) {
        self.0 &= !bit;
    }

    /// The lowest one.
    pub(super) const fn take_first(&mut self) -> u16 {
        let first = self.0 & self.0.wrapping_neg();
        self.0 &= !first;
        first
    }
}
