//! The handle of a live connection.

mod sending;

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use masep_proto::{Frame, FrameCodec, LimitExceeded, Limits, Message, PeerId};

use crate::line::{Caller, Line};
use crate::queue::{Backlog, Items, PushError, Queue, enqueue};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, Notify, OnceLock};
use crate::wire::Wire;
use crate::{CloseReason, SendError, WhenFull};

pub use sending::Sending;

/// Tells the connections of this process apart, also those with the same peer id one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A connection to a peer that has said hello: a handle, cheap to clone, usable from any task.
///
/// The connection lives until one of the ends closes it; dropping handles does not end it. Its
/// owner, the [`Server`](crate::Server) or [`Client`](crate::Client), ends it when it is dropped.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

/// What the handles and the task of a connection share.
pub(crate) struct Shared {
    id: ConnectionId,
    peer: PeerId,
    address: SocketAddr,
    codec: FrameCodec,
    pub(crate) outbound: Queue<Backlog>,
    pub(crate) inbound: Queue<Items<Frame>>,
    pub(crate) line: Mutex<Line>,
    /// Whether calls of `recv` read, and those of `send` write, when it is their turn.
    pub(crate) direct: bool,
    /// See [`Limits::busy_poll`].
    busy_poll: Duration,
    /// Whether a caller has waited for a frame since he sent one, or the handler answers the last that has
    /// arrived.
    pub(crate) may_write: AtomicBool,
    /// The reason of the first call that ends the connection from this side.
    requested: OnceLock<CloseReason>,
    /// Whether the task is to end at once, whatever still waits to be sent.
    aborted: AtomicBool,
    /// Whether a frame that arrived was refused because its queue was full.
    overflowed: AtomicBool,
    /// How many frames were being written when it ended, and were not.
    lost: AtomicUsize,
    /// Set when the peer and the handler were told.
    closed: OnceLock<CloseReason>,
    closed_event: Notify,
}

