//! Event loops, such as asyncio's, that drive connections: they wait for the sockets, and no thread does.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use masep_proto::Frame;
use masep_proto::connection::Want;

use crate::blocking::pipe::Pipe;
use crate::blocking::stream::{Readiness, Wait};
use crate::blocking::{Connection, keeper};
use crate::connection::ConnectionId;
use crate::sync::{Instant, Mutex, MutexGuard, thread_local};
use crate::{Bye, CloseReason, SendError, TryRecvError};

/// An event loop that drives connections.
///
/// Others can change a connection too, in whichever thread: a server is shut down or kicks a peer, or one comes back with
/// the same id. Then the descriptor of this is readable, and [`take_woken`](Self::take_woken) tells which connections to
/// look at.
pub struct EventLoop(Arc<Wakeups>);

pub(super) struct Wakeups {
    /// The keys of the connections that were woken and not looked at. If there is one, the pipe is readable.
    keys: Mutex<HashSet<u64>>,
    pipe: Pipe,
}

impl Wakeups {
    fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the loop look at the one with this key.
    pub(super) fn wake(&self, key: u64) {
        let mut keys = self.lock();
        let is_first = keys.is_empty();
        if keys.insert(key) && is_first {
            self.pipe.wake();
        }
    }
}

/// The event loop of a connection.
#[derive(Clone)]
pub(in crate::blocking) struct LoopHandle {
    wakeups: Arc<Wakeups>,
    key: u64,
    connection: ConnectionId,
}

thread_local! {
    /// The connection of which the loop in this thread makes a call.
    static CALLED: Cell<Option<ConnectionId>> = const { Cell::new(None) };
}

/// A call of an event loop, from [`Connection::in_loop`]: until this is dropped.
#[must_use]
#[derive(Debug)]
pub struct LoopCall {
    outer: Option<ConnectionId>,
    /// It ends in the thread in which it began.
    of_thread: PhantomData<*const ()>,
}

impl Drop for LoopCall {
    fn drop(&mut self) {
        CALLED.with(|called| called.set(self.outer));
    }
}

impl LoopHandle {
    /// Has the loop look at the connection, unless this is a call of its own, after which it does.
    pub(in crate::blocking) fn wake(&self) {
        if CALLED.with(Cell::get) != Some(self.connection) {
            self.wakeups.wake(self.key);
        }
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoopHandle").field(&self.key).finish()
    }
}

/// The things that an event loop waits for on behalf of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "not for use from outside")]
pub struct Waits {
    /// The socket is to be waited for until it is readable.
    pub reads: bool,
    /// It is to be waited for until it is writable.
    pub writes: bool,
    /// The next look at the latest.
    pub wakes_at: Option<Instant>,
    /// There is a frame to take, or the connection has ended.
    pub has_news: bool,
}

impl EventLoop {
    /// An event loop without connections.
    ///
    /// # Errors
    /// The system's error for a pipe.
    pub fn new() -> io::Result<Self> {
        let (keys, pipe) = (Mutex::default(), Pipe::new()?);
        Ok(Self(Arc::new(Wakeups { keys, pipe })))
    }

    /// The keys of the connections that others have changed since the last call. Never blocks.
    pub fn take_woken(&self) -> Vec<u64> {
        let mut keys = self.0.lock();
        if !keys.is_empty() {
            self.0.pipe.take_out();
        }
        keys.drain().collect()
    }

    /// The means to wake it.
    pub(super) fn wakeups(&self) -> Arc<Wakeups> {
        self.0.clone()
    }
}

impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.pipe.as_fd()
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop").finish_non_exhaustive()
    }
}

