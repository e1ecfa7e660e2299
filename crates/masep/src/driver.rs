//! The task of a connection: reads, calls the handler, writes, and sees to the end.

use std::future::{Future, poll_fn};
use std::mem;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use masep_proto::Limits;

use crate::connection::Shared;
use crate::handler::guarded;
use crate::line::{LEASE, Turn};
use crate::sync::time::{Instant, Sleep, sleep_until, timeout};
use crate::wire::{Wire, Written};
use crate::{CloseReason, Connection, Registry, SocketHandler};

/// Writes in a row after which the task looks at what has arrived, and others have their turn.
const MOST_WRITES: usize = 16;
/// Reads at most when this side ends the connection, for what had arrived by then.
const MOST_LAST_READS: u32 = 64;
/// How long an end that the peer did not ask for may take to deliver what is queued, and the `BYE`.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// All that one connection's task owns.
pub(crate) struct Driver<H, P = ()> {
    membership: Membership,
    handler: Arc<H>,
    limits: Arc<Limits>,
    /// Kept to the end.
    _place: P,
}

impl<H: SocketHandler, P> Driver<H, P> {
    /// For a connection that is in the registry and has shaken hands over this wire.
    pub(crate) fn new(
        membership: Membership,
        wire: Wire,
        handler: Arc<H>,
        limits: Arc<Limits>,
        place: P,
    ) -> Self {
        membership.connection.shared().line().wire = Some(wire);
        Self {
            membership,
            handler,
            limits,
            _place: place,
        }
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.membership.connection
    }

    /// Runs the connection to its end. If the future is dropped, the peer is told as far as the socket
    /// takes it at once, and the reason is [`CloseReason::Aborted`].
    ///
    /// What it waits in for most of its life is part of the task; what comes once at the end is
    /// allocated then: ten thousand connections hold this future.
    pub(crate) async fn run(self) {
        let reason = {
            let connection = &self.membership.connection;
            let mut conversation = Conversation::new(connection.shared(), &self.limits);
            match conversation.hold(connection, &*self.handler).await {
                Ok(never) => match never {},
                Err(reason) => conversation.conclude(reason),
            }
        };
        Box::pin(self.end(reason)).await;
    }

    async fn end(mut self, reason: CloseReason) {
        let connection = self.membership.connection.clone();
        connection.shared().close_queues(&reason);
        take_leave(connection.shared(), &reason, &self.limits).await;
        connection.shared().close_wire();

        tracing::info!(reason = reason.as_str(), "connection ended: {reason}");
        self.membership.reason = reason.clone();
        let mut told = pin!(guarded(|| self.handler.on_close(&connection, &reason)));
        if timeout(CLOSE_GRACE, &mut told).await.is_err() {
            self.membership.leave();
            told.await;
        }
    }
}

/// Reads and writes until something ends the connection, which is the `Err` of everything here.
struct Conversation<'a> {
    shared: &'a Shared,
    limits: &'a Limits,
    alarm: Alarm,
    /// When bytes will have waited for room too long.
    blocked_until: Option<Instant>,
    /// When the turn that a caller keeps is looked after, and how often it had been left before.
    lease: Option<(Instant, u64)>,
    /// Nothing can be written any more, for this reason. What the peer sent before is still ours.
    failed: Option<CloseReason>,
    /// The `BYE` is among what is unsent.
    said_bye: bool,
    /// All that was queued is written, and the queue wakes this task for more.
    waits: bool,
    /// Looks for bytes without sleeping.
    spins: bool,
    /// Reads that are still made when this side ends the connection.
    last_reads: u32,
}

enum Never {}

impl<'a> Conversation<'a> {
    const fn new(shared: &'a Shared, limits: &'a Limits) -> Self {
        Self {
            shared,
            limits,
            alarm: Alarm(None),
            blocked_until: None,
            lease: None,
            failed: None,
            said_bye: false,
            waits: false,
            spins: false,
            last_reads: MOST_LAST_READS,
        }
    }

