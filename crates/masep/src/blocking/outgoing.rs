//! The write half of a connection: each frame is written by the thread that sends it.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::{Arc, PoisonError};

use bytes::{Buf, BytesMut};
use masep_proto::Frame;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, sendmsg};

use super::acceptor::Slot;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What writing needs. Taken out when the connection ends, by the one who ends it.
#[derive(Debug)]
pub(super) struct WriteHalf {
    pub(super) stream: Arc<TcpStream>,
    /// The rest of a frame that the socket took in part, to go before any other.
    pub(super) unsent: BytesMut,
    /// Bytes that the socket took so far: whether the peer takes any is seen by these.
    pub(super) taken: u64,
    /// Whether the peer writes header and body apart, as every pymasep peer does. Its reader takes
    /// the end of a segment for the end of a frame, so that each frame has to begin one.
    pub(super) peer_splits: Arc<AtomicBool>,
    /// The place among the server's connections or refusals, free again when the socket is closed.
    pub(super) slot: Option<Slot>,
}

/// How far a write came without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The socket took everything.
    All,
    /// The socket took some bytes and has no room for the others.
    Some,
    /// The socket has no room.
    Nothing,
}

impl WriteHalf {
    /// The write half of a socket on which these bytes are to go out first.
    pub(super) fn new(stream: Arc<TcpStream>, unsent: &[u8], slot: Option<Slot>) -> Self {
        Self {
            stream,
            unsent: BytesMut::from(unsent),
            taken: 0,
            peer_splits: Arc::default(),
            slot,
        }
    }

    /// Writes what is unsent, then the frame, as far as the socket takes it. A frame that it took
    /// in part is taken out of `frame`, and its rest is unsent now.
    pub(super) fn push(&mut self, frame: &mut Option<Frame>) -> io::Result<Pushed> {
        let rest = self.unsent.len();
        if self.push_unsent()? == Pushed::All {
            let Some(next) = frame else {
                return Ok(Pushed::All);
            };
            if self.push_frame(next)? {
                *frame = None;
            }
        }
        Ok(if frame.is_none() && self.unsent.is_empty() {
            Pushed::All
        } else if frame.is_none() || self.unsent.len() < rest {
            Pushed::Some
        } else {
            Pushed::Nothing
        })
    }

    /// Header and body in one write; whether the socket took any of it.
    fn push_frame(&mut self, frame: &Frame) -> io::Result<bool> {
        // The size was checked by the call that sends it.
        let header = u16::try_from(frame.size())
            .unwrap_or(u16::MAX)
            .to_le_bytes();
        let slices = [IoSlice::new(&header), IoSlice::new(frame.bytes())];
        let written = transmit(&self.stream, &slices, self.apart())?;
        self.taken += written as u64;
        if written > 0 && written < header.len() + frame.size() {
            let in_header = written.min(header.len());
            self.unsent.extend_from_slice(&header[in_header..]);
            self.unsent
                .extend_from_slice(&frame.bytes()[written - in_header..]);
        }
        Ok(written > 0)
    }

    /// Writes what is unsent.
    pub(super) fn push_unsent(&mut self) -> io::Result<Pushed> {
        let mut pushed = Pushed::Nothing;
        while !self.unsent.is_empty() {
            let written = transmit(&self.stream, &[IoSlice::new(&self.unsent)], self.apart())?;
            if written == 0 {
                return Ok(pushed);
            }
            self.unsent.advance(written);
            self.taken += written as u64;
            pushed = Pushed::Some;
        }
        self.unsent = BytesMut::new();
        Ok(Pushed::All)
    }

    fn apart(&self) -> bool {
        self.peer_splits.load(Ordering::Relaxed)
    }
}

/// One write of what the socket takes now, all slices together: how many bytes, 0 without room. What is
/// written later begins a segment of its own if this is to be `apart`.
fn transmit(stream: &TcpStream, slices: &[IoSlice<'_>], apart: bool) -> io::Result<usize> {
    let mut flags = MsgFlags::MSG_DONTWAIT;
    // Where there is no such flag, the standard library has set the option for it.
    #[cfg(not(target_vendor = "apple"))]
    flags.insert(MsgFlags::MSG_NOSIGNAL);
    // As `try_write_apart` of the async side.
    #[cfg(target_os = "linux")]
    flags.set(MsgFlags::MSG_EOR, apart);
    loop {
        match sendmsg::<()>(stream.as_raw_fd(), slices, &[], flags, None) {
            Ok(written) => return Ok(written),
            Err(Errno::EAGAIN) => return Ok(0),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The write half, and whether a thread waits for room with it.
#[derive(Debug)]
pub(super) struct Outgoing {
    state: Mutex<OutgoingState>,
    changed: Condvar,
}

#[derive(Debug)]
pub(super) struct OutgoingState {
    /// `None` when the connection has ended.
    pub(super) half: Option<WriteHalf>,
    /// Whether a thread waits for room; the others come after it. The lock is only held for writes
    /// that do not wait, so that a thread that must not wait need not.
    pub(super) busy: bool,
    /// Whether a thread of its own writes what is unsent, see
    /// [`write_in_background`](super::shared::Shared::write_in_background).
    pub(super) in_background: bool,
    /// Threads that wait until no other waits for room: without any, passing on takes no system
    /// call.
    waiting: usize,
}

impl Outgoing {
    pub(super) const fn new(half: WriteHalf) -> Self {
        Self {
            state: Mutex::new(OutgoingState {
                half: Some(half),
                busy: false,
                in_background: false,
                waiting: 0,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, OutgoingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`lock`](Self::lock) when no other thread waits for room any more.
    pub(super) fn lock_idle(&self) -> MutexGuard<'_, OutgoingState> {
        let must_wait = |state: &mut OutgoingState| state.busy && state.half.is_some();
        let mut state = self.lock();
        if must_wait(&mut state) {
            state.waiting += 1;
            state = self
                .changed
                .wait_while(state, must_wait)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state
    }

    /// To be called when a thread no longer waits for room.
    pub(super) fn pass_on(&self, state: MutexGuard<'_, OutgoingState>) {
        let awaited = state.waiting > 0;
        drop(state);
        if awaited {
            self.changed.notify_one();
        }
    }

    /// To be called when the write half was taken out.
    pub(super) fn wake_all(&self) {
        self.changed.notify_all();
    }
}
