//! One queue for the frames of all connections.

use std::sync::Arc;

use masep_proto::{Frame, Limits};

use super::{Items, Queue, Weigh, WhenFull, enqueue};
use crate::{Connection, SocketHandler};

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
    /// empty.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    pub async fn next(&self) -> Option<Received> {
        self.queue.pop().await
    }

    /// The oldest frame, if one waits.
    pub fn try_next(&self) -> Option<Received> {
        self.queue.try_pop()
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

    /// Takes no more frames: connections that bring one end with [`CloseReason::LocalBye`](crate::CloseReason::LocalBye).
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
}

impl SocketHandler for SocketHandlerQueue {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        let received = Received {
            connection: connection.clone(),
            frame,
        };
        enqueue(&self.queue, received, self.when_full, connection).await;
    }
}
