//! The handle of a live connection.

mod ending;
mod lock;
mod receiving;
mod sending;
mod shared;
mod task;
mod transfer;
mod waiters;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

#[cfg(not(masep_model))]
use masep_proto::connection::Want;
use masep_proto::protocol2::{Bye, Notice};
use masep_proto::{Dict, Frame, Message};

use crate::handle::{Owner, SharedConnection as _, handle_calls, handle_traits};
use crate::{CloseReason, RecvMessageError, SendError, TryRecvError, WhenFull};

pub(crate) use lock::Locked;
pub use sending::Sending;
pub(crate) use shared::{Delivery, Shared, State, now};
pub(crate) use transfer::Reading;

#[cfg(not(masep_model))]
pub(crate) use receiving::Listening;
use receiving::Receiving;
use waiters::Waiters;

/// Tells the connections of this process apart, also those with the same peer id one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The number, which no other connection of this process has.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The number, as a key of this process.
    pub(crate) const fn as_key(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A connection to a peer that has said hello: a handle, cheap to clone, usable from any task.
///
/// The connection lives until one of the ends closes it. A server's belongs to the [`Server`](crate::Server), which
/// ends it when it is dropped, and not to its handles. A client's ends, with a `BYE`, when the
/// [`Client`](crate::Client) and all handles that were cloned of it are dropped.
#[derive(Clone)]
pub struct Connection {
    pub(crate) shared: Arc<Shared>,
    owner: Owner<DropGuard>,
}

/// Ends the connection of a client when it is dropped. The handles that keep the connection alive share it.
struct DropGuard(Arc<Shared>);

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.end(CloseReason::LocalBye);
    }
}

