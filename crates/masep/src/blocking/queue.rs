//! [`SocketHandlerQueue`]: one bounded queue for all connections.

use std::time::Duration;

use masep_proto::Frame;

use super::block_on::block_on;
use super::stream::after;
use super::{Connection, SocketHandler, TimedOut};
use crate::CloseReason;
use crate::queue::{PushError, taken};

/// The time after which a connection that waits for room in the queue looks whether it has ended meanwhile.
const END_CHECK: Duration = Duration::from_millis(100);

/// A frame and the connection that it came from.
pub type Received = crate::Received<Connection>;

/// One bounded queue for the frames of all connections: pymasep's `SocketHandlerQueue`, with which an engine reads everything
/// in one place.
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
pub type SocketHandlerQueue = crate::SocketHandlerQueue<Connection>;

impl SocketHandlerQueue {
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
        let mut received = Some(Received {
            connection: connection.clone(),
            frame,
        });
        let taken = match (self.try_take(&mut received), &received) {
            (None, Some(received)) => taken(self.push_when_room(received)),
            (taken, _) => taken.unwrap_or(Ok(())),
        };
        match taken {
            Ok(()) => {}
            // A frame that was taken out is lost.
            Err(reason @ CloseReason::QueueFull(_)) => connection.shared().lose(reason),
            Err(reason) => connection.shared().end(reason),
        }
    }
}
