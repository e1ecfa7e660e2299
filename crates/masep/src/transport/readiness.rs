//! A Unix socket that tasks wait for.

use std::future::Future as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Sleep, sleep};

/// The pause between two looks for room in a process that has no descriptor to wait with.
const LOOK_TIME: Duration = Duration::from_millis(10);

/// A Unix socket that the tokio runtime watches for bytes, and for room only while somebody waits for that: the system
/// calls such a socket writable anew whenever its peer has read something, which would wake a task twice for each answer.
#[derive(Debug)]
pub struct UnixTransport {
    reading: AsyncFd<OwnedFd>,
    writing: Mutex<Option<Writing>>,
}

#[derive(Debug)]
struct Writing {
    room: Room,
    waiting: Waker,
}

/// The way to learn that there is room.
#[derive(Debug)]
enum Room {
    Watched(AsyncFd<OwnedFd>),
    /// The system has nothing to watch it with now: a write after a moment finds out.
    Tried(Pin<Box<Sleep>>),
}

/// The call is deprecated because of types that give away descriptors that they do not own, which this is none of.
#[allow(deprecated, reason = "its successor is unsafe")]
fn watch(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}

impl UnixTransport {
    pub(super) fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            reading: watch(socket.into(), Interest::READABLE)?,
            writing: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writing>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reading.poll_read_ready(context).map_ok(drop)
    }

    pub(super) fn try_read(&self, call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        self.reading.try_io(Interest::READABLE, |_| call())
    }

    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writing = self.lock();
        let waiting = context.waker().clone();
        let writing = match &mut *writing {
            Some(writing) => {
                writing.waiting = waiting;
                writing
            }
            // Readiness that is there now is told at once.
            none => none.insert(Writing {
                room: self.watch_room(),
                waiting,
            }),
        };
        match &mut writing.room {
            Room::Watched(room) => room.poll_write_ready(context).map_ok(drop),
            Room::Tried(pause) => pause.as_mut().poll(context).map(Ok),
        }
    }

    fn watch_room(&self) -> Room {
        let socket = self.as_fd().try_clone_to_owned();
        match socket.and_then(|socket| watch(socket, Interest::WRITABLE)) {
            Ok(room) => Room::Watched(room),
            Err(error) => {
                tracing::debug!("a full socket is looked at every {LOOK_TIME:?}: {error}");
                Room::Tried(Box::pin(sleep(LOOK_TIME)))
            }
        }
    }

    pub(super) fn try_write(&self, call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        let mut writing = self.lock();
        let Some(waited) = &*writing else {
            drop(writing);
            return call();
        };
        let (written, is_watched) = match &waited.room {
            Room::Watched(room) => (room.try_io(Interest::WRITABLE, |_| call()), true),
            Room::Tried(_) => (call(), false),
        };
        let blocks = matches!(&written, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        if !blocks || !is_watched {
            let waited = writing.take();
            drop(writing);
            // It looks again, and waits anew if it has to.
            waited.into_iter().for_each(|it| it.waiting.wake());
        }
        written
    }

    /// Waits until the socket is ready for this, or of no use.
    ///
    /// Cancel safe: what the socket is ready for is told to the next call.
    ///
    /// # Errors
    /// Only when the wait itself is of no use.
    #[cfg(feature = "unstable-transport")]
    pub async fn ready(&self, interest: Interest) -> io::Result<()> {
        if interest.is_writable() {
            return std::future::poll_fn(|context| self.poll_writable(context)).await;
        }
        self.reading.ready(interest).await.map(drop)
    }
}

impl AsFd for UnixTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reading.get_ref().as_fd()
    }
}
