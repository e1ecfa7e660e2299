//! Calls that receive.

use std::time::Duration;

use masep_proto::connection::HandlerCall;
#[cfg(not(masep_model))]
use masep_proto::connection::Want;
use masep_proto::{Frame, Message};

use super::Connection;
use crate::blocking::TimedOut;
use crate::blocking::drive::Awaits;
use crate::blocking::shared::State;
use crate::blocking::stream::{Wait, after};
#[cfg(not(masep_model))]
use crate::player::Received;
use crate::sync::{self, Instant};
use crate::{CloseReason, RecvMessageError, RecvTimeoutError, TryRecvError};

impl Connection {
    /// The next frame, or the reason for which the connection has ended when all that came before was given:
    /// [`CloseReason::is_orderly`] tells whether that is as it should be.
    ///
    /// Blocks until one of both, reading the socket in this thread; when several threads call it,
    /// one reads and the others wait for their turn. With a [`SocketHandler`](crate::blocking::SocketHandler)
    /// the frames are shared with that one: use [`closed`](Self::closed) instead.
    ///
    /// When this side ends the connection, frames of the peer that no call has given out are
    /// lost.
    ///
    /// # Errors
    /// The reason of the end, the same each time.
    pub fn recv(&self) -> Result<Frame, CloseReason> {
        let received = self.recv_until(None).unwrap_or_default();
        received.ok_or_else(|| self.end_reason())
    }

    /// [`recv`](Self::recv) that blocks no longer than `time`, whatever other threads do.
    /// Measured in milliseconds, rounded up. A frame that has arrived is given even with a time of
    /// zero.
    ///
    /// # Errors
    /// [`RecvTimeoutError::TimedOut`] if there was no frame in that time: nothing is lost, what has arrived of the
    /// next frame is kept. [`RecvTimeoutError::Closed`] at the end.
    pub fn recv_timeout(&self, time: Duration) -> Result<Frame, RecvTimeoutError> {
        let received = self.recv_until(after(time));
        self.in_time(received)
    }

    /// The next frame, if one has arrived and no other thread is reading. Never blocks.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none has, and [`TryRecvError::Closed`] with the reason of the end.
    pub fn try_recv(&self) -> Result<Frame, TryRecvError> {
        let received = self.recv_until(Some(sync::now()));
        self.in_time(received).map_err(|error| match error {
            RecvTimeoutError::TimedOut => TryRecvError::Empty,
            RecvTimeoutError::Closed(reason) => TryRecvError::Closed(reason),
        })
    }

    /// True if [`try_recv`](Self::try_recv) may give a frame that came with those that were given, which is known without a
    /// look at the socket.
    #[cfg(not(masep_model))]
    pub(in crate::blocking) fn has_read_more(&self) -> bool {
        let state = self.shared().lock();
        state.has_frames() || state.core.wants_read() == Want::Now
    }

    /// The next frame as a message: [`recv`](Self::recv), and then [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`RecvMessageError::Closed`] at the end. [`RecvMessageError::Decode`] for a frame that is no message; it has that
    /// frame, and the next call gives what came after it.
    pub fn recv_message(&self) -> Result<Message, RecvMessageError> {
        let frame = self.recv()?;
        RecvMessageError::decode(self.encoding(), frame)
    }

