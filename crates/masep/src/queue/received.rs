//! One queue for the frames of all connections.

use std::sync::Arc;

use masep_proto::{Frame, Limits};

use super::{PushError, Queue, Weigh};
use crate::{CloseReason, Connection, SocketHandler, WhenFull};

/// A frame and the connection that it came from.
#[derive(Clone, Debug)]
pub struct Received<C = Connection> {
    /// The connection of the frame. An answer goes to it.
    pub connection: C,
    /// The frame that came.
    pub frame: Frame,
}

impl<C> Weigh for Received<C> {
    fn weight(&self) -> usize {
        self.frame.size()
    }
}

/// One bounded queue for the frames of all connections: pymasep's `SocketHandlerQueue`, with which
/// an engine reads everything in one place. That of [blocking](crate::blocking) connections has calls that block.
///
/// A clone is another handle of the same queue: one goes to the builder as the handler, the other
/// stays with the reader.
///
/// ```
/// # use masep::{Limits, Server, SocketHandlerQueue, WhenFull};
/// # async fn run() -> std::io::Result<()> {
/// let queue = SocketHandlerQueue::new(&Limits::default(), WhenFull::Wait);
/// let server = Server::builder("engine").handler(queue.clone()).bind("127.0.0.1:0").await?;
/// while let Some(received) = queue.next().await {
///     println!("{} bytes from {}", received.frame.size(), received.connection.peer());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SocketHandlerQueue<C = Connection> {
    pub(crate) queue: Arc<Queue<Received<C>>>,
    when_full: WhenFull,
}

impl<C> SocketHandlerQueue<C> {
    /// A queue of at most [`Limits::queue_messages`] frames and [`Limits::queue_bytes`] bytes, all
    /// connections together.
    pub fn new(limits: &Limits, when_full: WhenFull) -> Self {
        Self {
            queue: Arc::new(Queue::new(limits)),
            when_full,
        }
    }

    /// The oldest frame, if one waits. Does not wait.
    pub fn try_next(&self) -> Option<Received<C>> {
        self.queue.try_pop()
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

    /// Takes in a frame, if that needs no wait: the reason to end its connection if it is not taken. `None` if it is to wait
    /// for room.
    pub(crate) fn try_take(&self, received: &mut Option<Received<C>>) -> Option<Taken> {
        let pushed = match (self.when_full, received.take()) {
            (_, None) => return Some(Ok(())),
            (WhenFull::Disconnect, frame) => self.queue.try_push(&mut { frame }),
            (WhenFull::NewestWins, Some(frame)) => self.queue.push_newest(frame).map(|dropped| {
                if dropped > 0 {
                    tracing::debug!(dropped, "older frames dropped for a newer one");
                }
            }),
            (_, frame) => {
                *received = frame;
                return None;
            }
        };
        Some(taken(pushed))
    }
}

/// The outcome of taking a frame in: the reason to end its connection if it was lost.
pub(crate) type Taken = Result<(), CloseReason>;

pub(crate) fn taken(pushed: Result<(), PushError>) -> Taken {
    pushed.map_err(|error| match error {
        PushError::Full(limit) => CloseReason::QueueFull(limit),
        PushError::Closed => CloseReason::LocalBye,
    })
}

impl SocketHandlerQueue {
    /// The oldest frame that waits, or the next that comes. `None` when the queue is closed and
    /// empty.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    pub async fn next(&self) -> Option<Received> {
        self.queue.pop().await
    }

    /// The newest frame that waits, or the next that comes; older ones are dropped, but never one
    /// for which `keep` holds: then that one is given, and what came after it stays. This is
    /// `wait_message(most_recent=True, keep_all=…)` of pymasep, which however skips an `end` that
    /// is the oldest of several.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    pub async fn newest(&self, keep: impl Fn(&Received) -> bool) -> Option<Received> {
        self.queue.pop_newest(keep).await
    }
}

impl SocketHandler for SocketHandlerQueue {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        let mut received = Some(Received {
            connection: connection.clone(),
            frame,
        });
        let taken = match (self.try_take(&mut received), received) {
            (None, Some(received)) => taken(self.queue.push(received).await),
            (taken, _) => taken.unwrap_or(Ok(())),
        };
        match taken {
            Ok(()) => {}
            // A frame that was taken out is lost.
            Err(reason @ CloseReason::QueueFull(_)) => connection.shared.lose(reason),
            Err(reason) => connection.end(reason),
        }
    }
}
