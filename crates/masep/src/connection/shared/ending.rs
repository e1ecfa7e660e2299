//! The end of a connection: by calls, by a task that is dropped, and how it is told.

use std::sync::atomic::Ordering;

use masep_proto::connection::Want;
use masep_proto::protocol2::Bye;

use super::{By, Delivery, Locked, MOST_LAST_STEPS, Reading, Shared, now};
use crate::CloseReason;

impl Shared {
    /// Ends the connection without waiting for anything: the peer is told if the stream takes that now.
    pub(crate) fn leave(&self) {
        let mut locked = self.lock(By::Keeper);
        locked.keeper_looks();
        if locked.core.is_over() {
            return;
        }
        self.set_aborted(&mut locked);
        locked.core.abort(CloseReason::Aborted, now());
        locked.is_left = true;
        drop(locked);
        self.last_steps();
    }

    /// Does what is wanted at once by a connection without a task. If another call is reading or writing, that goes on.
    pub(super) fn last_steps(&self) {
        for _ in 0..MOST_LAST_STEPS {
            let mut locked = self.lock(By::Keeper);
            let wants = locked.core.wants();
            locked.last_time = now();
            if wants.write == Want::Now {
                drop(self.write_once(locked));
            } else if wants.read == Want::Now {
                drop(self.read_once(locked, Reading::Asking));
            } else if wants.sent {
                locked.core.sent(now());
            } else {
                return;
            }
        }
    }

    /// Ends the connection when the queue was sent.
    pub(crate) fn end(&self, reason: CloseReason) {
        let mut locked = self.lock(By::Other);
        locked.core.end(reason, now());
        locked.wake_keeper();
    }

    /// Ends the connection now. That is the reason also if it has ended meanwhile and the handler does not have
    /// all frames yet.
    pub(crate) fn abort(&self, reason: CloseReason) {
        let mut locked = self.lock(By::Other);
        let is_behind = locked.is_behind || locked.core.frames() > 0;
        if self.delivery == Delivery::Handler && is_behind && !locked.is_aborted {
            locked.lost = Some(Box::new(reason.clone()));
        }
        locked.core.abort(reason, now());
        self.set_aborted(&mut locked);
        locked.wake_keeper();
    }

    pub(crate) fn set_aborted(&self, locked: &mut Locked<'_>) {
        locked.is_aborted = true;
        self.is_aborted.store(true, Ordering::Release);
    }

    /// True if the connection was ended at once. Frames are none of the handler's then.
    #[inline]
    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    /// Has what arrived read now: perhaps it is the end.
    pub(crate) fn look(&self) {
        let mut locked = self.lock(By::Other);
        locked.keeper.reads = true;
        locked.wake_keeper();
    }

    /// The reason for which the connection has ended, as far as it is settled.
    pub(crate) fn end_reason(&self) -> CloseReason {
        let locked = self.lock(By::Other);
        match (&locked.lost, locked.core.reason()) {
            (Some(reason), _) => (**reason).clone(),
            (None, Some(reason)) => reason.clone(),
            (None, None) => CloseReason::Aborted,
        }
    }

    /// Ends the connection when the queue was sent, and tells the peer why if it can be told.
    pub(crate) fn end_with(&self, bye: Bye) {
        let mut locked = self.lock(By::Other);
        locked.core.end_with(bye, now());
        locked.wake_keeper();
    }

    /// True if all that the peer is told was written, the end included, and is being sent.
    pub(crate) fn is_saying_bye(&self) -> bool {
        let locked = self.lock(By::Other);
        locked.core.has_said_bye() && !locked.is_closed
    }

    /// Ends the connection because a frame that was taken out has no room. However it has ended meanwhile, that
    /// is the reason: a peer that said `BYE` behind the frame would be told of success otherwise.
    pub(crate) fn lose(&self, reason: CloseReason) {
        self.lock(By::Other).lost = Some(Box::new(reason.clone()));
        self.abort(reason);
    }

    /// A call of the handler that waited has returned, or was given up. One that was given up behind a failed write has
    /// lost its frame: that is the end, also for a peer that has said `BYE` behind it.
    pub(crate) fn call_is_over(&self, has_returned: bool) {
        let mut locked = self.lock(By::Keeper);
        if std::mem::take(&mut locked.is_call_late) && !has_returned {
            let reason = locked.core.end_reason();
            drop(locked);
            self.lose(reason);
        }
    }

    /// The reason for which the connection has ended, when that is complete.
    pub(crate) fn close_reason(&self) -> Option<&CloseReason> {
        self.closed.get()
    }

    /// The end is complete.
    pub(crate) fn set_closed(&self, reason: CloseReason) {
        let _ = self.closed.set(reason);
        self.closed_event.notify_waiters();
    }

    pub(crate) async fn closed(&self) -> CloseReason {
        {
            let mut locked = self.lock(By::Other);
            // Somebody waits for what the task finds.
            if !locked.keeper.reads && locked.receivers.is_empty() {
                locked.keeper.reads = true;
                locked.wake_keeper();
            }
        }
        loop {
            let mut event = std::pin::pin!(self.closed_event.notified());
            event.as_mut().enable();
            if let Some(reason) = self.closed.get() {
                return reason.clone();
            }
            event.await;
        }
    }
}
