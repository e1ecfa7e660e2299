//! Bounded queues: for frames on their way out, for frames that wait for `recv`, and
//! [`SocketHandlerQueue`], one queue for all connections.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use masep_proto::{Frame, Limit, LimitExceeded, Limits};

use crate::sync::{FairMutex, Mutex, MutexGuard, Notify, set_waker};
use crate::{CloseReason, Connection, SocketHandler};

/// What to do with a frame for a queue that is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// Wait for room. Nothing is lost: a receiver stops reading and its peer feels the
    /// back-pressure. What actions want.
    #[default]
    Wait,
    /// Drop the oldest frame that waits. What observations want when only the latest counts.
    NewestWins,
    /// End the connection with [`CloseReason::QueueFull`].
    Disconnect,
}

/// Emptied queues give their memory back when they hold room for more items than this.
const KEEP_CAPACITY: usize = 16;

/// What can wait in a [`Queue`]: it counts with a weight, in bytes.
pub(crate) trait Weigh {
    fn weight(&self) -> usize;
}

impl Weigh for Frame {
    fn weight(&self) -> usize {
        self.size()
    }
}

pub(crate) enum PushError<T> {
    Full(T, LimitExceeded),
    Closed,
}

/// A queue that is bounded in items and in bytes, with any number of users on either side.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Notify,
    room: Notify,
    /// Held by the one that waits for room; others wait for this, in the order in which they came.
    /// Without it, one that pushes without pause could take all room before the others wake up,
    /// each time.
    first_in_line: FairMutex<()>,
    max_items: usize,
    max_bytes: usize,
}

struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: bool,
    /// The task that takes items out with [`Queue::poll_pop_batch`], if one does.
    consumer: Option<Waker>,
    /// Whether it has nothing to do but wait for items.
    hungry: bool,
}

impl<T: Weigh> Queue<T> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                closed: false,
                consumer: None,
                hungry: false,
            }),
            filled: Notify::new(),
            room: Notify::new(),
            first_in_line: FairMutex::new(()),
            max_items: limits.queue_messages,
            max_bytes: limits.queue_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an item if there is room for it now.
    pub(crate) fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        let state = self.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        if !self.has_room_in(&state, item.weight())
            && let Err(limit) = self.check_room(&state, &item)
        {
            return Err(PushError::Full(item, limit));
        }
        self.push_into(state, item);
        Ok(())
    }

    /// Takes an item when there is room for it; `Err` if the queue is closed before that.
    /// Cancel safe: a call that is dropped has queued nothing.
    pub(crate) async fn push(&self, mut item: T) -> Result<(), PushError<T>> {
        // Most find room at once; registering for the wake-up costs more than the push.
        match self.try_push(item) {
            Err(PushError::Full(refused, _)) => item = refused,
            done => return done,
        }
        let _first_in_line = self.first_in_line.lock().await;
        loop {
            let mut room = pin!(self.room.notified());
            // From here on no call of `notify_waiters` is missed.
            room.as_mut().enable();
            match self.try_push(item) {
                Err(PushError::Full(refused, _)) => item = refused,
                done => return done,
            }
            room.await;
        }
    }

    /// Takes an item, if need be in place of the oldest ones: returns how many were dropped.
    pub(crate) fn push_newest(&self, item: T) -> Result<usize, PushError<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        let mut dropped = 0;
        while self.check_room(&state, &item).is_err() && state.pop().is_some() {
            dropped += 1;
        }
        self.push_into(state, item);
        Ok(dropped)
    }

    fn push_into(&self, mut state: MutexGuard<'_, State<T>>, item: T) {
        state.push(item);
        let attached = state.consumer.is_some();
        drop(state);
        if !attached {
            self.filled.notify_one();
        }
    }

    /// An item of any size fits into an empty queue, or it could never be sent.
    fn check_room(&self, state: &State<T>, item: &T) -> Result<(), LimitExceeded> {
        if state.items.is_empty() {
            return Ok(());
        }
        LimitExceeded::check(Limit::QueueMessages, state.items.len() + 1, self.max_items)?;
        LimitExceeded::check(
            Limit::QueueBytes,
            state.bytes + item.weight(),
            self.max_bytes,
        )
    }

    /// The oldest item, if there is one.
    pub(crate) fn try_pop(&self) -> Option<T> {
        let item = self.lock().pop()?;
        self.room.notify_waiters();
        Some(item)
    }

    /// The oldest item; `None` when the queue is closed and empty.
    /// Cancel safe: a call that is dropped has taken nothing.
    pub(crate) async fn pop(&self) -> Option<T> {
        self.pop_with(State::pop).await
    }

    /// The newest item or the first for which `keep` holds, whichever comes first; those before it
    /// are dropped, those after it stay. `None` when the queue is closed and empty. Cancel safe.
    pub(crate) async fn pop_newest(&self, keep: impl Fn(&T) -> bool) -> Option<T> {
        self.pop_with(|state| {
            let mut newest = state.pop()?;
            while !keep(&newest) {
                match state.pop() {
                    Some(newer) => newest = newer,
                    None => break,
                }
            }
            Some(newest)
        })
        .await
    }

    /// Makes this task the one that takes items out, alone; whether there is one, or the queue is
    /// closed. If not, it is woken for those that come, if it `waits` for them; otherwise only when it has
    /// found none again, and by [`wake_consumer`](Self::wake_consumer) and [`close`](Self::close).
    pub(crate) fn attach_consumer(&self, context: &Context<'_>, waits: bool) -> bool {
        let mut state = self.lock();
        let filled = state.closed || !state.items.is_empty();
        state.hungry = waits && !filled;
        set_waker(&mut state.consumer, context);
        filled
    }

    /// Wakes the task that takes items out, for another reason than an item.
    pub(crate) fn wake_consumer(&self) {
        self.lock().wake_consumer();
    }

    /// Moves items into `take` for as long as it wants more; `false` when the queue is closed and
    /// empty. For the task that is attached, which is woken when the next item comes.
    pub(crate) fn poll_pop_batch(&self, mut take: impl FnMut(T) -> bool) -> Poll<bool> {
        let mut state = self.lock();
        let Some(first) = state.pop() else {
            if state.closed {
                return Poll::Ready(false);
            }
            state.hungry = true;
            return Poll::Pending;
        };
        let mut wants_more = take(first);
        while wants_more {
            match state.pop() {
                Some(item) => wants_more = take(item),
                None => break,
            }
        }
        drop(state);
        self.room.notify_waiters();
        Poll::Ready(true)
    }

    /// Whether an item of this weight has room now.
    pub(crate) fn has_room(&self, weight: usize) -> bool {
        self.has_room_in(&self.lock(), weight)
    }

    fn has_room_in(&self, state: &State<T>, weight: usize) -> bool {
        state.items.is_empty()
            || (state.items.len() < self.max_items && state.bytes + weight <= self.max_bytes)
    }

    /// Whether an item that is pushed now would be the only one.
    pub(crate) fn is_open_and_empty(&self) -> bool {
        let state = self.lock();
        !state.closed && state.items.is_empty()
    }

    async fn pop_with<R>(&self, mut pop: impl FnMut(&mut State<T>) -> Option<R>) -> Option<R> {
        if let Some(done) = self.try_pop_with(&mut pop) {
            return done;
        }
        loop {
            let mut filled = pin!(self.filled.notified());
            filled.as_mut().enable();
            if let Some(done) = self.try_pop_with(&mut pop) {
                return done;
            }
            filled.await;
        }
    }

    /// What `pop` takes, `Some(None)` if the queue is closed and empty, `None` if one has to wait.
    fn try_pop_with<R>(&self, pop: impl FnOnce(&mut State<T>) -> Option<R>) -> Option<Option<R>> {
        let mut state = self.lock();
        let Some(popped) = pop(&mut state) else {
            return state.closed.then_some(None);
        };
        let more = !state.items.is_empty();
        drop(state);
        self.room.notify_waiters();
        if more {
            // Our wake-up may have been the only one for several items.
            self.filled.notify_one();
        }
        Some(Some(popped))
    }

    /// Takes no more items; those that wait can still be taken out.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.wake_consumer();
        drop(state);
        self.room.notify_waiters();
        self.filled.notify_waiters();
        // For the next one who comes to wait, and through it for all after.
        self.filled.notify_one();
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// What those that wait weigh, as it is counted.
    #[cfg(masep_model)]
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