    /// The newest frame that has arrived, or the next that comes; older ones are dropped, but never
    /// one for which `keep` holds: then that one is given, and what came after it stays. Blocks as
    /// [`recv`](Self::recv).
    ///
    /// This is for an agent that is slower than its engine: it gets the latest observation, but every `end`
    /// (pymasep's `wait_message(most_recent=True, keep_all=…)`). A peer that sends without pause
    /// cannot hold it up: it looks at no more than [`Limits::queue_bytes`](crate::Limits::queue_bytes).
    ///
    /// `keep` must not receive from this connection.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_newest(&self, keep: impl Fn(&Frame) -> bool) -> Result<Frame, CloseReason> {
        let received = self.newest_until(None, keep).unwrap_or_default();
        received.ok_or_else(|| self.end_reason())
    }

    /// [`recv_newest`](Self::recv_newest) that blocks no longer than `time`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_newest_timeout(
        &self,
        time: Duration,
        keep: impl Fn(&Frame) -> bool,
    ) -> Result<Frame, RecvTimeoutError> {
        let received = self.newest_until(after(time), keep);
        self.in_time(received)
    }

    fn newest_until(
        &self,
        until: Option<Instant>,
        keep: impl Fn(&Frame) -> bool,
    ) -> Result<Option<Frame>, TimedOut> {
        let Some(mut newest) = self.recv_until(until)? else {
            return Ok(None);
        };
        let mut seen = newest.size();
        while !keep(&newest) && seen < self.shared().config.limits().queue_bytes {
            match self.recv_until(Some(sync::now())) {
                Ok(Some(newer)) => newest = newer,
                Ok(None) | Err(TimedOut) => break,
            }
            // An empty frame has a header too.
            seen += newest.size() + 2;
        }
        Ok(Some(newest))
    }

    /// The next thing that a handler is called for; a frame goes into its place. Blocks as [`recv`](Self::recv).
    pub(in crate::blocking) fn next_for_handler(&self, frame: &mut Option<Frame>) -> HandlerCall {
        let mut next = |state: &mut State| state.next_for_handler(frame);
        let next = self.shared().drive(None, Awaits::Bytes, &mut next);
        self.trace(frame.as_ref());
        next.unwrap_or(HandlerCall::End)
    }

    fn recv_until(&self, until: Option<Instant>) -> Result<Option<Frame>, TimedOut> {
        let frame = match self.read_alone(until) {
            Some(frame) => frame,
            None => (self.shared()).drive(until, Awaits::Bytes, State::next_frame)?,
        };
        self.trace(frame.as_ref());
        Ok(frame)
    }

    /// The next frame, or a notice that comes without one.
    #[cfg(not(masep_model))]
    pub(in crate::blocking) fn recv_or_notice(
        &self,
        until: Option<Instant>,
    ) -> Result<Received, TimedOut> {
        let next = |state: &mut State| {
            let frame = state.next_frame().map(|frame| frame.map(Ok));
            frame.or_else(|| Some(Some(Err(state.core.poll_notice()?))))
        };
        let received = match self.read_alone(until) {
            Some(frame) => frame.map(Ok),
            None => self.shared().drive(until, Awaits::Bytes, next)?,
        };
        self.trace(received.as_ref().and_then(|it| it.as_ref().ok()));
        Ok(received.ok_or_else(|| self.end_reason()))
    }

    /// The next frame, where nobody else is to be seen to.
    #[inline]
    fn read_alone(&self, until: Option<Instant>) -> Option<Option<Frame>> {
        let shared = self.shared();
        let mut state = shared.lock();
        if !state.has_frames() && until.is_none() && shared.reads_alone(&mut state) {
            state = shared.read(state, Wait::Yes);
        }
        let is_alone = state.has_frames() && state.is_at_rest() && state.needs_no_clock();
        is_alone.then(|| state.next_frame()).flatten()
    }

    #[inline]
    fn trace(&self, frame: Option<&Frame>) {
        if let Some(frame) = frame {
            tracing::trace!(connection = %self.shared().info.id, bytes = frame.size(), "received");
        }
    }

    fn in_time(
        &self,
        received: Result<Option<Frame>, TimedOut>,
    ) -> Result<Frame, RecvTimeoutError> {
        match received {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(RecvTimeoutError::Closed(self.end_reason())),
            Err(TimedOut) => Err(RecvTimeoutError::TimedOut),
        }
    }

    /// The reason of an end that a call has met.
    pub(in crate::blocking) fn end_reason(&self) -> CloseReason {
        let reason = self.shared().settled_reason().cloned();
        reason.unwrap_or(CloseReason::Aborted)
    }
}

impl State {
    /// The next thing that a handler is called for.
    fn next_for_handler(&mut self, frame: &mut Option<Frame>) -> Option<HandlerCall> {
        self.note_use();
        let next = self.core.next_for_handler(&mut self.batch, frame, self.now);
        if next == Some(HandlerCall::End) {
            self.see_end();
        }
        next
    }

    /// The next frame, or `None` within when there will be none.
    pub(in crate::blocking) fn next_frame(&mut self) -> Option<Option<Frame>> {
        self.note_use();
        match self.core.next_frame(&mut self.batch, self.now) {
            Some(frame) => Some(Some(frame)),
            None if self.core.is_settled() => {
                self.see_end();
                Some(None)
            }
            None => None,
        }
    }
}
