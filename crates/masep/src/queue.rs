//! [`SocketHandlerQueue`], one queue for all connections, and the bounded queue in it.

mod items;
mod received;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::pin;
use std::sync::PoisonError;

use masep_proto::{Limit, LimitExceeded, Limits};

use crate::sync::{FairMutex, Mutex, MutexGuard, Notify};

use items::Items;
pub(crate) use items::Weigh;
pub(crate) use received::taken;
pub use received::{Received, SocketHandlerQueue};

/// The reason why an item was not taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PushError {
    Full(LimitExceeded),
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
    items: Items<T>,
    closed: bool,
}

impl<T: Weigh> Queue<T> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::new(State {
                items: Items::default(),
                closed: false,
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

    /// Takes the item that there is, if there is room for it now.
    #[inline]
    pub(crate) fn try_push(&self, item: &mut Option<T>) -> Result<(), PushError> {
        let weight = item.as_ref().map_or(0, T::weight);
        let state = self.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        if !self.has_room_in(&state, weight)
            && let Err(limit) = self.check_room(&state, weight)
        {
            return Err(PushError::Full(limit));
        }
        self.push_into(state, item);
        Ok(())
    }

    /// Takes an item when there is room for it; `Err` if the queue is closed before that.
    /// Cancel safe: a call that is dropped has queued nothing.
    pub(crate) async fn push(&self, item: T) -> Result<(), PushError> {
        let item = &mut Some(item);
        // Most find room at once; registering for the wake-up costs more than the push.
        match self.try_push(item) {
            Err(PushError::Full(_)) => {}
            done => return done,
        }
        let _first_in_line = self.first_in_line.lock().await;
        loop {
            let mut room = pin!(self.room.notified());
            // From here on no call of `notify_waiters` is missed.
            room.as_mut().enable();
            match self.try_push(item) {
                Err(PushError::Full(_)) => {}
                done => return done,
            }
            room.await;
        }
    }

    /// Takes an item, if need be in place of the oldest ones: returns how many were dropped.
    pub(crate) fn push_newest(&self, item: T) -> Result<usize, PushError> {
        let weight = item.weight();
        let mut state = self.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        let mut dropped = 0;
        while self.check_room(&state, weight).is_err() && state.items.pop().is_some() {
            dropped += 1;
        }
        self.push_into(state, &mut Some(item));
        Ok(dropped)
    }

    #[inline]
    fn push_into(&self, mut state: MutexGuard<'_, State<T>>, item: &mut Option<T>) {
        state.items.push(item);
        drop(state);
        self.filled.notify_one();
    }

    /// An item of any size fits into an empty queue, or it could never be sent.
    fn check_room(&self, state: &State<T>, weight: usize) -> Result<(), LimitExceeded> {
        let (items, bytes) = (state.items.len(), state.items.bytes());
        if items == 0 {
            return Ok(());
        }
        LimitExceeded::check(Limit::QueueMessages, items + 1, self.max_items)?;
        LimitExceeded::check(Limit::QueueBytes, bytes + weight, self.max_bytes)
    }

    #[inline]
    fn has_room_in(&self, state: &State<T>, weight: usize) -> bool {
        let (items, bytes) = (state.items.len(), state.items.bytes());
        items == 0 || (items < self.max_items && bytes + weight <= self.max_bytes)
    }

    /// Takes no more items; those that wait can still be taken out.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        drop(state);
        self.room.notify_waiters();
        self.filled.notify_waiters();
        // For the next one who comes to wait, and through it for all after.
        self.filled.notify_one();
    }

    /// The number of items that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// The weight of those that wait, as it is counted.
    #[cfg(masep_model)]
    pub(crate) fn bytes(&self) -> usize {
        self.lock().items.bytes()
    }

    /// The oldest item, if there is one.
    pub(crate) fn try_pop(&self) -> Option<T> {
        let item = self.lock().items.pop()?;
        self.room.notify_waiters();
        Some(item)
    }

    /// The oldest item; `None` when the queue is closed and empty.
    /// Cancel safe: a call that is dropped has taken nothing.
    pub(crate) async fn pop(&self) -> Option<T> {
        self.pop_with(Items::pop).await
    }

    /// The newest item or the first for which `keep` holds, whichever comes first; those before it
    /// are dropped, those after it stay. `None` when the queue is closed and empty. Cancel safe.
    pub(crate) async fn pop_newest(&self, keep: impl Fn(&T) -> bool) -> Option<T> {
        self.pop_with(|items| {
            let mut newest = items.pop()?;
            while !keep(&newest) {
                match items.pop() {
                    Some(newer) => newest = newer,
                    None => break,
                }
            }
            Some(newest)
        })
        .await
    }

    async fn pop_with<R>(&self, mut pop: impl FnMut(&mut Items<T>) -> Option<R>) -> Option<R> {
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

    /// The result of `pop`; `Some(None)` if the queue is closed and empty, `None` if one has to wait.
    fn try_pop_with<R>(&self, pop: impl FnOnce(&mut Items<T>) -> Option<R>) -> Option<Option<R>> {
        let mut state = self.lock();
        let Some(popped) = pop(&mut state.items) else {
            return state.closed.then_some(None);
        };
        let more = state.items.len() > 0;
        drop(state);
        self.room.notify_waiters();
        if more {
            // Our wake-up may have been the only one for several items.
            self.filled.notify_one();
        }
        Some(Some(popped))
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}
