//! The read half of a connection: one thread at a time reads the socket, whoever wants a frame.

use std::io;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};

use bytes::BytesMut;
use masep_proto::{Frame, FrameCodec};

use super::boundaries::Boundaries;
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
    /// Where the frames in the buffer end.
    boundaries: Boundaries,
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

/// What came of a look for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Some were taken in.
    Bytes,
    /// None have arrived.
    Nothing,
    /// None come any more: the stream has ended, or this side has let go of the socket.
    Over,
}

impl ReadHalf {
    pub(super) fn new(
        other: &WriteHalf,
        buffer: BytesMut,
        rejection: RejectionWindow<Instant>,
        pattern: WritePattern<Instant>,
    ) -> Self {
        let mut half = Self {
            stream: Some(other.stream.clone()),
            peer_splits: other.peer_splits.clone(),
            buffer,
            boundaries: Boundaries::default(),
            usual: 0,
            stream_end: None,
            write_failure: None,
            heard: Instant::now(),
            rejection,
            pattern,
        };
        half.boundaries.look(&half.buffer);
        half.note_pattern();
        half
    }

    pub(super) fn stream(&self) -> Option<Arc<TcpStream>> {
        self.stream.clone()
    }

    pub(super) const fn heard(&self) -> Instant {
        self.heard
    }

    /// Whether a look for bytes can bring any, now or later, and there are fewer than `limit` here.
    pub(super) fn takes_more(&self, limit: usize) -> bool {
        self.stream.is_some() && self.stream_end.is_none() && self.buffer.len() < limit
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
                self.boundaries
                    .advance(FrameCodec::HEADER_BYTES + frame.size());
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
        self.boundaries = Boundaries::default();
        self.stream_end = Some(end.clone());
        Err(end)
    }

    /// Appends what has arrived. An end of stream or an error is kept for [`decode`](Self::decode).
    pub(super) fn fill(&mut self, wait: Wait) -> Filled {
        let Some(stream) = &self.stream else {
            return Filled::Over;
        };
        let before = self.buffer.len();
        let received = receive(stream, &mut self.buffer, wait, self.usual);
        if self.rejection.is_open() && would_block(&received) {
            self.rejection.found_nothing(Instant::now(), false);
        }
        self.stream_end = match received {
            Ok(0) => {
                let end = CloseReason::EndOfStream { mid_frame: false };
                Some(self.write_failure.take().unwrap_or(end))
            }
            Ok(read) => {
                self.usual = (2 * read).max(self.usual / 2);
                self.heard = Instant::now();
                self.acknowledge(Brought::by(before, read));
                return Filled::Bytes;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Filled::Nothing,
            Err(error) => Some(CloseReason::from_io(&error)),
        };
        Filled::Over
    }

    /// Takes in all that has arrived, but no more than about `limit` bytes: for a socket to which
    /// nothing can be written any more, where this is all that is left to come.
    pub(super) fn fill_with_the_rest(&mut self, limit: usize) {
        while self.takes_more(limit) && self.fill(Wait::No) == Filled::Bytes {}
    }

    /// What a `BYE` means that is among the frames that arrived.
    pub(super) fn reason_of_bye(&self) -> Option<CloseReason> {
        Some(match self.boundaries.bye()? {
            0 => self.rejection.reason_of_bye(),
            _ => CloseReason::PeerBye,
        })
    }

    /// Why the connection is over for its peer, if it is: behind what has arrived nothing comes.
    pub(super) fn end(&self) -> Option<CloseReason> {
        self.reason_of_bye()
            .or_else(|| match self.stream_end.as_ref()? {
                CloseReason::EndOfStream { .. } => Some(CloseReason::EndOfStream {
                    mid_frame: self.boundaries.behind(&self.buffer) > 0,
                }),
                reason => Some(reason.clone()),
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
        self.boundaries.look(&self.buffer);
        let rest = self.boundaries.behind(&self.buffer);
        let due = note(&mut self.pattern, brought, rest);
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
