//! The end of a connection: by calls, by a task that is dropped, and how it is told.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use masep_proto::protocol2::Bye;

use super::shared::{Shared, State, now};
use crate::CloseReason;
use crate::handle::SharedConnection as _;

impl Shared {
    /// Ends the connection without waiting for anything: the peer is told if the stream takes that now.
    pub(crate) fn leave(&self) {
        let mut locked = self.lock();
        locked.task_looks();
        if locked.core.is_over() {
            return;
        }
        self.set_aborted();
        locked.core.abort(CloseReason::Aborted, now());
        locked.is_left = true;
        drop(locked);
        self.last_steps();
    }

    /// Ends the connection when the queue was sent.
    pub(crate) fn end(self: &Arc<Self>, reason: CloseReason) {
        self.end_by(|core, now| core.end(reason, now));
    }

    /// Ends the connection now, whatever is queued.
    pub(crate) fn abort(self: &Arc<Self>, reason: CloseReason) {
        self.end_by(|core, now| core.abort(reason, now));
    }

    /// Frames are none of the handler's from here on. Called with the lock held.
    pub(super) fn set_aborted(&self) {
        self.is_aborted.store(true, Ordering::Release);
    }

    /// True if the connection was ended at once. Frames are none of the handler's then.
    #[inline]
    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    /// The reason for which the connection has ended, as far as it is settled.
    pub(crate) fn end_reason(&self) -> CloseReason {
        let locked = self.lock();
        let reason = locked.core.reason().cloned();
        reason.unwrap_or(CloseReason::Aborted)
    }

    /// Ends the connection when the queue was sent, and tells the peer why if it can be told.
    pub(crate) fn end_with(self: &Arc<Self>, bye: Bye) {
        self.end_by(|core, now| core.end_with(bye, now));
    }

    /// Ends the connection because a frame that was taken out is lost.
    pub(crate) fn lose(self: &Arc<Self>, reason: CloseReason) {
        self.end_by(|core, now| core.lose(reason, now));
    }

    /// A call of the handler that waited has returned, or was given up.
    pub(crate) fn handler_done(&self, has_returned: bool) {
        let mut locked = self.lock();
        locked.core.handler_done(has_returned, now());
        if locked.core.is_aborted() {
            self.set_aborted();
        }
    }

    /// The reason for which the connection has ended, when that is complete.
    pub(crate) fn close_reason(&self) -> Option<&CloseReason> {
        self.closed.get()
    }

    /// True if the end is complete.
    pub(crate) fn is_ended(&self) -> bool {
        self.closed.get().is_some()
    }

    /// False if the end is complete, before which the connection is in no registry any more.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_ended()
    }

    /// The end is complete.
    pub(crate) fn set_closed(&self, reason: CloseReason) {
        let _ = self.closed.set(reason);
        self.lock().wake_end_waiters();
    }

    /// This task calls the handler from here on.
    pub(crate) fn note_handler_task(&self) {
        if let Some(task) = tokio::task::try_id() {
            let _ = self.handler_task.set(task);
        }
    }

    /// Waits until the end is complete. A call in the handler itself, which is told of the end when it has returned, waits
    /// until the peer was told.
    pub(crate) async fn closed(&self) -> CloseReason {
        {
            let mut locked = self.lock();
            // Somebody waits for what the task finds.
            if !locked.task.reads && locked.receivers.is_empty() {
                locked.task.reads = true;
                locked.wake_task();
            }
        }
        let mut waiter = EndWaiter {
            shared: self,
            key: None,
        };
        poll_fn(|context| waiter.poll(context)).await
    }
}

impl State {
    /// Has the calls that wait for the end look again.
    pub(super) fn wake_end_waiters(&mut self) {
        if let Some(waiters) = &mut self.end_waiters {
            self.woken.extend(waiters.wake_all());
        }
    }
}

/// A call that waits for the end, until it is dropped.
struct EndWaiter<'a> {
    shared: &'a Shared,
    key: Option<u64>,
}

impl EndWaiter<'_> {
    fn poll(&mut self, context: &Context<'_>) -> Poll<CloseReason> {
        let mut locked = self.shared.lock();
        if let Some(reason) = self.shared.closed.get() {
            return Poll::Ready(reason.clone());
        }
        let handler_task = self.shared.handler_task.get();
        let is_handler = handler_task.is_some() && tokio::task::try_id().as_ref() == handler_task;
        if is_handler && locked.core.is_closed() {
            return Poll::Ready(locked.core.end_reason());
        }
        let waiters = locked.end_waiters.get_or_insert_default();
        let key = *self.key.get_or_insert_with(|| waiters.join());
        waiters.set_waker(key, context);
        Poll::Pending
    }
}

impl Drop for EndWaiter<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else {
            return;
        };
        let mut locked = self.shared.lock();
        let next = (locked.end_waiters.as_mut()).and_then(|waiters| waiters.leave(key));
        // It looks once more, and goes on to wait.
        locked.wake(next);
    }
}