    /// Gives every frame that arrives to the handler, and writes what is queued.
    async fn hold<H: SocketHandler>(
        &mut self,
        connection: &Connection,
        handler: &H,
    ) -> Result<Never, CloseReason> {
        // First, so that the handler hears of the connection before it hears of its end, also of one
        // that is aborted before this task has run at all.
        let call = pin!(guarded(|| handler.on_connect(connection)));
        self.attend(call).await?;
        let codec = self.shared.codec();
        loop {
            // While the task delivers, what has arrived is its own.
            let mut arrived = self.take_arrived()?;
            while let Some(frame) = codec
                .decode(&mut arrived)
                .map_err(CloseReason::ProtocolError)?
            {
                tracing::trace!(bytes = frame.size(), "received");
                if frame.is_bye() {
                    return Err(CloseReason::PeerBye);
                }
                if self.shared.has_overflowed() {
                    // It would follow a gap of which nobody was told.
                    continue;
                }
                let call = pin!(guarded(|| handler.on_receive(connection, frame)));
                self.attend(call).await?;
            }
            self.return_arrived(arrived);
            self.read_more().await?;
        }
    }

    /// What counts of the reasons why it ended.
    fn conclude(&mut self, reason: CloseReason) -> CloseReason {
        if self.shared.has_overflowed() {
            // However it ended then: a frame was lost for this reason.
            if let (CloseReason::PeerBye, Some(wire)) = (&reason, &mut self.shared.line().wire) {
                wire.farewell.clear();
            }
            return self.shared.requested();
        }
        match self.failed.take() {
            // Perhaps the peer said BYE before nothing could be written any more.
            Some(failed) if reason != CloseReason::PeerBye => failed,
            _ => reason,
        }
    }

    fn take_arrived(&self) -> Result<BytesMut, CloseReason> {
        let mut line = self.shared.line();
        let wire = line.wire.as_mut().ok_or(CloseReason::Aborted)?;
        Ok(mem::take(&mut wire.buffer))
    }

    /// Gives back what is no whole frame.
    fn return_arrived(&self, rest: BytesMut) {
        if let Some(wire) = &mut self.shared.line().wire {
            // A connection that waits holds no buffer.
            if !rest.is_empty() {
                wire.buffer = rest;
            }
            wire.acknowledge();
        }
    }

    /// Sees a call of the handler through. While it waits, nothing is read, but what is queued is
    /// written.
    async fn attend(
        &mut self,
        mut call: Pin<&mut impl Future<Output = bool>>,
    ) -> Result<(), CloseReason> {
        poll_fn(|context| {
            if let Poll::Ready(returned) = call.as_mut().poll(context) {
                let ended = if returned {
                    Ok(())
                } else {
                    Err(CloseReason::Aborted)
                };
                return Poll::Ready(ended);
            }
            self.shared.outbound.attach_consumer(context);
            self.poll_end(context, None).map(Err)
        })
        .await
    }

    /// Reads something, and writes what is queued meanwhile.
    async fn read_more(&mut self) -> Result<(), CloseReason> {
        let quiet_since = self.limits.idle_time.map(|_| Instant::now());
        if !self.limits.busy_poll.is_zero() {
            // In a box, for the sake of the many that do not spin.
            if let Some(done) = Box::pin(self.spin(quiet_since)).await {
                return done;
            }
        }
        poll_fn(|context| self.poll_more(context, quiet_since)).await
    }

    /// Looks for more without letting the thread sleep: a task that only yields makes the runtime look
    /// at its sockets, and run whoever else can run.
    async fn spin(&mut self, quiet_since: Option<Instant>) -> Option<Result<(), CloseReason>> {
        let start = std::time::Instant::now();
        while start.elapsed() < self.limits.busy_poll {
            self.spins = true;
            let polled = poll_fn(|context| Poll::Ready(self.poll_more(context, quiet_since))).await;
            self.spins = false;
            if let Poll::Ready(done) = polled {
                return Some(done);
            }
            if self.shared.line().turn != Turn::Task {
                break;
            }
            tokio::task::yield_now().await;
        }
        None
    }

    fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        quiet_since: Option<Instant>,
    ) -> Poll<Result<(), CloseReason>> {
        // Before everything else, so that whatever happens from here on wakes this task.
        let queued = self.shared.outbound.attach_consumer(context);
        if queued || !self.waits {
            if let Poll::Ready(done) = self.poll_last_read(context) {
                return Poll::Ready(done);
            }
            if let Poll::Ready(reason) = self.poll_end(context, quiet_since) {
                return Poll::Ready(Err(reason));
            }
            return self.poll_read(context);
        }
        // Most often it was woken because something has arrived. Then the answer is written next.
        self.waits = false;
        if let Poll::Ready(done) = self.poll_read(context) {
            return Poll::Ready(done);
        }
        self.poll_end(context, quiet_since).map(Err)
    }

    /// Reads what had arrived when this side ends the connection: behind our `BYE` nothing is heard.
    fn poll_last_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        if self.last_reads == 0 || self.shared.is_aborted() || !self.shared.is_ending() {
            return Poll::Pending;
        }
        self.last_reads -= 1;
        let read = self.poll_read(context);
        if read.is_pending() {
            self.last_reads = 0;
        }
        read
    }

    fn poll_read(&self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let mut line = self.shared.line();
        if let Some(reason) = line.ended.take() {
            return Poll::Ready(Err(reason));
        }
        match line.turn {
            Turn::Caller { .. } => {
                line.lease_turn(context);
                return Poll::Pending;
            }
            Turn::Returned => {
                line.turn = Turn::Delivering;
                return Poll::Ready(Ok(()));
            }
            Turn::Task | Turn::Delivering => line.turn = Turn::Task,
        }
        let Some(wire) = &mut line.wire else {
            return Poll::Ready(Err(CloseReason::Aborted));
        };
        let read = if self.spins {
            wire.poll_read_eagerly(context)
        } else {
            wire.poll_read(context)
        };
        match ready!(read) {
            Ok(0) => {
                let mid_frame = !wire.buffer.is_empty();
                Poll::Ready(Err(CloseReason::EndOfStream { mid_frame }))
            }
            Ok(_) => {
                line.turn = Turn::Delivering;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(CloseReason::from_io(&error))),
        }
    }

    /// Writes what is queued; ready when the connection has to end, whatever may still arrive. For a
    /// task that is attached to the queue.
    fn poll_end(
        &mut self,
        context: &mut Context<'_>,
        quiet_since: Option<Instant>,
    ) -> Poll<CloseReason> {
        if self.shared.is_aborted() {
            return Poll::Ready(self.shared.requested());
        }
        if self.failed.is_none() {
            match self.poll_write(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => return Poll::Ready(self.shared.requested()),
                Poll::Ready(Err(reason @ CloseReason::WriteTimeout)) => {
                    return Poll::Ready(reason);
                }
                Poll::Ready(Err(reason)) => self.fail(reason),
            }
        }
        self.poll_deadlines(context, quiet_since)
    }

    /// Nothing can be written any more, but what the peer sent before is ours, and perhaps it said BYE.
    /// After a shutdown the stream ends behind what has arrived.
    fn fail(&mut self, reason: CloseReason) {
        if let Some(wire) = &self.shared.line().wire {
            let _ = wire.transport.shutdown(Shutdown::Both);
        }
        self.shared.end(reason.clone());
        self.failed = Some(reason);
        self.blocked_until = after(self.limits.write_time);
    }

    /// Writes the frames of the queue, as many at once as wait; when the queue is closed and empty, a
    /// `BYE`, and is ready.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let mut line = self.shared.line();
        if let Some(reason) = line.write_failed.take() {
            return Poll::Ready(Err(reason));
        }
        let Some(wire) = &mut line.wire else {
            return Poll::Ready(Err(CloseReason::Aborted));
        };
        for _ in 0..MOST_WRITES {
            if !wire.is_settled()
                && let Err(reason) = ready!(self.poll_write_out(wire, context))
            {
                return Poll::Ready(Err(reason));
            }
            if self.said_bye {
                wire.farewell.clear();
                return Poll::Ready(Ok(()));
            }
            let codec = self.shared.codec();
            let batch = (self.shared.outbound).poll_pop_batch(|frame| wire.gather(&frame, codec));
            let Poll::Ready(more) = batch else {
                self.waits = true;
                return Poll::Pending;
            };
            if !more {
                self.said_bye = true;
                wire.gather_bye();
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is unsent and sees it out.
    fn poll_write_out(
        &mut self,
        wire: &mut Wire,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        loop {
            match wire.try_write() {
                Ok(Written::All) => {
                    self.blocked_until = None;
                    return Poll::Ready(Ok(()));
                }
                Ok(Written::Some) => self.blocked_until = None,
                Ok(Written::Nothing) => {}
                Err(error) => return Poll::Ready(Err(CloseReason::from_io(&error))),
            }
            if self.blocked_until.is_none() {
                self.blocked_until = after(self.limits.write_time);
            }
            if let Err(error) = ready!(wire.transport.poll_writable(context)) {
                return Poll::Ready(Err(CloseReason::from_io(&error)));
            }
        }
    }

    /// Ready when something took too long.
    fn poll_deadlines(
        &mut self,
        context: &mut Context<'_>,
        quiet_since: Option<Instant>,
    ) -> Poll<CloseReason> {
        loop {
            let silence = quiet_since.and_then(|since| self.silent_until(since));
            let lease = self.poll_lease();
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
                return Poll::Ready(CloseReason::IdleTimeout);
            }
            self.look_after_turn(context, now);
        }
    }

    /// When nothing will have been heard for too long.
    fn silent_until(&self, since: Instant) -> Option<Instant> {
        let mut line = self.shared.line();
        // From here on callers note when they read.
        let last = *line.last_read.get_or_insert(since);
        last.max(since).checked_add(self.limits.idle_time?)
    }

    /// When the turn that a caller keeps has to be looked after.
    fn poll_lease(&mut self) -> Option<Instant> {
        if self.lease.is_none() {
            let line = self.shared.line();
            if line.leased {
                self.lease = Some((Instant::now() + LEASE, line.visits));
            }
        }
        self.lease.map(|(until, _)| until)
    }

    /// Takes back a turn that is kept by nobody.
    fn look_after_turn(&mut self, context: &Context<'_>, now: Instant) {
        let Some((until, visits)) = self.lease else {
            return;
        };
        if now < until {
            return;
        }
        let mut line = self.shared.line();
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
fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

/// One timer for all deadlines of a connection. It is set when it is needed, and moved only when it has
/// gone off too early: a deadline that is put off again and again costs nothing.
struct Alarm(Option<Pin<Box<Sleep>>>);

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

/// Delivers what is queued, and a `BYE`, to a peer that may still read; the socket can be closed then.
async fn take_leave(shared: &Shared, reason: &CloseReason, limits: &Limits) {
    let said = {
        let mut line = shared.line();
        let Some(wire) = &mut line.wire else {
            return;
        };
        let said = wire.farewell.is_empty();
        if said || *reason == CloseReason::PeerBye {
            wire.unsent.clear();
            wire.farewell.clear();
        }
        // A call of `recv` that has not seen the end yet must not read behind what is thrown away.
        line.turn = Turn::Delivering;
        said
    };
    if said {
        // Whoever is replaced makes room at once.
        if reason.peer_may_read() && *reason != CloseReason::Replaced {
            let _ = timeout(CLOSE_GRACE, linger(shared)).await;
        }
        return;
    }
    if *reason == CloseReason::PeerBye {
        return;
    }
    // Who takes nothing any more, is cut off for taking too little, or when a shut-down runs out of
    // time, is owed no more than the BYE, which closing the wire says if it still can.
    let cut_off = matches!(
        reason,
        CloseReason::QueueFull(_) | CloseReason::Shutdown | CloseReason::Replaced
    );
    if cut_off || !reason.peer_may_read() {
        return;
    }
    let mut rest = Conversation::new(shared, limits);
    let rest = poll_fn(|context| {
        shared.outbound.attach_consumer(context);
        rest.poll_write(context)
    });
    let _ = timeout(CLOSE_GRACE, rest).await;
}

/// Waits until our `BYE` is sent, not only written, and throws away what the peer sends until then. What
/// arrives at a socket that is closed makes the system reset the connection, and drop what it has not
/// sent yet: of a peer that reads slowly and sends meanwhile, our last frames and the `BYE`.
///
/// The peer's own end is not waited for: one of pymasep's closes nothing when it reads a `BYE`.
async fn linger(shared: &Shared) {
    poll_fn(|context| {
        // Whoever is cut off meanwhile has been told all there is to tell.
        shared.outbound.attach_consumer(context);
        match &mut shared.line().wire {
            Some(wire) if !shared.is_aborted() => wire.poll_sent(context),
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// A connection's place in the registry. It is given up when the handler was told of the end, so
/// that it does not hear of the next connection with the same id before; but a handler that takes
/// its time over that does not keep the id for ever. Given up also by a task that is cancelled or
/// panics, after the socket was closed.
pub(crate) struct Membership {
    registry: Registry,
    connection: Connection,
    reason: CloseReason,
}

impl Membership {
    /// Of a connection that is in the registry.
    pub(crate) const fn new(registry: Registry, connection: Connection) -> Self {
        Self {
            registry,
            connection,
            reason: CloseReason::Aborted,
        }
    }

    fn leave(&self) {
        self.registry.remove_connection(&self.connection);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.connection.shared().close_wire();
        self.leave();
        self.connection.shared().close_queues(&self.reason);
        self.connection.shared().set_closed(self.reason.clone());
    }
}

#[cfg(test)]
mod tests;