/// For the Python package, whose event loop waits for sockets itself.
impl Connection {
    /// Has an event loop drive this connection from here on, which knows it by this key. Gives another handle of the socket
    /// to wait for, unless that is closed already. The loop [turns](Self::turn) the connection now, when the socket is
    /// ready, in time, when it was [woken](EventLoop::take_woken), and after each call that it makes [itself](Self::in_loop).
    ///
    /// # Errors
    /// The error of the system for another handle.
    pub fn attach(&self, event_loop: &EventLoop, key: u64) -> io::Result<Option<OwnedFd>> {
        let shared = self.shared();
        let mut state = shared.lock();
        let socket = state.stream.as_ref();
        let socket = socket.map(|stream| stream.0.as_fd().try_clone_to_owned());
        let socket = socket.transpose()?;
        state.note_use();
        state.roles.event_loop = Some(LoopHandle {
            wakeups: event_loop.wakeups(),
            key,
            connection: shared.info.id,
        });
        state.roles.looks_until = None;
        let is_kept = state.roles.is_watched;
        drop(state);
        if is_kept {
            // The keeper lets go of it.
            keeper::watch(shared);
        }
        Ok(socket)
    }

    /// Makes the calls of this thread to this connection the loop's own, as long as the result lives: the loop is not woken
    /// for what they change.
    pub fn in_loop(&self) -> LoopCall {
        let called = Some(self.shared().info.id);
        LoopCall {
            outer: CALLED.with(|outer| outer.replace(called)),
            of_thread: PhantomData,
        }
    }

    /// Moves the bytes that the socket has, or takes, of those kinds of which it is known to be ready; and does what is
    /// to be done by now: a read at most, so that other connections have their turn. `None` when the peer was told of the
    /// end: the loop needs the socket no more, and the keeper does the rest. Never blocks.
    pub fn turn(&self, readable: bool, writable: bool) -> Option<Waits> {
        let _call = self.in_loop();
        let shared = self.shared();
        let mut state = shared.lock();
        state.tick();
        let found = Readiness {
            reads: readable,
            writes: writable,
        };
        state = shared.found_by(state, found);
        state = shared.advance(state);
        if !readable && state.core.wants().read == Want::Now {
            state = shared.read(state, Wait::No);
            state = shared.advance(state);
        }
        if state.core.is_closed() || state.core.is_over() {
            state.roles.event_loop = None;
            shared.unlock(state);
            return None;
        }
        let wants = state.core.wants();
        Some(Waits {
            reads: wants.read != Want::Nothing && !state.roles.is_shut,
            writes: wants.write != Want::Nothing || wants.sent,
            // The socket does not tell of what was read from it already, nor that there is no more.
            wakes_at: if wants.read == Want::Now && (state.core.has_more() || !state.core.is_open())
            {
                Some(state.now)
            } else {
                state.core.deadline()
            },
            has_news: state.has_frames() || state.core.reason().is_some(),
        })
    }

    /// The next frame, if one was read by now: [`try_recv`](Self::try_recv) that does not look at the socket. If the peer was
    /// held up, it is read on by the next [turn](Self::turn).
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn take_frame(&self) -> Result<Frame, TryRecvError> {
        match self.shared().lock().next_frame() {
            Some(Some(frame)) => Ok(frame),
            Some(None) => Err(TryRecvError::Closed(self.end_reason())),
            None => Err(TryRecvError::Empty),
        }
    }

    /// True if the frame with this number, of which [`offer`](Self::offer) left a rest, is written, also when the
    /// connection has ended since.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the reason of the end, if it will not be.
    pub fn is_written(&self, number: u64) -> Result<bool, SendError> {
        let written = self.shared().lock().is_written(number);
        written.map_or(Ok(false), |written| written.map(|()| true))
    }

    /// [`bye`](Self::bye) that does not wait, or [`bye_with`](Self::bye_with): a call of the [loop](Self::in_loop).
    /// [`is_closed`](Self::is_closed) tells when that is done.
    pub fn begin_bye(&self, bye: Option<Bye>) {
        let _call = self.in_loop();
        match bye {
            Some(bye) => self.shared().begin_end_with(bye),
            None => self.shared().begin_end(CloseReason::LocalBye),
        }
    }

    /// True if the peer was told of the end, or cannot be.
    pub fn is_closed(&self) -> bool {
        let state = self.shared().lock();
        state.core.is_closed() || state.core.is_over()
    }
}