impl Connection {
    /// A handle of a server's connection, whose peer has said hello.
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            owner: Owner::Server,
        }
    }

    /// The first handle of a client's connection.
    pub(crate) fn of_client(shared: Arc<Shared>) -> Self {
        let owner = Owner::Guard(Arc::new(DropGuard(shared.clone())));
        Self { shared, owner }
    }

    /// A handle that does not keep the connection alive, but whose clones do.
    pub(crate) fn lend(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            owner: self.owner.lend(),
        }
    }

    handle_calls!();

    /// Asks the peer for a sign of life, which gives [`rtt`](Self::rtt) when it has come. False if none was asked for: in
    /// pymasep's protocol, where the connection has ended, and while another one is under way that is not a second old.
    /// Does not wait.
    pub fn ping(&self) -> bool {
        // The task that is to write it is woken when the lock is released.
        self.shared.lock().core.ping(now())
    }

    /// Tells the peer of something that was not accepted, which is no end (protocol 2). It overtakes frames that wait.
    /// A peer of pymasep's protocol cannot be told, which is no error. Does not wait.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the reason of the end, [`SendError::Full`] if the peer does not take those before it, and
    /// [`SendError::TooLarge`] for one of more than 4,096 bytes.
    pub fn notice(&self, notice: Notice) -> Result<(), SendError> {
        // The task that is to write it is woken when the lock is released.
        let pushed = self.shared.lock().core.notice(notice, now());
        pushed.map(drop).map_err(SendError::from)
    }

    /// The form of messages on this connection, and of the data of turns beside them: for a table's peer made by hand.
    #[cfg(feature = "unstable-transport")]
    pub fn message_encoding(&self) -> masep_proto::Encoding {
        self.encoding().clone()
    }

    /// Queues a frame, after waiting for room in the queue if need be. The frames that one task
    /// sends arrive in that order, each whole; those that wait go out together.
    ///
    /// Returns when the frame is queued or written, not when it has arrived: to know that all were sent,
    /// end with [`bye`](Self::bye). Sending a `BYE` frame is the same as [`bye`](Self::bye) without the wait.
    ///
    /// Cancel safe: a call that is dropped has sent nothing.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] with size and limit, after which the connection lives on, and
    /// [`SendError::Closed`] with the reason for which it ended.
    pub fn send(&self, frame: impl Into<Frame>) -> Sending<'_> {
        Sending::new(self, frame.into())
    }

    /// Queues a frame if there is room for it now.
    ///
    /// # Errors
    /// [`SendError::Full`] without room, else as [`send`](Self::send).
    pub fn try_send(&self, frame: impl Into<Frame>) -> Result<(), SendError> {
        self.shared
            .push(&mut Some(frame.into()), WhenFull::Wait, true, now())
    }

    /// As [`try_send`](Self::try_send), but leaves the writing to the connection's own task: for a
    /// caller with many connections. Takes the frame, or a copy of it.
    pub(crate) fn try_queue(
        &self,
        frame: &mut Option<Frame>,
        time: Instant,
    ) -> Result<(), SendError> {
        self.shared.push(frame, WhenFull::Wait, false, time)
    }

    /// Queues a frame by a policy for a full queue: [`Wait`](WhenFull::Wait) is
    /// [`send`](Self::send), [`NewestWins`](WhenFull::NewestWins) drops the oldest frames that are
    /// not yet on their way, [`Disconnect`](WhenFull::Disconnect) ends the connection with a `BYE`
    /// and without the frames that wait.
    ///
    /// Cancel safe: a call that is dropped has sent nothing.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Full`] when the connection was ended for it.
    pub async fn send_or(
        &self,
        frame: impl Into<Frame>,
        when_full: WhenFull,
    ) -> Result<(), SendError> {
        let frame = frame.into();
        match when_full {
            WhenFull::Disconnect => {}
            WhenFull::NewestWins => {
                let has_room = self.shared.lock().core.has_send_room(frame.size());
                if !has_room {
                    // A sender that never pauses lets the connection's task write now and then.
                    tokio::task::consume_budget().await;
                }
            }
            _ => return Sending::new(self, frame).await,
        }
        (self.shared).push(&mut Some(frame), when_full, true, now())
    }

    /// [Encodes](Self::encode) a message and sends it as [`send`](Self::send) does. Large arrays are not copied (protocol
    /// 2): they are written from where they are. For the same message to many connections, see
    /// [`Registry::broadcast_message`](crate::Registry::broadcast_message).
    ///
    /// Cancel safe: a call that is dropped has sent nothing.
    ///
    /// # Errors
    /// [`SendError::Encode`] for a message that cannot be sent, else as [`send`](Self::send).
    pub async fn send_message(&self, message: &Message) -> Result<(), SendError> {
        self.send_turn(message, None).await
    }

    /// [`send_message`](Self::send_message) with what belongs to the turn of a game.
    pub(crate) async fn send_turn(
        &self,
        message: &Message,
        turn: Option<&Dict>,
    ) -> Result<(), SendError> {
        let encoded = self.encoding().encode_turn_pieces(message, turn)?;
        Sending::encoded(self, encoded).await
    }

    /// The next frame, or the reason for which the connection has ended when all that came before was given:
    /// [`CloseReason::is_orderly`] tells whether that is as it should be.
    ///
    /// With a [`SocketHandler`](crate::SocketHandler) the frames go there, and this only waits for
    /// the end.
    ///
    /// A call that waits reads the socket itself, which is the shortest way. So keep polling a call that was
    /// begun, or drop it. While it is neither polled nor dropped, frames wait in the socket, and the end of
    /// the connection may go unnoticed until a call asks for it ([`closed`](Self::closed),
    /// [`bye`](Self::bye)).
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// The reason of the end, the same each time.
    pub async fn recv(&self) -> Result<Frame, CloseReason> {
        let mut receiving = Receiving::new(&self.shared);
        if !self.shared.busy_poll.is_zero()
            && let Some(received) = receiving.spin().await
        {
            return received.ok_or_else(|| self.shared.end_reason());
        }
        let received = poll_fn(|context| receiving.poll(context, false)).await;
        received.ok_or_else(|| self.shared.end_reason())
    }

    /// The next frame, or a notice of the peer's, which comes without one ([`try_notice`](Self::try_notice)): for a program
    /// that would otherwise wait for a frame that does not come because something was not accepted.
    ///
    /// Of several calls that receive, the one that reads the socket gets the notice.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// As [`recv`](Self::recv). Notices that came before the end may still be there to be taken.
    pub async fn recv_or_notice(&self) -> Result<Result<Frame, Notice>, CloseReason> {
        let mut receiving = pin!(self.recv());
        poll_fn(|context| match receiving.as_mut().poll(context) {
            Poll::Ready(received) => Poll::Ready(received.map(Ok)),
            Poll::Pending => match self.try_notice() {
                Some(notice) => Poll::Ready(Ok(Err(notice))),
                None => Poll::Pending,
            },
        })
        .await
    }

    /// The next frame as a message: [`recv`](Self::recv), and then [`decode`](Self::decode).
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// [`RecvMessageError::Closed`] at the end. [`RecvMessageError::Decode`] for a frame that is no message; it has that
    /// frame, and the next call gives what came after it.
    pub async fn recv_message(&self) -> Result<Message, RecvMessageError> {
        let frame = self.recv().await?;
        RecvMessageError::decode(self.encoding(), frame)
    }

    /// The next frame, if one has arrived.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none has, and [`TryRecvError::Closed`] with the reason of the end.
    pub fn try_recv(&self) -> Result<Frame, TryRecvError> {
        let received = self.shared.try_next().or_else(|| {
            self.shared.collect();
            self.shared.try_next()
        });
        received.ok_or_else(|| {
            let is_settled = self.shared.look_at(|core| core.is_settled());
            if is_settled {
                TryRecvError::Closed(self.shared.end_reason())
            } else {
                TryRecvError::Empty
            }
        })
    }

    /// True if [`try_recv`](Self::try_recv) may give a frame that came with those that were given, which costs less to know than
    /// to try.
    #[cfg(not(masep_model))]
    pub(crate) fn has_read_more(&self) -> bool {
        let locked = self.shared.lock();
        let has_more = !locked.batch.is_empty()
            || locked.core.frames() > 0
            || locked.core.wants_read() == Want::Now;
        locked.release();
        has_more
    }

    /// The newest frame that has arrived, or the next that comes; older ones are dropped, but never
    /// one for which `keep` holds: then that one is given, and what came after it stays.
    ///
    /// This is for an agent that is slower than its engine: it gets the latest observation, but every `end`
    /// (pymasep's `wait_message(most_recent=True, keep_all=…)`).
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_newest(&self, keep: impl Fn(&Frame) -> bool) -> Result<Frame, CloseReason> {
        self.shared.collect();
        let mut newest = self.recv().await?;
        while !keep(&newest) {
            match self.shared.try_next() {
                Some(newer) => newest = newer,
                None => break,
            }
        }
        Ok(newest)
    }

    /// Sends the queue, then `BYE`, and closes. Returns when the system has sent the `BYE`, with
    /// the reason for which the connection ended: [`CloseReason::LocalBye`], unless something else
    /// ended it before. A peer that takes no bytes is given up after
    /// [`Limits::write_time`](crate::Limits::write_time), or a second after the `BYE` was written.
    ///
    /// The stream ends behind the `BYE`. The connection's task closes the socket when the peer has
    /// ended its side, at the latest a second later; bytes from the peer until then are thrown away.
    ///
    /// Cancel safe: the first poll starts the end, and a call that is dropped only stops waiting.
    pub async fn bye(&self) -> CloseReason {
        self.end(CloseReason::LocalBye);
        self.closed().await
    }

    /// [`bye`](Self::bye) that tells the peer why, by a code for programs and a text for people, and whether it may come
    /// back: its [`CloseReason::words`]. To a peer of pymasep's protocol it is a plain `BYE`.
    ///
    /// ```
    /// # async fn end(connection: &masep::Connection) {
    /// use masep::Bye;
    ///
    /// let bye = Bye::new("table_closed", "the game is over").may_return(true);
    /// connection.bye_with(bye).await;
    /// # }
    /// ```
    ///
    /// Cancel safe: as [`bye`](Self::bye).
    pub async fn bye_with(&self, bye: Bye) -> CloseReason {
        self.shared.end_with(bye);
        self.closed().await
    }

    /// The number of frames that the calls accepted for sending and that have not gone out: those that wait, and
    /// one that has gone out in part. When the connection has ended, these are lost. The system may
    /// lose more: bytes that it has taken and not sent, or that the peer has not acknowledged.
    pub fn unsent(&self) -> usize {
        let unsent = self.shared.look_at(|core| core.unsent());
        usize::try_from(unsent).unwrap_or(usize::MAX)
    }

    /// The reason why the connection ended, if it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.shared.close_reason()
    }

    /// Waits for the end of the connection: the peer was told, the id is free, and the handler was told. In the
    /// connection's own handler, which is told when its call has returned, it waits until the peer was told; nothing is read
    /// meanwhile, so that an end by the peer that was not read yet is not noticed.
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        self.shared.closed().await
    }

    /// Ends the connection for this reason when the queue was sent.
    pub(crate) fn end(&self, reason: CloseReason) {
        self.shared.end(reason);
    }

    /// Ends the connection for this reason now, without the queue.
    pub(crate) fn abort(&self, reason: CloseReason) {
        self.shared.abort(reason);
    }
}

handle_traits!(Connection);
