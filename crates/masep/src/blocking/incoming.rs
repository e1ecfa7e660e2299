//! The read half of a connection: one thread at a time reads the socket, whoever wants a frame.

use std::io;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};

use bytes::BytesMut;
use masep_proto::{Frame, FrameCodec};

use super::hello::{acknowledge, note};
use super::outgoing::WriteHalf;
use super::readiness::wait_while;
use super::receive::{Wait, receive};
use crate::CloseReason;
use crate::rejection::RejectionWindow;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};
use crate::write_pattern::{Brought, WritePattern};

/// What the thread owns that has its turn to read.
#[derive(Debug)]
pub(super) struct ReadHalf {
    /// `None` when the connection has ended and the socket is closed.
    stream: Option<Arc<TcpStream>>,
    /// What arrived and was not yet given out.
    buffer: BytesMut,
    /// Twice the bytes that a read brought of late; each one that brings less halves it at most.
    usual: usize,
    /// Why no more bytes come after those in the buffer.
    stream_end: Option<CloseReason>,
    /// The error of a write, which says more than the end of stream that a read finds after it.
    write_failure: Option<CloseReason>,
    /// See [`WriteHalf`].
    peer_splits: Arc<AtomicBool>,
    /// When the last bytes arrived.
    heard: Instant,
    rejection: RejectionWindow<Instant>,
    pattern: WritePattern<Instant>,
}

impl ReadHalf {
    pub(super) fn new(
        other: &WriteHalf,
        buffer: BytesMut,
        rejection: RejectionWindow<Instant>,
        pattern: WritePattern<Instant>,
    ) -> Self {
        let half = Self {
            stream: Some(other.stream.clone()),
            peer_splits: other.peer_splits.clone(),
            buffer,
            usual: 0,
            stream_end: None,
            write_failure: None,
            heard: Instant::now(),
            rejection,
            pattern,
        };
        half.note_pattern();
        half
    }

    pub(super) fn stream(&self) -> Option<Arc<TcpStream>> {
        self.stream.clone()
    }

    pub(super) const fn heard(&self) -> Instant {
        self.heard
    }

    /// Bytes that wait to be taken out as frames.
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(super) const fn stream_end(&self) -> Option<&CloseReason> {
        self.stream_end.as_ref()
    }

    pub(super) fn set_write_failure(&mut self, reason: CloseReason) {
        self.write_failure = Some(reason);
    }

    /// The next whole frame of those that arrived, or `None` if more has to be read for it.
    /// `Err` when none comes any more, with the reason, however often it is asked.
    pub(super) fn decode(&mut self, codec: FrameCodec) -> Result<Option<Frame>, CloseReason> {
        let end = match codec.decode(&mut self.buffer) {
            Ok(Some(frame)) if frame.is_bye() => self.rejection.reason_of_bye(),
            Ok(Some(frame)) => {
                self.rejection.close();
                return Ok(Some(frame));
            }
            Ok(None) => {
                if self.buffer.is_empty() {
                    // A connection that waits holds no buffer.
                    self.buffer = BytesMut::new();
                }
                match &self.stream_end {
                    None => return Ok(None),
                    Some(CloseReason::EndOfStream { .. }) => CloseReason::EndOfStream {
                        mid_frame: !self.buffer.is_empty(),
                    },
                    Some(reason) => reason.clone(),
                }
            }
            Err(limit) => CloseReason::ProtocolError(limit),
        };
        self.buffer = BytesMut::new();
        self.stream_end = Some(end.clone());
        Err(end)
    }

    /// Appends what has arrived. An end of stream or an error is kept for [`decode`](Self::decode);
    /// `Err` is only `WouldBlock`.
    pub(super) fn fill(&mut self, wait: Wait) -> io::Result<()> {
        let Some(stream) = &self.stream else {
            return Ok(());
        };
        let before = self.buffer.len();
        let received = receive(stream, &mut self.buffer, wait, self.usual);
        if self.rejection.is_open() && would_block(&received) {
            self.rejection.found_nothing(Instant::now(), false);
        }
        match received {
            Ok(0) => {
                let end = CloseReason::EndOfStream { mid_frame: false };
                self.stream_end = Some(self.write_failure.take().unwrap_or(end));
            }
            Ok(read) => {
                self.usual = (2 * read).max(self.usual / 2);
                self.heard = Instant::now();
                self.acknowledge(Brought::by(before, read));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => self.stream_end = Some(CloseReason::from_io(&error)),
        }
        Ok(())
    }

    /// Takes in all that has arrived, but no more than about `limit` bytes: for a socket to which
    /// nothing can be written any more, where this is all that is left to come.
    pub(super) fn fill_with_the_rest(&mut self, limit: usize) {
        while self.stream_end.is_none() && self.buffer.len() < limit && self.fill(Wait::No).is_ok()
        {
        }
    }

    /// What a `BYE` means that is among the frames that arrived.
    pub(super) fn reason_of_bye(&self) -> Option<CloseReason> {
        let frames_before = bodies(&self.buffer).position(|body| body == Some(b"BYE"))?;
        Some(match frames_before {
            0 => self.rejection.reason_of_bye(),
            _ => CloseReason::PeerBye,
        })
    }

    /// Whether it is still to be found out what a `BYE` means. Then the socket is looked at before it is
    /// waited for, and [`waited`](Self::waited) is called behind the wait.
    pub(super) const fn may_be_rejected(&self) -> bool {
        self.rejection.is_open()
    }

    /// Whatever there is to be read came while somebody waited for it.
    pub(super) fn waited(&mut self) {
        if self.rejection.is_open() {
            self.rejection.found_nothing(Instant::now(), false);
        }
    }

    /// An unmodified pymasep peer waits for our acknowledgement between header and body, see
    /// [`Wire`](crate::wire::Wire).
    fn acknowledge(&mut self, brought: Brought) {
        let due = note(&mut self.pattern, brought, behind_frames(&self.buffer));
        self.note_pattern();
        if let Some(stream) = &self.stream {
            acknowledge(stream, due);
        }
    }

    fn note_pattern(&self) {
        let is_apart = self.pattern.is_apart();
        if is_apart != self.peer_splits.load(Ordering::Relaxed) {
            self.peer_splits.store(is_apart, Ordering::Relaxed);
        }
    }
}

fn would_block(read: &io::Result<usize>) -> bool {
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// The bodies of the frames in `bytes`, the last one `None` if its bytes are not all there.
fn bodies(mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        let (header, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*header));
        let body = rest.split_at_checked(length);
        bytes = body.map_or(&[][..], |(_, rest)| rest);
        Some(body.map(|(body, _)| body))
    })
}

