//! The task of a connection as its calls see it: when it has to be woken, and who reads while it rests.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use masep_proto::connection::{Read, Want, Wants};

use super::shared::{State, now};
use super::transfer::Reading;

/// The task of a connection as the others see it.
pub(crate) struct TaskState {
    pub(super) waker: Option<Waker>,
    /// It is about to look at all there is.
    pub(super) is_awake: bool,
    /// It has not looked yet since it rested.
    pub(super) has_rested: bool,
    /// It reads what arrives, and not only what a caller leaves for too long.
    pub(crate) reads: bool,
    /// Bytes have arrived that no call has read: it reads them then. With the number of calls that had received.
    pub(crate) deferral: Option<(Instant, u32)>,
    /// It has seen to it that somebody is woken when the stream is readable, and writable.
    pub(super) sees_reads: bool,
    pub(super) sees_writes: bool,
    /// When it wakes by itself.
    pub(super) wakes_at: Option<Instant>,
}

impl TaskState {
    /// Before it has run.
    pub(super) const fn new() -> Self {
        Self {
            waker: None,
            is_awake: true,
            has_rested: false,
            reads: true,
            deferral: None,
            sees_reads: false,
            sees_writes: false,
            wakes_at: None,
        }
    }

    /// Its waker, if it sleeps.
    #[inline]
    pub(super) fn wake(&mut self) -> Option<Waker> {
        if self.is_awake {
            return None;
        }
        self.is_awake = true;
        self.waker.clone()
    }
}

impl State {
    /// True if the task sleeps and there is work that nobody else does.
    #[inline]
    pub(super) fn needs_task(&self) -> bool {
        let wants = self.core.wants();
        let task = &self.task;
        let is_early = |due| task.wakes_at.is_none_or(|wakes_at| due < wakes_at);
        let is_due = || self.core.deadline().is_some_and(is_early);
        match wants.write {
            Want::Now => return true,
            Want::Ready if !task.sees_writes => return true,
            _ => {}
        }
        (wants.read != Want::Nothing && !task.sees_reads) || is_due()
    }

    /// Wakes the task, if it sleeps.
    pub(crate) fn wake_task(&mut self) {
        let task = self.task.wake();
        self.woken.extend(task);
    }

    /// The task has done all there is to do, and waits for what the connection wants.
    pub(crate) fn rest(&mut self, context: &Context<'_>, wants: Wants, wakes_at: Option<Instant>) {
        self.core.take_change();
        self.task.is_awake = false;
        self.task.has_rested = true;
        self.task.wakes_at = wakes_at;
        self.task.sees_reads = wants.read != Want::Nothing;
        self.task.sees_writes = wants.write != Want::Nothing;
        crate::sync::set_waker(&mut self.task.waker, context);
    }

    /// True if the task that rested is this one.
    pub(crate) fn wakes(&self, context: &Context<'_>) -> bool {
        let waker = self.task.waker.as_ref();
        waker.is_some_and(|waker| waker.will_wake(context.waker()))
    }

    /// The task looks at all there is. Returns true if it has not rested since it did.
    pub(crate) fn task_looks(&mut self) -> bool {
        self.task.is_awake = true;
        !std::mem::take(&mut self.task.has_rested)
    }

    /// A call that received has gone, and no other waits: bytes that arrive wake the task.
    pub(crate) fn leave_reading(&mut self) {
        let is_left = std::mem::take(&mut self.wakes_receiver);
        if !is_left || self.task.deferral.is_some() || self.task.is_awake {
            return;
        }
        let (Some(stream), Some(waker)) = (&self.stream, &self.task.waker) else {
            return;
        };
        let is_quiet = self.core.wants_read() == Want::Ready
            && stream
                .poll_readable(&mut Context::from_waker(waker))
                .is_pending();
        if !is_quiet {
            // It takes its time: a timer for each frame would cost more than all else here.
            self.wake_task();
        }
    }

    /// Ready if a read is wanted, and brings something; how to read then.
    #[inline(always)]
    pub(crate) fn poll_readable(&mut self, want: Want, context: &mut Context<'_>) -> Poll<Reading> {
        if want == Want::Nothing {
            return Poll::Pending;
        }
        let Some(stream) = &self.stream else {
            return Poll::Ready(Reading::Known);
        };
        match stream.poll_readable(context) {
            Poll::Pending if want == Want::Now => return Poll::Ready(Reading::Asking),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                if let Some(room) = self.core.take_room() {
                    let failed = Read::Failed(error.kind());
                    self.core.put_room(room, failed, now());
                }
            }
        }
        Poll::Ready(Reading::Known)
    }
}
