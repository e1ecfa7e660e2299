//! How a connection is read, by the thread that wants a frame.

use std::os::fd::AsFd;
use std::time::Duration;

use masep_proto::Frame;

use super::TimedOut;
use super::incoming::{Filled, ReadHalf, ReadTurn};
use super::readiness::{Interest, after, earlier, passed, wait};
use super::receive::Wait;
use super::shared::{Shared, Stage};
use crate::CloseReason;
use crate::sync::Instant;
use crate::sync::atomic::Ordering;

/// How long a thread that looks for the end of a connection leaves the reading to another thread before
/// it looks again whether that one still reads.
const READER_CHECK: Duration = Duration::from_millis(20);

impl Shared {
    /// A turn to read, for one or several calls of [`next_frame`](Self::next_frame).
    pub(super) fn read_turn(&self, until: Option<Instant>) -> Result<ReadTurn<'_>, TimedOut> {
        self.incoming.turn(until).ok_or(TimedOut)
    }

    /// The next frame; `None` when the connection has ended and all that came before was given.
    pub(super) fn next_frame(
        &self,
        half: &mut ReadHalf,
        until: Option<Instant>,
    ) -> Result<Option<Frame>, TimedOut> {
        while !self.leaving.get().is_some_and(is_own_decision) {
            match half.decode(self.codec) {
                Ok(Some(frame)) => {
                    tracing::trace!(connection = %self.id, bytes = frame.size(), "received");
                    return Ok(Some(frame));
                }
                Ok(None) if self.is_leaving() => break,
                Ok(None) => self.read_more(half, until)?,
                Err(reason) => {
                    self.end(reason);
                    break;
                }
            }
        }
        self.wait_for(Stage::Ended, until)?;
        Ok(None)
    }

    /// Waits for bytes and takes them in. On the way it writes the rest of a frame that waits: the
    /// peer may be one that answers only when it has all of it.
    fn read_more(&self, half: &mut ReadHalf, until: Option<Instant>) -> Result<(), TimedOut> {
        let Some(stream) = half.stream() else {
            return Ok(());
        };
        if self.spin(half, until) {
            return Ok(());
        }
        let idle_time = self.limits.idle_time;
        let idle_until = idle_time.and_then(|time| half.heard().checked_add(time));
        let deadline = earlier(until, idle_until);
        let unwatched = deadline.is_none() && !half.may_be_rejected();
        if unwatched && !self.has_unsent.load(Ordering::Acquire) {
            // The usual case takes one system call.
            half.fill(Wait::Yes);
            return Ok(());
        }
        while half.fill(Wait::No) == Filled::Nothing {
            let unsent = self.has_unsent.load(Ordering::Acquire);
            let interest = Interest::readable(stream.as_fd()).or_writable_if(unsent);
            let waited = wait([interest], deadline);
            half.waited();
            match waited {
                Ok([ready]) if ready.writable => self.push_rest(half),
                Ok([ready]) if ready.readable => {}
                // Before the caller's own deadline, which may always have passed.
                Ok(_) if passed(idle_until) => {
                    self.end(CloseReason::IdleTimeout);
                    return Ok(());
                }
                Ok(_) if passed(until) => return Err(TimedOut),
                Ok(_) => {}
                Err(error) => {
                    self.end(CloseReason::from_io(&error));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Looks for bytes without letting the thread sleep, for as long as
    /// [`Limits::busy_poll`](crate::Limits::busy_poll) allows. Whether it took some in, or found why
    /// none come any more.
    fn spin(&self, half: &mut ReadHalf, until: Option<Instant>) -> bool {
        let time = self.limits.busy_poll;
        if time.is_zero() {
            return false;
        }
        let end = earlier(until, Instant::now().checked_add(time));
        // What waits to be written is not left waiting for that.
        while !passed(end) && !self.has_unsent.load(Ordering::Acquire) {
            if half.fill(Wait::No) != Filled::Nothing {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Whether the connection ends before the deadline. Where no thread reads it, this one looks for
    /// the end, behind up to [`Limits::queue_bytes`](crate::Limits::queue_bytes) of what arrived before.
    pub(super) fn ends_before(&self, until: Option<Instant>) -> bool {
        loop {
            let end = self.incoming.try_turn().and_then(|half| half.end());
            if let Some(reason) = end {
                self.end(reason);
            }
            if self.is_leaving() {
                return true;
            }
            if passed(until) {
                return false;
            }
            self.look_for_end(until);
        }
    }

    fn look_for_end(&self, until: Option<Instant>) {
        let half = self.outgoing.lock();
        let stream = half.half.as_ref().map(|half| half.stream.clone());
        drop(half);
        let Some(stream) = stream else {
            return;
        };
        if !self.may_take_in() {
            // Somebody reads, and may stop.
            let pause = earlier(until, after(READER_CHECK));
            let _ = self.wait_for(Stage::Ended, pause);
            return;
        }
        // Without the turn: others may want it meanwhile.
        match wait([Interest::readable(stream.as_fd())], until) {
            Ok([ready]) if ready.readable => {
                if let Some(mut half) = self.incoming.try_turn() {
                    half.fill(Wait::No);
                }
            }
            Ok(_) => {}
            Err(error) => self.end(CloseReason::from_io(&error)),
        }
    }

    fn push_rest(&self, read_half: &mut ReadHalf) {
        let mut state = self.outgoing.lock();
        if state.busy {
            return;
        }
        if let Some(half) = &mut state.half
            && let Err(error) = half.push_unsent()
        {
            // Why it failed is in what is read next.
            half.unsent.clear();
            read_half.set_write_failure(CloseReason::from_io(&error));
        }
        self.note_unsent(&state);
    }
}

/// Whether this side decided on the end. What the peer sent before, nobody waits for then.
const fn is_own_decision(reason: &CloseReason) -> bool {
    use CloseReason::{Aborted, LocalBye, QueueFull, Replaced, Shutdown};
    matches!(
        reason,
        LocalBye | Shutdown | Replaced | QueueFull(_) | Aborted
    )
}
