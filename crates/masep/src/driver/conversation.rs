//! What a connection does from its hello to its end: reads, calls the handler, and writes.

mod deadlines;

use std::future::{Future, poll_fn};
use std::mem;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use masep_proto::Limits;

use crate::connection::Shared;
use crate::handler::guarded;
use crate::line::{Line, Turn};
use crate::sync::time::Instant;
use crate::wire::{Wire, Written, take_frame};
use crate::{CloseReason, Connection, SocketHandler};

use deadlines::{Alarm, after};

/// Writes in a row after which the task looks at what has arrived, and others have their turn.
const MOST_WRITES: usize = 16;
/// Reads at most when this side ends the connection, for what had arrived by then.
const MOST_LAST_READS: u32 = 64;

/// Reads and writes until something ends the connection, which is the `Err` of everything here.
pub(super) struct Conversation<'a> {
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
    /// What has arrived and was not given to the handler.
    arrived: BytesMut,
    /// The queue was found to be empty, and wakes this task when something comes.
    nothing_queued: bool,
    /// All that was queued is written, and the queue wakes this task for more.
    waits: bool,
    /// Looks for bytes without sleeping.
    spins: bool,
    /// Reads that are still made when this side ends the connection.
    last_reads: u32,
}

pub(super) enum Never {}

impl<'a> Conversation<'a> {
    pub(super) fn new(shared: &'a Shared, limits: &'a Limits) -> Self {
        Self {
            shared,
            limits,
            alarm: Alarm(None),
            blocked_until: None,
            lease: None,
            failed: None,
            said_bye: false,
            arrived: BytesMut::new(),
            nothing_queued: false,
            waits: false,
            spins: false,
            last_reads: MOST_LAST_READS,
        }
    }

    /// Gives every frame that arrives to the handler, and writes what is queued.
    pub(super) async fn hold<H: SocketHandler>(
        &mut self,
        connection: &Connection,
        handler: &H,
    ) -> Result<Never, CloseReason> {
        // First, so that the handler hears of the connection before it hears of its end, also of one
        // that is aborted before this task has run at all.
        let call = pin!(guarded(|| handler.on_connect(connection)));
        self.attend(call).await?;
        // What came behind the hello.
        self.take_arrived(&mut self.shared.line())?;
        loop {
            while let Some(size) = self.next_size()? {
                let frame = take_frame(&mut self.arrived, self.shared.codec(), size);
                if frame.is_bye() {
                    return Err(self.shared.line().rejection.reason_of_bye());
                }
                if self.shared.has_overflowed() {
                    // It would follow a gap of which nobody was told.
                    continue;
                }
                self.shared.let_write(self.arrived.is_empty());
                let call = pin!(guarded(|| handler.on_receive(connection, frame)));
                self.attend(call).await?;
            }
            self.shared.let_write(false);
            let quiet_since = self.limits.idle_time.map(|_| Instant::now());
            // In a box, for the sake of the many that do not spin.
            if !self.limits.busy_poll.is_zero()
                && let Some(done) = Box::pin(self.spin(quiet_since)).await
            {
                done?;
                continue;
            }
            poll_fn(|context| self.poll_more(context, quiet_since)).await?;
        }
    }

    /// The size of the next frame, if it has arrived whole.
    fn next_size(&self) -> Result<Option<usize>, CloseReason> {
        let next = self.shared.codec().peek(&self.arrived);
        next.map_err(CloseReason::ProtocolError)
    }

    /// What counts of the reasons why it ended.
    pub(super) fn conclude(&mut self, reason: CloseReason) -> CloseReason {
        if self.shared.has_overflowed() {
            // However it ended then: a frame was lost for this reason.
            if reason.is_bye_of_peer()
                && let Some(wire) = &mut self.shared.line().wire
            {
                wire.farewell.clear();
            }
            return self.shared.requested();
        }
        match self.failed.take() {
            // Perhaps the peer said BYE before nothing could be written any more.
            Some(failed) if !reason.is_bye_of_peer() => failed,
            _ => reason,
        }
    }

    /// Takes what has arrived: while the task delivers, it is its own.
    fn take_arrived(&mut self, line: &mut Line) -> Result<(), CloseReason> {
        let wire = line.wire.as_mut().ok_or(CloseReason::Aborted)?;
        line.turn = Turn::Delivering;
        self.arrived = mem::take(&mut wire.buffer);
        line.note_first_frame(&self.arrived, self.shared.codec());
        Ok(())
    }

    /// Gives back what is no whole frame, when the task has delivered all others.
    fn return_arrived(&mut self, line: &mut Line) {
        if let Some(wire) = &mut line.wire {
            if !self.arrived.is_empty() {
                wire.buffer = mem::take(&mut self.arrived);
            }
            wire.acknowledge();
        }
    }

