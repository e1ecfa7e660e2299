//! A connection whose frames go to a handler, which is called for one thing after the other: what it is called for next, how
//! long a call may take, and what is lost with a call that was given up.

use std::time::Instant;

use super::{Batch, Connection, Event};
use crate::{CloseReason, Frame};

/// The next thing that a handler is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerCall {
    /// A frame.
    Frame,
    /// A notice of the peer's, which [`Connection::poll_notice`] takes.
    Notice,
    /// The end: no frame follows.
    End,
}

/// The state of a handler, as far as its connection has to know it.
#[derive(Debug, Default)]
pub(super) struct Handler {
    /// Frames go to a handler.
    pub(super) is_set: bool,
    /// It was not told of a notice that has come.
    pub(super) has_notice: bool,
    /// Frames were taken out that it has not done with.
    is_behind: bool,
    /// The time since which a call of it waits.
    waits_since: Option<Instant>,
    /// That call has waited for too long.
    is_late: bool,
}

impl Connection {
    /// Frames go to a handler, which gets them from [`next_for_handler`](Self::next_for_handler).
    /// [`Event::Frames`] is not told: the one who calls the handler reads too.
    pub const fn set_handler(&mut self) {
        self.handler.is_set = true;
        self.silence(Event::Frames);
    }

    /// The next thing that the handler is called for; a frame goes into its place. Notices come first, as they overtake frames.
    /// After an [abort](Self::abort) nothing but the end comes. To be called when the handler has done with everything before.
    ///
    /// The handler has its own batch of frames. All but the last of it may be taken out without this call.
    #[inline]
    pub fn next_for_handler(
        &mut self,
        batch: &mut Batch,
        frame: &mut Option<Frame>,
        now: Instant,
    ) -> Option<HandlerCall> {
        if self.is_plain
            && self.inbound.frames() == 0
            && batch.is_empty()
            && !self.handler.has_notice
        {
            self.handler.is_behind = false;
            return None;
        }
        self.next_of_some(batch, frame, now)
    }

    #[inline(never)]
    fn next_of_some(
        &mut self,
        batch: &mut Batch,
        frame: &mut Option<Frame>,
        now: Instant,
    ) -> Option<HandlerCall> {
        if !self.is_hurried {
            if std::mem::take(&mut self.handler.has_notice) {
                return Some(HandlerCall::Notice);
            }
            *frame = self.next_frame(batch, now);
            // Until its call has returned, this frame can be lost too.
            self.handler.is_behind = frame.is_some() || !batch.is_empty();
            if frame.is_some() {
                return Some(HandlerCall::Frame);
            }
        }
        self.is_settled().then_some(HandlerCall::End)
    }

    /// True if [`next_for_handler`](Self::next_for_handler) would give something, with an empty batch.
    pub const fn has_handler_call(&self) -> bool {
        self.frames() > 0 || self.handler.has_notice || self.is_settled()
    }

    /// The call of the handler has not returned at once.
    pub fn handler_waits(&mut self, now: Instant) {
        self.handler.waits_since = Some(now);
        self.note_change();
    }

    /// The call of the handler that [waited](Self::handler_waits) is over. It has returned, or was given up
    /// ([`cancels_handler`](Self::cancels_handler)). One that was given up because it took too long has lost its frame, and
    /// those behind it are lost with it: that is the end at once.
    pub fn handler_done(&mut self, has_returned: bool, now: Instant) {
        self.handler.waits_since = None;
        if std::mem::take(&mut self.handler.is_late) && !has_returned {
            let reason = self.end_reason();
            self.lose(reason, now);
        }
    }

    /// True if a call of the handler that waits is to be given up. At once, if the connection was ended, and not by its peer,
    /// which may have sent the frame before it left. After [`Limits::write_time`](crate::Limits::write_time), if a write has
    /// failed: the answer would go nowhere, but a handler that goes on, frame by frame, gets all that the peer has sent.
    pub fn cancels_handler(&self) -> bool {
        let by_peer = |reason: &CloseReason| {
            matches!(
                reason,
                CloseReason::PeerBye
                    | CloseReason::PeerByeWith(_)
                    | CloseReason::UnsupportedFrame(_)
                    | CloseReason::BadFrame(_)
                    | CloseReason::Rejected
                    | CloseReason::EndOfStream { .. }
                    | CloseReason::Reset
                    | CloseReason::ProtocolError(_)
                    | CloseReason::Tls(_)
                    | CloseReason::Io(_)
            )
        };
        self.handler.is_late
            || self.is_hurried
            || self.reason().is_some_and(|reason| !by_peer(reason))
    }

    /// The time at which the call of the handler that waits is given up.
    pub(super) fn handler_until(&self) -> Option<Instant> {
        let since = self.handler.waits_since.filter(|_| !self.handler.is_late)?;
        let failed = self.write_failed_at?;
        failed.max(since).checked_add(self.config.limits.write_time)
    }

    /// The call of the handler has waited for too long.
    pub(super) const fn time_handler_out(&mut self) {
        self.handler.is_late = true;
    }

    /// True if frames are lost if the connection is ended at once: nobody gives them to the handler any more.
    pub(super) const fn loses_frames(&self) -> bool {
        self.handler.is_set && (self.handler.is_behind || self.frames() > 0)
    }
}
