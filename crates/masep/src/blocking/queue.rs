//! [`SocketHandlerQueue`]: one bounded queue for all connections.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use masep_proto::{Frame, Limits};

use super::stream::after;
use super::{Connection, SocketHandler, TimedOut};
use crate::queue::{Items, PushError, Queue, Weigh};
use crate::sync::thread::{self, Thread};
use crate::sync::{self, Instant};
use crate::{CloseReason, WhenFull};

/// The time after which a connection that waits for room in the queue looks whether it has ended meanwhile.
const END_CHECK: Duration = Duration::from_millis(100);

/// A frame and the connection that it came from.
#[derive(Clone, Debug)]
pub struct Received {
    /// The connection of the frame. An answer goes to it.
    pub connection: Connection,
    /// The frame that came.
    pub frame: Frame,
}

impl Weigh for Received {
    fn weight(&self) -> usize {
        self.frame.size()
    }
}

/// One bounded queue for the frames of all connections: pymasep's `SocketHandlerQueue`, with which
/// an engine reads everything in one place.
///
/// A clone is another handle of the same queue: one goes to the builder as the handler, the other
/// stays with the reader.
///
/// ```
/// # use masep::{Limits, WhenFull};
/// use masep::blocking::{Server, SocketHandlerQueue};
///
/// # fn run() -> std::io::Result<()> {
/// let queue = SocketHandlerQueue::new(&Limits::default(), WhenFull::Wait);
/// let server = Server::builder("engine").handler(queue.clone()).bind("127.0.0.1:0")?;
/// while let Some(received) = queue.next() {
///     println!("{} bytes from {}", received.frame.size(), received.connection.peer());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SocketHandlerQueue {
    queue: Arc<Queue<Items<Received>>>,
    when_full: WhenFull,
}

impl SocketHandlerQueue {
    /// A queue of at most [`Limits::queue_messages`] frames and [`Limits::queue_bytes`] bytes, all
    /// connections together.
    pub fn new(limits: &Limits, when_full: WhenFull) -> Self {
        Self {
            queue: Arc::new(Queue::new(limits)),
            when_full,
        }
    }

    /// The oldest frame that waits, or the next that comes. `None` when the queue is closed and
    /// empty. Blocks until one of both.
    pub fn next(&self) -> Option<Received> {
        block_on(self.queue.pop(), None).unwrap_or_default()
    }

    /// [`next`](Self::next) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if there was no frame in that time.
    pub fn next_timeout(&self, time: Duration) -> Result<Option<Received>, TimedOut> {
        block_on(self.queue.pop(), after(time)).ok_or(TimedOut)
    }

    /// The oldest frame, if one waits. Never blocks.
    pub fn try_next(&self) -> Option<Received> {
        self.queue.try_pop()
    }

    /// The newest frame that waits, or the next that comes. Older ones are dropped, but never one
    /// for which `keep` holds: then that one is given, and the later ones stay. This is
    /// `wait_message(most_recent=True, keep_all=…)` of pymasep, which however skips an `end` that
    /// is the oldest of several. Blocks as [`next`](Self::next).
    pub fn newest(&self, keep: impl Fn(&Received) -> bool) -> Option<Received> {
        block_on(self.queue.pop_newest(keep), None).unwrap_or_default()
    }

    /// [`newest`](Self::newest) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if there was no frame in that time.
    pub fn newest_timeout(
        &self,
        time: Duration,
        keep: impl Fn(&Received) -> bool,
    ) -> Result<Option<Received>, TimedOut> {
        block_on(self.queue.pop_newest(keep), after(time)).ok_or(TimedOut)
    }

    /// Takes no more frames: connections that bring one end with [`CloseReason::LocalBye`].
    pub fn close(&self) {
        self.queue.close();
    }

    /// The number of frames that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True if no frame waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for room, but not for a connection that has ended.
    fn push_when_room(&self, received: &Received) -> Result<(), PushError> {
        loop {
            let push = self.queue.push(received.clone());
            if let Some(pushed) = block_on(push, after(END_CHECK)) {
                return pushed;
            }
            if received.connection.close_reason().is_some() {
                return Err(PushError::Closed);
            }
        }
    }
}

impl SocketHandler for SocketHandlerQueue {
    fn on_receive(&self, connection: &Connection, frame: Frame) {
        let received = Received {
            connection: connection.clone(),
            frame,
        };
        let pushed = match self.when_full {
            WhenFull::Disconnect => self.queue.try_push(&mut Some(received)),
            WhenFull::NewestWins => self.queue.push_newest(received).map(|dropped| {
                if dropped > 0 {
                    tracing::debug!(dropped, "older frames dropped for a newer one");
                }
            }),
            _ => self.push_when_room(&received),
        };
        match pushed {
            Ok(()) => {}
            Err(PushError::Full(limit)) => connection.shared().end(CloseReason::QueueFull(limit)),
            Err(PushError::Closed) => connection.shared().end(CloseReason::LocalBye),
        }
    }
}

/// Waits in this thread for a future that needs no runtime. `None` if it is not done at the deadline; the
/// future is dropped then.
fn block_on<F: Future>(future: F, until: Option<Instant>) -> Option<F::Output> {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match until {
            None => thread::park(),
            Some(until) if until <= sync::now() => return None,
            Some(until) => {
                thread::park_timeout(until.saturating_duration_since(sync::now()));
            }
        }
    }
}