/// How many bytes are behind the last whole frame.
fn behind_frames(bytes: &[u8]) -> usize {
    let whole: usize = bodies(bytes).flatten().map(|body| 2 + body.len()).sum();
    bytes.len() - whole
}

/// The read half, and whose turn it is to have it. A mutex would do, but it cannot be waited for
/// with a deadline.
#[derive(Debug)]
pub(super) struct Incoming {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` while a thread has its turn.
    half: Option<ReadHalf>,
    /// Threads that wait for their turn: without any, giving it back takes no system call.
    waiting: usize,
    /// Whether the socket is to be let go.
    closed: bool,
}

/// A turn to read, until it is dropped.
#[derive(Debug)]
pub(super) struct ReadTurn<'a> {
    incoming: &'a Incoming,
    half: Option<ReadHalf>,
}

impl Incoming {
    pub(super) const fn new(half: ReadHalf) -> Self {
        Self {
            state: Mutex::new(State {
                half: Some(half),
                waiting: 0,
                closed: false,
            }),
            returned: Condvar::new(),
        }
    }

    /// Takes a turn, after the thread that has it now. `None` when the deadline passed before.
    pub(super) fn turn(&self, until: Option<Instant>) -> Option<ReadTurn<'_>> {
        let mut state = self.lock();
        if state.half.is_none() {
            state.waiting += 1;
            let waited = wait_while(&self.returned, state, until, |state| state.half.is_none());
            let in_time = waited.is_some();
            state = waited.unwrap_or_else(|| self.lock());
            state.waiting -= 1;
            if !in_time {
                return None;
            }
        }
        self.begin_turn(&mut state)
    }

    /// Takes a turn if nobody has it.
    pub(super) fn try_turn(&self) -> Option<ReadTurn<'_>> {
        self.begin_turn(&mut self.lock())
    }

    fn begin_turn(&self, state: &mut State) -> Option<ReadTurn<'_>> {
        let half = state.half.take()?;
        Some(ReadTurn {
            incoming: self,
            half: Some(half),
        })
    }

    /// Lets go of the socket: now, or when the turn is over that somebody has.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Some(half) = &mut state.half {
            half.stream = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for ReadTurn<'_> {
    type Target = ReadHalf;

    fn deref(&self) -> &ReadHalf {
        self.half
            .as_ref()
            .expect("it is there until the turn is dropped")
    }
}

impl DerefMut for ReadTurn<'_> {
    fn deref_mut(&mut self) -> &mut ReadHalf {
        self.half
            .as_mut()
            .expect("it is there until the turn is dropped")
    }
}

impl Drop for ReadTurn<'_> {
    fn drop(&mut self) {
        let mut state = self.incoming.lock();
        state.half = self.half.take();
        if let (true, Some(half)) = (state.closed, &mut state.half) {
            half.stream = None;
        }
        let awaited = state.waiting > 0;
        drop(state);
        if awaited {
            self.incoming.returned.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_whole_frames_is_counted() {
        for (bytes, expected) in [
            (&b""[..], 0),
            (b"\x05", 1),
            (b"\x05\0", 2),
            (b"\x05\0a", 3),
            (b"\x05\0ab", 4),
            (b"\0\0", 0),
            (b"\x01\0a\0\0\x02\0", 2),
            (b"\x01\0a\0\0\x02\0ab", 0),
        ] {
            assert_eq!(behind_frames(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_bye_is_a_frame_and_not_three_bytes_of_another() {
        let bye = |bytes: &[u8]| bodies(bytes).any(|body| body == Some(b"BYE"));
        assert!(bye(b"\x01\0a\0\0\x03\0BYE\x09"));
        assert!(!bye(b"\x05\0\x03\0BYE"));
        assert!(!bye(b"\x04\0BYE!\x03\0BY"));
    }
}