impl<T: Weigh> State<T> {
    fn push(&mut self, item: T) {
        self.bytes += item.weight();
        self.items.push_back(item);
        if self.hungry {
            self.wake_consumer();
        }
    }

    fn wake_consumer(&mut self) {
        self.hungry = false;
        if let Some(consumer) = &self.consumer {
            consumer.wake_by_ref();
        }
    }

    fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.bytes -= item.weight();
        if self.items.is_empty() && self.items.capacity() > KEEP_CAPACITY {
            self.items = VecDeque::new();
        }
        Some(item)
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// A frame and the connection that it came from.
#[derive(Clone, Debug)]
pub struct Received {
    /// Where the frame came from, and where an answer goes.
    pub connection: Connection,
    /// What came.
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
    queue: Arc<Queue<Received>>,
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

    /// Takes no more frames: connections that bring one end with [`CloseReason::LocalBye`].
    pub fn close(&self) {
        self.queue.close();
    }

    /// How many frames wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no frame waits.
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

/// Puts an item that arrived on `connection` into a queue, by the named policy.
pub(crate) async fn enqueue<T: Weigh>(
    queue: &Queue<T>,
    item: T,
    when_full: WhenFull,
    connection: &Connection,
) {
    let pushed = match when_full {
        WhenFull::Wait => queue.push(item).await,
        WhenFull::Disconnect => queue.try_push(item),
        WhenFull::NewestWins => queue.push_newest(item).map(|dropped| {
            if dropped > 0 {
                tracing::debug!(dropped, "older frames dropped for a newer one");
            }
        }),
    };
    match pushed {
        Ok(()) => {}
        Err(PushError::Full(_, limit)) => connection.overflow(limit),
        Err(PushError::Closed) => connection.end(CloseReason::LocalBye),
    }
}

#[cfg(test)]
mod tests;
