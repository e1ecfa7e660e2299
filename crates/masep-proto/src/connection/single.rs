//! Frames that go past the queue, into the write of the call that sends them.

use std::time::Instant;

use super::{Connection, PushError, Transmit};
use crate::framing::Framing;
use crate::{Frame, Pieces};

impl Connection {
    /// The frame that there is as the next bytes to be written, if nothing is in front of it: [`send`](Self::send) and
    /// [`take_transmit`](Self::take_transmit) in one, for a shell whose calls write what they send. `None` without a change
    /// where that is not so simple.
    #[inline]
    pub fn send_alone(&mut self, frame: &mut Option<Frame>) -> Option<Transmit> {
        let framing = self.framing();
        let is_ordinary = |frame: &Frame| self.is_ordinary(frame, framing);
        if !self.writes_alone() || !frame.as_ref().is_some_and(is_ordinary) {
            return None;
        }
        self.transmit_out = true;
        self.note_run();
        self.outbound.pass_frame(frame, framing)
    }

    /// [`send_alone`](Self::send_alone) where [`send`](Self::send) would have the caller write because the user has waited
    /// for the peer since the last frame. `None` without a change where it would not, or where that is not so simple.
    #[inline]
    pub fn send_single(&mut self, frame: &mut Option<Frame>, now: Instant) -> Option<Transmit> {
        if !self.writes_single() {
            return None;
        }
        match &self.masep {
            None => {
                let max = self.config.frame_bytes;
                self.pass_single(frame, Framing::Pymasep { max }, now)
            }
            Some(masep) => {
                let framing = masep.framing;
                self.pass_single_masep(frame, framing, now)
            }
        }
    }

    /// Apart, so that each of both is for one framing.
    #[inline(never)]
    fn pass_single_masep(
        &mut self,
        frame: &mut Option<Frame>,
        framing: Framing,
        now: Instant,
    ) -> Option<Transmit> {
        self.pass_single(frame, framing, now)
    }

    #[inline(always)]
    fn pass_single(
        &mut self,
        frame: &mut Option<Frame>,
        framing: Framing,
        now: Instant,
    ) -> Option<Transmit> {
        let is_ordinary = |frame: &Frame| self.is_ordinary(frame, framing);
        if !frame.as_ref().is_some_and(is_ordinary) {
            return None;
        }
        self.note_single(now);
        self.outbound.pass_frame(frame, framing)
    }

    /// [`send_single`](Self::send_single) of a frame in pieces, which stay where they are until they are written.
    #[inline(never)]
    pub fn send_single_pieces(
        &mut self,
        pieces: &mut Option<Box<Pieces>>,
        now: Instant,
    ) -> Option<Transmit> {
        let framing = self.framing();
        let is_ordinary = |pieces: &Pieces| framing.takes(pieces.size());
        if !self.writes_single()
            || self.masep.is_none()
            || !pieces.as_deref().is_some_and(is_ordinary)
        {
            return None;
        }
        let pieces = *pieces.take()?;
        let mut transmit = Transmit::of(Vec::new(), 0, self.outbound.pass());
        transmit.append_pieces(pieces, framing);
        self.note_single(now);
        Some(transmit)
    }

    /// True if the user has waited for the peer since the last frame, so that no other is to be expected soon, and nothing
    /// is in front of one that is sent now: for this a plain connection has fewer things to look at.
    #[inline]
    const fn writes_single(&self) -> bool {
        self.has_waited
            && self.is_plain
            && !self.wants_room
            && !self.is_being_written
            && !self.transmit_out
            && self.outbound.is_empty()
    }

    /// Notes that such a frame is being written.
    #[inline]
    const fn note_single(&mut self, now: Instant) {
        self.has_waited = false;
        self.last_send = Some(now);
        self.is_being_written = true;
        self.transmit_out = true;
    }

    /// True if a frame goes out at once, in front of which nothing is.
    #[inline]
    fn writes_alone(&self) -> bool {
        self.takes_frames
            && !self.pattern.is_apart()
            && !self.is_blocked
            && !self.transmit_out
            && self.rest.is_none()
            && self.outbound.is_empty()
            && !self.has_ahead()
    }

    /// Sends a frame in pieces by a write that the caller makes at once: by this transmit, which is to be written and
    /// [put back](Self::put_transmit) as others are. The rest of it is copied then, so that nothing of the pieces is
    /// needed any more. Only in protocol 2, and if nothing else is being written or waits for that; otherwise the frame in one
    /// piece is given back, to be [sent](Self::send) as others are.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn write_pieces(
        &mut self,
        pieces: Pieces,
        now: Instant,
    ) -> Result<Result<Transmit, Frame>, PushError> {
        let framing = self.framing();
        if let Err(limit) = framing.check(pieces.size()) {
            return Err(self.too_large(limit));
        }
        if self.masep.is_none() || !self.writes_alone() {
            return Ok(Err(pieces.into_frame()));
        }
        let number = self.outbound.pass();
        let transmit = Transmit::of_pieces(pieces, framing, number);
        self.note_single(now);
        Ok(Ok(transmit))
    }
}
