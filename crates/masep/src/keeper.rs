//! The task of a connection. It does what no call does: it waits for time to pass, writes what senders have left,
//! reads what nobody receives, calls the handler, and sees the connection to its end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use masep_proto::connection::{Batch, HelloFailure, Want, Write};

use crate::connection::{By, Delivery, Next, Reading, Shared, State, now};
use crate::door::Place;
use crate::handler::guarded;
use crate::hearing::Hearing;
use crate::sync::time::{self, Sleep, timeout};
use crate::{CloseReason, Connection, SocketHandler};

/// The time that a call of a handler that tells of the end has, until the id is free.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// The time for which bytes that have arrived wait for a call that receives, where there has been one. The end of a
/// connection for which nobody waits is noticed at most twice as late.
const LEASE: Duration = Duration::from_millis(10);
/// Reads and writes in a row after which others have their turn.
const MOST_STEPS: usize = 16;

/// The task's own part.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    place: Place,
    alarm: Alarm,
    lease: Lease,
    /// When the call of the handler that waits has begun to.
    call_began: Option<Instant>,
}

/// The outcome of a step.
enum Step {
    /// The awaited event has happened.
    Done,
    Moved,
    Rests,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, place: Place) -> Self {
        Self {
            shared,
            place,
            alarm: Alarm(None),
            lease: None,
            call_began: None,
        }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// Drives the connection until the peer has said hello.
    pub(crate) async fn hello(&mut self) -> Result<(), HelloFailure> {
        self.until(|state| state.core.peer().is_some() || state.core.failure().is_some())
            .await;
        let locked = self.shared.lock(By::Keeper);
        if let Some(failure) = locked.core.failure() {
            return Err(failure.clone());
        }
        if let Some(peer) = locked.core.peer() {
            self.shared.set_peer(peer);
        }
        Ok(())
    }

    /// Drives the connection until both sides have said hello.
    pub(crate) async fn open(&mut self) -> Result<(), HelloFailure> {
        self.until(|state| state.is_open || state.core.failure().is_some())
            .await;
        match self.shared.lock(By::Keeper).core.failure() {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    /// Drives the connection until nothing is left to be done.
    pub(crate) async fn over(&mut self) {
        self.until(|state| state.core.is_over()).await;
    }

    /// Runs an open connection to its end. If the future is dropped, the peer is told as far as the stream
    /// takes it at once, and the reason is [`CloseReason::Aborted`].
    pub(crate) async fn run<H: SocketHandler>(mut self, connection: Connection, handler: Arc<H>) {
        if self.shared.delivery == Delivery::Handler {
            self.serve(&connection, &*handler).await;
        } else {
            self.until(State::is_ended).await;
        }
        // This comes once: ten thousand connections hold the other part.
        Box::pin(self.end(&connection, &*handler)).await;
    }

    /// Gives every frame that arrives to the handler.
    async fn serve<H: SocketHandler>(&mut self, connection: &Connection, handler: &H) {
        // First, so that the handler hears of the connection before it hears of its end, also of one
        // that is aborted before this task has run at all.
        let call = pin!(guarded(|| handler.on_connect(connection)));
        if !self.attend(call).await {
            return;
        }
        let mut batch = Batch::new();
        loop {
            loop {
                let single = batch.len() > 1 && !self.shared.is_aborted();
                let frame = match single.then(|| batch.next()).flatten() {
                    Some(frame) => frame,
                    None => match self.shared.next_for_handler(&mut batch) {
                        Next::Frame(frame) => frame,
                        Next::Notice if Box::pin(self.notice(connection, handler)).await => {
                            continue;
                        }
                        Next::Notice | Next::End => return,
                        Next::Nothing => break,
                    },
                };
                let call = pin!(guarded(|| handler.on_receive(connection, frame)));
                if !self.attend(call).await {
                    return;
                }
                if batch.is_empty() {
                    break;
                }
            }
            let has_more = State::has_more;
            if !self.shared.busy_poll.is_zero() && Box::pin(self.spin(has_more)).await {
                continue;
            }
            self.until(has_more).await;
        }
    }

    /// Tells the handler of a notice. Returns false if it is not called again.
    async fn notice<H: SocketHandler>(&mut self, connection: &Connection, handler: &H) -> bool {
        let call = pin!(guarded(|| handler.on_notice(connection)));
        self.attend(call).await
    }

    /// Sees a call of the handler through. While it waits, nothing is read, but what is queued is
    /// written. Returns false if the handler is not called again.
    async fn attend(&mut self, mut call: Pin<&mut impl Future<Output = bool>>) -> bool {
        let returned = poll_fn(|context| {
            if let Poll::Ready(returned) = call.as_mut().poll(context) {
                return Poll::Ready(Some(returned));
            }
            self.call_began.get_or_insert_with(now);
            self.poll_until(context, true, State::cancels_calls)
                .map(|()| None)
        })
        .await;
        if self.call_began.take().is_some() {
            self.shared.call_is_over(returned.is_some());
        }
        if returned == Some(false) {
            self.shared.end(CloseReason::Aborted);
            self.until(State::is_ended).await;
        }
        // A call that was given up has lost its frame: those behind it are lost with it.
        returned == Some(true)
    }

    /// Looks for more without letting the thread sleep: a task that only yields makes the runtime look
    /// at its sockets, and run the other tasks that can run.
    async fn spin(&mut self, done: impl Fn(&State) -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < self.shared.busy_poll {
            let poll = |context: &mut Context<'_>| {
                let polled = self.poll_until(context, false, &done);
                if polled.is_pending() {
                    drop(
                        self.shared
                            .read(self.shared.lock(By::Keeper), Reading::Spinning),
                    );
                }
                Poll::Ready(polled.is_ready() || done(&self.shared.lock(By::Keeper)))
            };
            if poll_fn(poll).await {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    }

    /// Tells of the end, which has a reason by now.
    async fn end<H: SocketHandler>(mut self, connection: &Connection, handler: &H) {
        self.place.ending();
        self.until(|state| state.is_closed).await;
        let reason = self.shared.end_reason();
        tracing::info!(reason = reason.as_str(), "connection ended: {reason}");
        let hearing = Hearing::begin();
        if hearing.is_none() {
            self.shared.lock(By::Keeper).core.stop_hearing();
        }
        let mut told = pin!(guarded(|| handler.on_close(connection, &reason)));
        let in_time = timeout(CLOSE_GRACE, self.attend_end(told.as_mut())).await;
        if in_time.is_err() {
            self.place.leave(connection);
            self.attend_end(told).await;
        }
        self.place.leave(connection);
        self.shared.set_closed(reason.clone());
        self.place.end();
        self.over().await;
        drop(hearing);
    }

    async fn attend_end(&mut self, mut told: Pin<&mut impl Future<Output = bool>>) {
        poll_fn(|context| {
            let told = told.as_mut().poll(context);
            if told.is_pending() {
                let _ = self.poll_until(context, false, |_| false);
            }
            told
        })
        .await;
    }

    async fn until(&mut self, done: impl Fn(&State) -> bool) {
        poll_fn(|context| self.poll_until(context, false, &done)).await;
    }

    /// Does all that can be done now, and is woken for the rest. `busy`: frames have arrived that the handler does not
    /// have yet.
    fn poll_until(
        &mut self,
        context: &mut Context<'_>,
        busy: bool,
        done: impl Fn(&State) -> bool,
    ) -> Poll<()> {
        for _ in 0..MOST_STEPS {
            match self.step(context, busy, &done) {
                Step::Done => return Poll::Ready(()),
                Step::Moved => {}
                Step::Rests => return Poll::Pending,
            }
        }
        let mut locked = self.shared.lock(By::Keeper);
        if locked.core.deadline().is_some_and(|due| due <= now()) {
            locked.core.handle_timeout(now());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// One write and one read, where they are wanted, or time that passes; otherwise the task rests.
    fn step(
        &mut self,
        context: &mut Context<'_>,
        busy: bool,
        done: impl Fn(&State) -> bool,
    ) -> Step {
        let Self {
            shared,
            alarm,
            lease,
            call_began,
            ..
        } = self;
        let mut locked = shared.lock(By::Keeper);
        let has_looked = locked.keeper_looks();
        if done(&locked) {
            return Step::Done;
        }
        let mut has_moved = false;
        if poll_writable(&mut locked, context).is_ready() {
            locked.last_time = now();
            locked = shared.write(locked);
            has_moved = true;
        }
        let is_woken = !has_looked && !has_moved && !busy && shared.delivery == Delivery::Handler;
        let readable = if is_woken && locked.is_open && locked.may_read_unasked() {
            Poll::Ready(Reading::Known)
        } else if may_read(shared, lease, &mut locked, busy, context) {
            poll_readable(shared, &mut locked, context)
        } else {
            Poll::Pending
        };
        if let Poll::Ready(way) = readable {
            locked = shared.read(locked, way);
            has_moved = true;
            if done(&locked) {
                return Step::Done;
            }
        }
        if has_moved {
            return Step::Moved;
        }
        if locked.core.wants().sent {
            let stream = locked.stream.clone();
            drop(locked);
            let is_sent = stream.is_none_or(|stream| stream.poll_sent(context).is_ready());
            locked = shared.lock(By::Keeper);
            if is_sent {
                locked.core.sent(now());
            }
            if !locked.core.wants().sent {
                return Step::Moved;
            }
        }
        let leased_until = lease.map(|(until, _)| until);
        let call_until = call_began.and_then(|began| locked.core.work_until(began));
        let wakes_at = (locked.core.deadline().into_iter())
            .chain(leased_until)
            .chain(call_until)
            .min();
        if let Some(wakes_at) = wakes_at
            && let Poll::Ready(now) = alarm.poll(context, wakes_at)
        {
            if locked.core.deadline().is_some_and(|due| due <= now) {
                locked.core.handle_timeout(now);
            }
            locked.is_call_late = call_until.is_some_and(|due| due <= now);
            look_after_lease(lease, &mut locked, now);
            return Step::Moved;
        }
        locked.keeper.is_leased = leased_until.is_some();
        locked.rest(context, wakes_at);
        Step::Rests
    }
}

/// The time by which a call has to receive what has arrived, and the number of calls until then.
type Lease = Option<(Instant, u32)>;

/// True if the task reads what arrives.
fn may_read(
    shared: &Shared,
    lease: &mut Lease,
    state: &mut State,
    busy: bool,
    context: &mut Context<'_>,
) -> bool {
    let want = state.core.wants().read;
    if want == Want::Nothing {
        return false;
    }
    if state.core.is_ending() || !state.is_open {
        return true;
    }
    if busy {
        return false;
    }
    if !shared.calls_read() || want == Want::Now || state.keeper.reads {
        return true;
    }
    if lease.is_none() && state.receivers.is_empty() {
        let is_quiet = (state.stream.as_ref())
            .is_some_and(|stream| stream.poll_readable(context).is_pending());
        if !is_quiet {
            *lease = Some((now() + LEASE, state.visits));
        }
    }
    false
}

/// The way to read, if something comes of it.
fn poll_readable(shared: &Shared, state: &mut State, context: &mut Context<'_>) -> Poll<Reading> {
    if shared.calls_read() && state.core.wants().read == Want::Now {
        // It may be a call that the stream wakes, and that goes on to be.
        return Poll::Ready(Reading::Asking);
    }
    state.poll_readable(context)
}

/// Reads what nobody has received.
fn look_after_lease(lease: &mut Lease, state: &mut State, now: Instant) {
    let Some((until, visits)) = *lease else {
        return;
    };
    if now < until {
        return;
    }
    *lease = None;
    if state.receivers.is_empty() && state.visits != visits {
        *lease = Some((now + LEASE, state.visits));
        return;
    }
    // One that waits is woken by what arrives.
    state.keeper.reads = state.receivers.is_empty();
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.leave();
        if self.shared.close_reason().is_none() {
            let connection = Connection::new(self.shared.clone());
            self.place.leave(&connection);
            self.shared.set_closed(self.shared.end_reason());
        }
    }
}

/// Ready if a write is wanted, and there is room.
fn poll_writable(state: &mut State, context: &mut Context<'_>) -> Poll<()> {
    match state.core.wants().write {
        Want::Nothing => Poll::Pending,
        Want::Now => Poll::Ready(()),
        Want::Ready => {
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
    }
}

/// One timer for all deadlines of a connection. It is set when it is needed, and moved only when it has
/// gone off too early: a deadline that is put off again and again costs nothing.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready with the time when this deadline has passed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        let deadline = time::Instant::from_std(deadline);
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            let now = time::Instant::now();
            if deadline <= now {
                return Poll::Ready(now.into_std());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