    /// Has this task woken by the queue of what is to be sent; whether something is in it. If not, frames
    /// that come from here on wake the task if it `waits` for them.
    #[inline]
    pub(super) fn attach(&mut self, context: &Context<'_>, waits: bool) -> bool {
        let queued = self.shared.outbound.attach_consumer(context, waits);
        self.nothing_queued = waits && !queued;
        queued
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
            self.attach(context, false);
            self.poll_end(&mut self.shared.line(), context, None)
                .map(Err)
        })
        .await
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

    /// Reads something, and writes what is queued meanwhile.
    fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        quiet_since: Option<Instant>,
    ) -> Poll<Result<(), CloseReason>> {
        let waited = mem::take(&mut self.waits);
        // Before everything else, so that whatever happens from here on wakes this task.
        let queued = self.attach(context, !waited);
        let line = &mut *self.shared.line();
        if waited && !queued {
            // Most often it was woken because something has arrived. Then the answer is written next.
            if let Poll::Ready(done) = self.poll_read(line, context) {
                return Poll::Ready(done);
            }
            return self.poll_end(line, context, quiet_since).map(Err);
        }
        if let Poll::Ready(done) = self.poll_last_read(line, context) {
            return Poll::Ready(done);
        }
        if let Poll::Ready(reason) = self.poll_end(line, context, quiet_since) {
            return Poll::Ready(Err(reason));
        }
        self.poll_read(line, context)
    }

    /// Reads what had arrived when this side ends the connection: behind our `BYE` nothing is heard.
    fn poll_last_read(
        &mut self,
        line: &mut Line,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        if self.last_reads == 0 || self.shared.is_aborted() || !self.shared.is_ending() {
            return Poll::Pending;
        }
        self.last_reads -= 1;
        let read = self.poll_read(line, context);
        if read.is_pending() {
            self.last_reads = 0;
        }
        read
    }

    #[inline]
    fn poll_read(
        &mut self,
        line: &mut Line,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        if let Some(reason) = line.ended.take() {
            return Poll::Ready(Err(reason));
        }
        match line.turn {
            Turn::Caller { .. } => {
                line.lease_turn(context);
                return Poll::Pending;
            }
            Turn::Returned => return Poll::Ready(self.take_arrived(line)),
            Turn::Delivering => self.return_arrived(line),
            Turn::Task => {}
        }
        line.take_turn(context);
        let Some(wire) = &mut line.wire else {
            return Poll::Ready(Err(CloseReason::Aborted));
        };
        let read = if self.spins {
            wire.poll_read_eagerly(context)
        } else {
            wire.poll_read(context)
        };
        line.rejection.note(&read);
        match ready!(read) {
            Ok(0) => {
                let mid_frame = !wire.buffer.is_empty();
                Poll::Ready(Err(CloseReason::EndOfStream { mid_frame }))
            }
            Ok(_) => Poll::Ready(self.take_arrived(line)),
            Err(error) => Poll::Ready(Err(CloseReason::from_io(&error))),
        }
    }

    /// Writes what is queued; ready when the connection has to end, whatever may still arrive. For a
    /// task that is attached to the queue.
    #[inline]
    fn poll_end(
        &mut self,
        line: &mut Line,
        context: &mut Context<'_>,
        quiet_since: Option<Instant>,
    ) -> Poll<CloseReason> {
        if self.shared.is_aborted() {
            return Poll::Ready(self.shared.requested());
        }
        if self.failed.is_none() {
            match self.poll_write(line, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => return Poll::Ready(self.shared.requested()),
                Poll::Ready(Err(reason @ CloseReason::WriteTimeout)) => {
                    return Poll::Ready(reason);
                }
                Poll::Ready(Err(reason)) => self.fail(line, reason),
            }
        }
        self.poll_deadlines(line, context, quiet_since)
    }

    /// Nothing can be written any more, but what the peer sent before is ours, and perhaps it said BYE.
    /// After a shutdown the stream ends behind what has arrived.
    fn fail(&mut self, line: &Line, reason: CloseReason) {
        if let Some(wire) = &line.wire {
            let _ = wire.transport.shutdown(Shutdown::Both);
        }
        self.shared.end(reason.clone());
        self.failed = Some(reason);
        self.blocked_until = after(self.limits.write_time);
    }

    /// Writes the frames of the queue, as many at once as wait; when the queue is closed and empty, a
    /// `BYE`, and is ready.
    pub(super) fn poll_write(
        &mut self,
        line: &mut Line,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
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
            if self.nothing_queued {
                self.waits = true;
                return Poll::Pending;
            }
            let codec = self.shared.codec();
            let outbound = &self.shared.outbound;
            let taken = outbound.poll_take(|backlog| wire.gather_from(backlog, codec));
            let Poll::Ready(more) = taken else {
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
}
