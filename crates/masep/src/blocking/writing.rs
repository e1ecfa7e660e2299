//! How a connection is written, by the thread that sends a frame.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use masep_proto::{Frame, Limit, LimitExceeded};
use socket2::SockRef;

use super::incoming::{Filled, ReadHalf};
use super::outgoing::{OutgoingState, Pushed};
use super::readiness::{Interest, after, earlier, passed, wait};
use super::receive::Wait;
use super::shared::Shared;
use crate::sync::Instant;
use crate::sync::atomic::Ordering;
use crate::{CloseReason, SendError};

/// How long a thread that waits for room leaves the reading to another thread before it looks
/// again whether that one still reads.
const READER_CHECK: Duration = Duration::from_millis(100);

impl Shared {
    /// Writes what is unsent and the frame, and waits for room as long as the peer takes something
    /// at least every [`Limits::write_time`](crate::Limits::write_time).
    pub(super) fn send(&self, mut frame: Option<Frame>) -> Result<(), SendError> {
        if let Some(frame) = &frame {
            tracing::trace!(connection = %self.id, bytes = frame.size(), "sending");
        }
        let mut state = self.outgoing.lock_idle();
        let mut waited_in_vain = false;
        let failure = loop {
            let Some(half) = &mut state.half else {
                return Err(self.closed());
            };
            match half.push(&mut frame) {
                Ok(Pushed::All) => break None,
                Ok(Pushed::Nothing) if waited_in_vain => break Some(CloseReason::WriteTimeout),
                Ok(_) => {}
                Err(error) => break Some(CloseReason::from_io(&error)),
            }
            let stream = half.stream.clone();
            state.busy = true;
            self.note_unsent(&state);
            drop(state);
            let waited = self.wait_for_room(&stream, after(self.limits.write_time));
            state = self.outgoing.lock();
            state.busy = false;
            match waited {
                Ok(is_room) => waited_in_vain = !is_room,
                Err(error) => break Some(CloseReason::from_io(&error)),
            }
        };
        self.note_unsent(&state);
        self.outgoing.pass_on(state);
        failure.map_or(Ok(()), |reason| Err(self.fail_write(reason)))
    }

    /// Writes what is unsent and the frame as far as the socket takes it now. A frame that it takes
    /// in part counts as sent, its rest as unsent, and the caller sees to that. Whether all was taken.
    pub(super) fn offer(&self, frame: Frame) -> Result<bool, SendError> {
        let mut state = self.outgoing.lock();
        let busy = state.busy;
        let Some(half) = &mut state.half else {
            return Err(self.closed());
        };
        let size = frame.size();
        let mut frame = Some(frame);
        if !busy && let Err(error) = half.push(&mut frame) {
            drop(state);
            return Err(self.fail_write(CloseReason::from_io(&error)));
        }
        if frame.is_none() {
            tracing::trace!(connection = %self.id, bytes = size, "sending");
        } else {
            let allowed = SockRef::from(&*half.stream)
                .send_buffer_size()
                .unwrap_or_default();
            return Err(SendError::Full(LimitExceeded {
                limit: Limit::QueueBytes,
                actual: allowed + size,
                allowed,
            }));
        }
        let is_all = half.unsent.is_empty();
        self.note_unsent(&state);
        Ok(is_all)
    }

    /// Writes what is unsent as far as the socket takes it now; whether nothing is left.
    pub(super) fn try_flush(&self) -> Result<bool, SendError> {
        let mut state = self.outgoing.lock();
        if state.busy {
            return Ok(false);
        }
        let Some(half) = &mut state.half else {
            return Err(self.closed());
        };
        match half.push_unsent() {
            Ok(pushed) => {
                self.note_unsent(&state);
                Ok(pushed == Pushed::All)
            }
            Err(error) => {
                drop(state);
                Err(self.fail_write(CloseReason::from_io(&error)))
            }
        }
    }

    /// Keeps [`has_unsent`](Self::has_unsent) up to date.
    pub(super) fn note_unsent(&self, state: &OutgoingState) {
        let unsent = state
            .half
            .as_ref()
            .is_some_and(|half| !half.unsent.is_empty());
        self.has_unsent
            .store(unsent && !state.busy, Ordering::Release);
    }

    /// Waits until the socket may be writable, or the connection ends; `false` if neither has come at
    /// the deadline.
    ///
    /// Takes in what arrives meanwhile, up to [`Limits::queue_bytes`](crate::Limits::queue_bytes), unless another thread reads:
    /// two sides that only write would wait for each other.
    fn wait_for_room(&self, stream: &TcpStream, until: Option<Instant>) -> io::Result<bool> {
        while !self.is_leaving() {
            let reads = self.incoming.try_turn().is_some_and(|mut half| {
                if half.may_be_rejected() {
                    self.take_in(&mut half);
                }
                half.takes_more(self.limits.queue_bytes)
            });
            let interest = Interest::writable(stream.as_fd()).or_readable_if(reads);
            let pause = if reads { None } else { after(READER_CHECK) };
            let [ready] = wait([interest], earlier(until, pause))?;
            if ready.writable {
                // The write that follows says what an error is.
                return Ok(true);
            }
            if ready.readable
                && let Some(mut half) = self.incoming.try_turn()
            {
                half.waited();
                self.take_in(&mut half);
            }
            // Also for a peer that sends without pause.
            if passed(until) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether this thread can take in what arrives: no other one reads, and there is room for it.
    pub(super) fn may_take_in(&self) -> bool {
        let half = self.incoming.try_turn();
        half.is_some_and(|half| half.takes_more(self.limits.queue_bytes))
    }

    /// Ends the connection if its peer has said `BYE`, which nobody may have read.
    pub(super) fn look_for_bye(&self) {
        let Some(mut half) = self.incoming.try_turn() else {
            return;
        };
        half.fill_with_the_rest(self.limits.queue_bytes);
        if let Some(reason) = half.reason_of_bye() {
            self.end(reason);
        }
    }

    fn take_in(&self, half: &mut ReadHalf) {
        if half.takes_more(self.limits.queue_bytes)
            && half.fill(Wait::No) == Filled::Bytes
            && let Some(reason) = half.reason_of_bye()
        {
            self.end(reason);
        }
    }

    /// Ends the connection after a write that failed. What the peer sent before is still taken in,
    /// and if it said `BYE`, that is the reason.
    pub(super) fn fail_write(&self, mut reason: CloseReason) -> SendError {
        // Another thread that reads finds the end too, and returns.
        if reason != CloseReason::WriteTimeout
            && let Some(mut half) = self.incoming.turn(after(READER_CHECK))
        {
            half.set_write_failure(reason.clone());
            half.fill_with_the_rest(self.limits.queue_bytes);
            if let Some(bye) = half.reason_of_bye() {
                reason = bye;
            }
        }
        self.end(reason);
        self.closed()
    }

    fn closed(&self) -> SendError {
        let reason = self.ended.get().or_else(|| self.leaving.get());
        SendError::Closed(reason.cloned().unwrap_or(CloseReason::Aborted))
    }
}
