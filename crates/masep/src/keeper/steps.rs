//! The steps of a connection's task: one write and one read, or the time that passes.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use masep_proto::connection::{Want, Write};

use super::{Alarm, Keeper};
use crate::connection::{Delivery, Locked, Reading, Shared, State, now};
use crate::sync::earlier;

/// The time for which bytes that have arrived wait for a call that receives, where there has been one. The end of a
/// connection for which nobody waits is noticed at most twice as late.
const READ_DELAY: Duration = Duration::from_millis(10);
/// Reads and writes in a row after which others have their turn.
const MOST_STEPS: usize = 16;

/// The outcome of a step.
enum Step<T> {
    /// The awaited event has happened.
    Done(T),
    Moved,
    Rests,
}

impl Keeper {
    /// Does all that can be done now, and is woken for the rest. `busy`: frames have arrived that the handler does not
    /// have yet.
    pub(super) fn poll_until<T>(
        &mut self,
        context: &mut Context<'_>,
        busy: bool,
        done: &mut impl FnMut(&mut State) -> Option<T>,
    ) -> Poll<T> {
        for _ in 0..MOST_STEPS {
            match self.step(context, busy, done) {
                Step::Done(done) => return Poll::Ready(done),
                Step::Moved => {}
                Step::Rests => return Poll::Pending,
            }
        }
        let mut locked = self.shared.lock();
        locked.core.handle_due(now());
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// One write and one read, where they are wanted, or time that passes; otherwise the task rests.
    fn step<T>(
        &mut self,
        context: &mut Context<'_>,
        busy: bool,
        done: &mut impl FnMut(&mut State) -> Option<T>,
    ) -> Step<T> {
        let Self { shared, alarm, .. } = self;
        let mut locked = shared.lock();
        let has_looked = locked.task_looks();
        if let Some(done) = done(&mut locked) {
            locked.let_go();
            return Step::Done(done);
        }
        let mut has_moved = false;
        if poll_writable(&mut locked, context).is_ready() {
            locked = shared.write(locked);
            has_moved = true;
        }
        let is_woken = !has_looked && !has_moved && !busy && shared.delivery == Delivery::Handler;
        let way = if is_woken && locked.core.was_open() && locked.core.wants_read() == Want::Ready {
            // Most often it was by bytes that have arrived.
            Poll::Ready(Reading::Woken)
        } else {
            poll_readable(shared, &mut locked, busy, context)
        };
        if let Poll::Ready(way) = way {
            locked = shared.read(locked, way);
            has_moved = true;
            if let Some(done) = done(&mut locked) {
                locked.let_go();
                return Step::Done(done);
            }
        }
        if has_moved {
            return Step::Moved;
        }
        if locked.core.wants().sent {
            locked = ask_whether_sent(shared, locked, context);
            if !locked.core.wants().sent {
                return Step::Moved;
            }
        }
        rest(alarm, locked, context)
    }
}

/// Asks the stream if all is sent.
fn ask_whether_sent<'a>(
    shared: &'a Shared,
    locked: Locked<'a>,
    context: &mut Context<'_>,
) -> Locked<'a> {
    let stream = locked.stream.clone();
    drop(locked);
    let is_sent = stream.is_none_or(|stream| stream.poll_sent(context).is_ready());
    let mut locked = shared.lock();
    if is_sent {
        locked.core.sent(now());
    }
    locked
}

/// Handles time that has passed. If there is none, the task rests until there is something to do.
fn rest<T>(alarm: &mut Alarm, mut locked: Locked<'_>, context: &mut Context<'_>) -> Step<T> {
    let deferred_until = locked.task.deferral.map(|(until, _)| until);
    let wakes_at = earlier(locked.core.deadline(), deferred_until);
    if let Some(wakes_at) = wakes_at
        && !(locked.wakes(context) && alarm.is_set_for(wakes_at))
        && let Poll::Ready(now) = alarm.poll(context, wakes_at)
    {
        locked.core.handle_due(now);
        end_deferral(&mut locked, now);
        return Step::Moved;
    }
    let wants = locked.core.wants();
    locked.rest(context, wants, wakes_at);
    locked.let_go();
    Step::Rests
}

/// True if the task reads what arrives.
fn may_read(
    shared: &Shared,
    state: &mut State,
    want: Want,
    busy: bool,
    context: &mut Context<'_>,
) -> bool {
    if want == Want::Nothing {
        return false;
    }
    if state.core.is_ending() || !state.core.was_open() {
        return true;
    }
    if busy {
        return false;
    }
    if !shared.calls_read() || want == Want::Now || state.task.reads {
        return true;
    }
    if state.task.deferral.is_none() && state.receivers.is_empty() {
        let is_quiet = (state.stream.as_ref())
            .is_some_and(|stream| stream.poll_readable(context).is_pending());
        if !is_quiet {
            state.task.deferral = Some((now() + READ_DELAY, state.receive_calls));
        }
    }
    false
}

/// The way to read, if the task reads and something comes of it.
fn poll_readable(
    shared: &Shared,
    state: &mut State,
    busy: bool,
    context: &mut Context<'_>,
) -> Poll<Reading> {
    let want = state.core.wants_read();
    if !may_read(shared, state, want, busy, context) {
        return Poll::Pending;
    }
    if shared.calls_read() && want == Want::Now {
        // It may be a call that the stream wakes, and that goes on to be.
        return Poll::Ready(Reading::Asking);
    }
    state.poll_readable(want, context)
}

/// Has the task read what no call has received in its time.
fn end_deferral(state: &mut State, now: Instant) {
    let Some((until, receive_calls)) = state.task.deferral else {
        return;
    };
    if now < until {
        return;
    }
    state.task.deferral = None;
    if state.receivers.is_empty() && state.receive_calls != receive_calls {
        state.task.deferral = Some((now + READ_DELAY, state.receive_calls));
        return;
    }
    // One that waits is woken by what arrives.
    state.task.reads = state.receivers.is_empty();
}

/// Ready if a write is wanted, and there is room.
#[inline(always)]
fn poll_writable(state: &mut State, context: &mut Context<'_>) -> Poll<()> {
    match state.core.wants_write() {
        Want::Nothing => Poll::Pending,
        Want::Now => Poll::Ready(()),
        Want::Ready => poll_room(state, context),
    }
}

/// Ready if there is room.
#[inline(never)]
fn poll_room(state: &mut State, context: &mut Context<'_>) -> Poll<()> {
    let Some(stream) = &state.stream else {
        return Poll::Ready(());
    };
    if let Err(error) = ready!(stream.poll_writable(context))
        && let Some(transmit) = state.core.take_transmit()
    {
        let failed = Write::Failed(error.kind());
        state.core.put_transmit(transmit, failed, now());
    }
    Poll::Ready(())
}
