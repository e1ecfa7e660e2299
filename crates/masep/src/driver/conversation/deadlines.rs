//! What may take only so long.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Conversation;
use crate::CloseReason;
use crate::line::{LEASE, Line, Turn};
use crate::sync::time::{Instant, Sleep, sleep_until};

impl Conversation<'_> {
    /// Ready when something took too long.
    #[inline]
    pub(super) fn poll_deadlines(
        &mut self,
        line: &mut Line,
        context: &mut Context<'_>,
        quiet_since: Option<Instant>,
    ) -> Poll<CloseReason> {
        let looks_after_turn = line.leased || self.lease.is_some();
        if self.blocked_until.is_none() && quiet_since.is_none() && !looks_after_turn {
            return Poll::Pending;
        }
        self.poll_first_deadline(line, context, quiet_since)
    }

    fn poll_first_deadline(
        &mut self,
        line: &mut Line,
        context: &mut Context<'_>,
        quiet_since: Option<Instant>,
    ) -> Poll<CloseReason> {
        loop {
            let silence = quiet_since.and_then(|since| self.silent_until(line, since));
            let lease = self.poll_lease(line);
            let deadlines = [self.blocked_until, silence, lease];
            let Some(first) = deadlines.into_iter().flatten().min() else {
                return Poll::Pending;
            };
            let now = ready!(self.alarm.poll(context, first));
            if self.blocked_until.is_some_and(|until| until <= now) {
                let reason = self.failed.take();
                return Poll::Ready(reason.unwrap_or(CloseReason::WriteTimeout));
            }
            if silence.is_some_and(|until| until <= now) {
                if let Some(reason) = line.end_of_silence(self.shared, context) {
                    return Poll::Ready(reason);
                }
                // This poll may be over behind the deadlines.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.look_after_turn(line, context, now);
        }
    }

    /// When nothing will have been heard for too long.
    fn silent_until(&self, line: &mut Line, since: Instant) -> Option<Instant> {
        // From here on callers note when they read.
        let last = *line.last_read.get_or_insert(since);
        last.max(since).checked_add(self.limits.idle_time?)
    }

    /// When the turn that a caller keeps has to be looked after.
    fn poll_lease(&mut self, line: &Line) -> Option<Instant> {
        if self.lease.is_none() && line.leased {
            self.lease = Some((Instant::now() + LEASE, line.visits));
        }
        self.lease.map(|(until, _)| until)
    }

    /// Takes back a turn that is kept by nobody.
    fn look_after_turn(&mut self, line: &mut Line, context: &Context<'_>, now: Instant) {
        let Some((until, visits)) = self.lease else {
            return;
        };
        if now < until {
            return;
        }
        self.lease = None;
        match line.turn {
            Turn::Caller { waits: false } if line.visits != visits => {
                self.lease = Some((now + LEASE, line.visits));
                return;
            }
            Turn::Caller { waits: false } => {
                line.turn = Turn::Returned;
                // This may be the end of a poll that has left the reading to the caller.
                context.waker().wake_by_ref();
            }
            // Who waits also sees what happens; the others have given it back.
            _ => {}
        }
        line.leased = false;
    }
}

/// The moment after this time, if clocks know it.
pub(super) fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

/// One timer for all deadlines of a connection. It is set when it is needed, and moved only when it has
/// gone off too early: a deadline that is put off again and again costs nothing.
pub(super) struct Alarm(pub(super) Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready with the time when this deadline has passed.
    fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            let now = Instant::now();
            if deadline <= now {
                return Poll::Ready(now);
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