impl Connection {
    /// `direct`: whether the calls of the handles move bytes themselves, see [`crate::line`].
    pub(crate) fn new(peer: PeerId, address: SocketAddr, limits: &Limits, direct: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                id: ConnectionId::next(),
                peer,
                address,
                codec: FrameCodec::new(limits),
                outbound: Queue::new(limits),
                inbound: Queue::new(limits),
                line: Mutex::default(),
                direct,
                busy_poll: limits.busy_poll,
                may_write: AtomicBool::new(false),
                requested: OnceLock::new(),
                aborted: AtomicBool::new(false),
                overflowed: AtomicBool::new(false),
                lost: AtomicUsize::new(0),
                closed: OnceLock::new(),
                closed_event: Notify::new(),
            }),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Which connection of this process it is.
    pub fn id(&self) -> ConnectionId {
        self.shared.id
    }

    /// The id that the peer gave in its hello.
    pub fn peer(&self) -> &PeerId {
        &self.shared.peer
    }

    /// The peer's address.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
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
        Sending {
            connection: self,
            frame: Some(frame.into()),
            waiting: None,
        }
    }

    /// Queues a frame if there is room for it now.
    ///
    /// # Errors
    /// [`SendError::Full`] without room, else as [`send`](Self::send).
    pub fn try_send(&self, frame: impl Into<Frame>) -> Result<(), SendError> {
        self.push(&mut Some(frame.into()))
    }

    /// As [`try_send`](Self::try_send), but leaves the writing to the connection's own task: for a
    /// caller with many connections. The frame that there is, or a copy of it, is taken.
    pub(crate) fn try_queue(&self, frame: &mut Option<Frame>) -> Result<(), SendError> {
        if !self.check(frame)? {
            return Ok(());
        }
        self.queue(frame)
    }

    /// Queues a frame by a policy for a full queue: [`Wait`](WhenFull::Wait) is
    /// [`send`](Self::send), [`NewestWins`](WhenFull::NewestWins) drops the oldest frames that are
    /// not yet on their way, [`Disconnect`](WhenFull::Disconnect) ends the connection with a `BYE`
    /// and without what waits.
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
        let mut frame = Some(frame.into());
        match self.push(&mut frame) {
            Err(SendError::Full(limit)) => {
                let Some(frame) = frame else { return Ok(()) };
                match when_full {
                    WhenFull::Wait => self.wait_for_room(frame).await,
                    WhenFull::NewestWins => {
                        // Who sends without pause lets the connection's task write now and then.
                        tokio::task::consume_budget().await;
                        let pushed = self.shared.outbound.push_newest(frame);
                        pushed
                            .map(|_dropped| ())
                            .map_err(|error| self.refused(error))
                    }
                    WhenFull::Disconnect => {
                        self.abort(CloseReason::QueueFull(limit));
                        Err(SendError::Full(limit))
                    }
                }
            }
            done => done,
        }
    }

    /// Encodes a message and sends it as [`send`](Self::send) does. For the same message to many
    /// connections, encode once with [`Message::to_frame`], or use
    /// [`Registry::broadcast`](crate::Registry::broadcast).
    ///
    /// Cancel safe: a call that is dropped has sent nothing.
    ///
    /// # Errors
    /// [`SendError::Encode`] for a message that cannot be sent, else as [`send`](Self::send).
    pub async fn send_message(&self, message: &Message) -> Result<(), SendError> {
        self.send(message.to_frame()?).await
    }

    /// The next frame, or `None` when the connection has ended and all that came before was given.
    ///
    /// With a [`SocketHandler`](crate::SocketHandler) the frames go there, and this only waits for
    /// the end.
    ///
    /// A call that waits reads the socket itself, which is the shortest way. So poll what was started,
    /// or drop it: while it is neither, frames wait in the socket, and the end of the connection may go
    /// unnoticed until somebody asks for it ([`closed`](Self::closed), [`bye`](Self::bye)).
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    pub async fn recv(&self) -> Option<Frame> {
        let inbound = &self.shared.inbound;
        if !self.shared.direct {
            return inbound.pop().await;
        }
        let mut caller = Caller::new(&self.shared);
        // In a box, which few need: those who have to wait while others read.
        let mut queued = None;
        let mut poll = |context: &mut Context<'_>, spins| {
            caller.spins = spins;
            if let Some(read) = caller.poll_line(context) {
                return read;
            }
            let queued = queued.get_or_insert_with(|| Box::pin(inbound.pop()));
            match queued.as_mut().poll(context) {
                Poll::Pending => caller.poll_turn(context),
                Poll::Ready(frame) => {
                    caller.frame = frame;
                    Poll::Ready(())
                }
            }
        };
        let busy_poll = self.shared.busy_poll;
        if !busy_poll.is_zero() {
            let start = Instant::now();
            while start.elapsed() < busy_poll {
                let polled = poll_fn(|context| Poll::Ready(poll(context, true))).await;
                if polled.is_ready() {
                    return caller.frame.take();
                }
                tokio::task::yield_now().await;
            }
        }
        poll_fn(|context| poll(context, false)).await;
        caller.frame.take()
    }

    /// The next frame, if one has arrived.
    pub fn try_recv(&self) -> Option<Frame> {
        self.shared.inbound.try_pop().or_else(|| {
            self.collect();
            self.shared.inbound.try_pop()
        })
    }

    fn collect(&self) {
        if self.shared.direct {
            self.shared.collect();
        }
    }

    /// The newest frame that has arrived, or the next that comes; older ones are dropped, but never
    /// one for which `keep` holds: then that one is given, and what came after it stays. `None` as
    /// for [`recv`](Self::recv).
    ///
    /// What an agent wants that is slower than its engine: the latest observation, but every `end`
    /// (pymasep's `wait_message(most_recent=True, keep_all=…)`).
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    pub async fn recv_newest(&self, keep: impl Fn(&Frame) -> bool) -> Option<Frame> {
        self.collect();
        self.shared.return_turn();
        self.shared.inbound.pop_newest(keep).await
    }

    /// Sends what is queued, then `BYE`, and closes. Returns when the system has sent the `BYE`, with
    /// the reason for which the connection ended: [`CloseReason::LocalBye`], unless something else
    /// ended it before. A peer that takes no bytes is given up after
    /// [`Limits::write_time`](crate::Limits::write_time), or a second after the `BYE` was written.
    ///
    /// The stream ends behind the `BYE`. The socket is closed, by the connection's task, when the peer has
    /// ended its side, at the latest a second later; what it sends until then is thrown away.
    ///
    /// Cancel safe: the first poll starts the end, and a call that is dropped only stops waiting.
    pub async fn bye(&self) -> CloseReason {
        self.end(CloseReason::LocalBye);
        self.closed().await
    }

    /// How many frames were accepted by the calls that send and have not gone out: those that wait, and
    /// one that has gone out in part. When the connection has ended, these are lost. The system may
    /// lose more: what it has taken and not sent, or what the peer has not acknowledged.
    pub fn unsent(&self) -> usize {
        let line = self.shared.line();
        let lost = self.shared.lost.load(Ordering::Relaxed);
        let writing = line.wire.as_ref().map_or(0, |wire| wire.unsent.frames());
        self.shared.outbound.len() + writing + lost
    }

    /// Why the connection ended, if it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.shared.closed.get()
    }

    /// Waits for the end of the connection: the peer was told, the id is free, and the handler was told.
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        self.shared.return_turn();
        loop {
            let mut event = std::pin::pin!(self.shared.closed_event.notified());
            event.as_mut().enable();
            if let Some(reason) = self.shared.closed.get() {
                return reason.clone();
            }
            event.await;
        }
    }

    /// Ends the connection for this reason when what is queued was sent.
    pub(crate) fn end(&self, reason: CloseReason) {
        self.shared.end(reason);
    }

    /// Ends the connection for this reason now, whatever is queued.
    pub(crate) fn abort(&self, reason: CloseReason) {
        self.end(reason);
        self.shared.aborted.store(true, Ordering::Release);
        self.shared.outbound.wake_consumer();
    }

    /// Ends the connection because a frame that arrived has no room, and is lost.
    pub(crate) fn overflow(&self, limit: LimitExceeded) {
        self.end(CloseReason::QueueFull(limit));
        self.shared.overflowed.store(true, Ordering::Release);
    }

    pub(crate) async fn enqueue_received(&self, frame: Frame, when_full: WhenFull) {
        enqueue(&self.shared.inbound, frame, when_full, self).await;
    }

    /// Whether there is a frame to be queued; not if it was a `BYE`, which ends the connection instead.
    #[inline]
    fn check(&self, frame: &Option<Frame>) -> Result<bool, SendError> {
        let Some(frame) = frame else {
            return Ok(false);
        };
        if let Err(limit) = self.shared.codec.check(frame) {
            return Err(SendError::TooLarge(limit));
        }
        if frame.is_bye() {
            self.end(CloseReason::LocalBye);
            return Ok(false);
        }
        Ok(true)
    }

    /// Queues or writes the frame that there is, itself or a copy of it, if there is room for it now.
    #[inline]
    fn push(&self, frame: &mut Option<Frame>) -> Result<(), SendError> {
        if !self.check(frame)? {
            return Ok(());
        }
        if self.shared.may_write() && self.shared.write_now(frame) {
            return Ok(());
        }
        self.queue(frame)
    }

    /// Queues the frame that there is and was checked, itself or a copy of it, if there is room for it now.
    #[inline]
    fn queue(&self, frame: &mut Option<Frame>) -> Result<(), SendError> {
        // Not by `map_err`, which moves what may be an error also where there is none.
        if let Err(error) = self.shared.outbound.try_push(frame) {
            return Err(self.refused(error));
        }
        Ok(())
    }

    /// Why a frame was not queued.
    #[cold]
    fn refused(&self, error: PushError) -> SendError {
        match error {
            PushError::Full(limit) => SendError::Full(limit),
            PushError::Closed => SendError::Closed(self.shared.end_reason()),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.shared.id)
            .field("peer", &self.shared.peer)
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn codec(&self) -> FrameCodec {
        self.codec
    }

    pub(crate) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    /// Whether a frame that arrived was lost: none that came after it may be delivered.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Acquire)
    }

    /// Whether this side ends the connection.
    pub(crate) fn is_ending(&self) -> bool {
        self.requested.get().is_some()
    }

    /// The reason for which this side ends the connection.
    pub(crate) fn requested(&self) -> CloseReason {
        self.requested
            .get()
            .cloned()
            .unwrap_or(CloseReason::Aborted)
    }

    /// Why the connection has ended, or is being ended.
    pub(crate) fn end_reason(&self) -> CloseReason {
        self.closed
            .get()
            .or_else(|| self.requested.get())
            .cloned()
            .unwrap_or(CloseReason::Aborted)
    }

    /// Ends the connection for this reason when what is queued was sent.
    pub(crate) fn end(&self, reason: CloseReason) {
        let _ = self.requested.set(reason);
        self.outbound.close();
    }

    /// Whether all that the peer is told was written, the end included, and is being sent.
    pub(crate) fn has_said_bye(&self) -> bool {
        let line = self.line();
        let wire = line.wire.as_ref();
        wire.is_some_and(|wire| wire.farewell.is_empty())
    }

    /// Says what is still owed, and closes the socket.
    pub(crate) fn close_wire(&self) {
        let wire = self.line().wire.take();
        if let Some(wire) = wire {
            self.count_lost(&wire);
        }
    }

    /// Counts the frames of a wire that is about to be given up.
    pub(crate) fn count_lost(&self, wire: &Wire) {
        self.lost.fetch_add(wire.unsent.frames(), Ordering::Relaxed);
    }

    /// No frame comes or goes from here on.
    pub(crate) fn close_queues(&self, reason: &CloseReason) {
        let _ = self.requested.set(reason.clone());
        self.outbound.close();
        self.inbound.close();
        self.keep_turn();
    }

    /// The end is complete.
    pub(crate) fn set_closed(&self, reason: CloseReason) {
        let _ = self.closed.set(reason);
        self.closed_event.notify_waiters();
    }
}
