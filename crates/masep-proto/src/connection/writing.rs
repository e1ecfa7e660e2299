//! Writing: what goes out next, and what came of it.

use std::io;
use std::time::Instant;

use super::{Bye, Connection, HelloFailure, Outcome, Phase, Transmit, Want, Write, event};
use crate::CloseReason;
use crate::framing::Framing;

impl Connection {
    /// The next bytes to be written. `None` if some are out, or there is nothing to write.
    #[inline]
    pub fn take_transmit(&mut self) -> Option<Transmit> {
        if self.transmit_out {
            return None;
        }
        if self.is_plain && !self.wants_room {
            let copies = self.outbound.take_copies();
            if copies.is_some() {
                self.transmit_out = true;
                return copies;
            }
        }
        self.take_transmit_otherwise()
    }

    #[inline(never)]
    fn take_transmit_otherwise(&mut self) -> Option<Transmit> {
        if !self.may_write() {
            return None;
        }
        let next = self.rest.take().or_else(|| self.fill_transmit());
        let transmit = next.or_else(|| self.layer.owes.then(Transmit::default))?;
        self.transmit_out = true;
        self.note_gathered_taken();
        if self.wants_room && self.has_send_room(0) {
            self.wants_room = false;
            self.tell(event::SEND_ROOM);
        }
        Some(transmit)
    }

    fn fill_transmit(&mut self) -> Option<Transmit> {
        let alone = self.peer_splits_frames();
        let framing = self.framing();
        let mut transmit = Transmit::default();
        if self.has_ahead()
            && let Some(masep) = &mut self.masep
        {
            masep.fill(&mut transmit);
        }
        self.outbound
            .fill(&mut transmit, &self.config, framing, alone);
        transmit.fresh_segment = alone;
        if self.says_bye() && (transmit.is_empty() || !alone) {
            self.fill_farewell(&mut transmit);
            transmit.ends = true;
            self.bye = Bye::Taken;
        }
        (!transmit.is_empty()).then_some(transmit)
    }

    fn fill_farewell(&mut self, transmit: &mut Transmit) {
        if self.masep.is_none() {
            return transmit.extend(Framing::bye());
        }
        let reason = match &self.outcome {
            // There was no connection.
            Outcome::Failed(_) => CloseReason::LocalBye,
            _ => self.end_reason(),
        };
        if let Some(masep) = &mut self.masep {
            if masep.refuses() {
                // It begins with our first bytes, which are no frames.
                debug_assert!(transmit.is_empty());
            }
            transmit.extend(&masep.farewell(&reason));
        }
    }

    /// True if the `BYE` goes out next.
    #[inline]
    fn says_bye(&self) -> bool {
        self.phase == Phase::Draining
            && self.bye == Bye::Unsaid
            && self.outbound.is_empty()
            && self.has_read_the_last()
    }

    /// The result of [`want_to_write`](Self::want_to_write) where the connection is plain.
    #[inline]
    pub(super) const fn want_to_write_plainly(&self) -> Want {
        if self.transmit_out || self.outbound.is_empty() {
            Want::Nothing
        } else {
            Want::Now
        }
    }

    #[inline(never)]
    pub(super) fn want_to_write(&self) -> Want {
        let is_due = self.rest.is_some()
            || !self.outbound.is_empty()
            || self.has_ahead()
            || self.says_bye()
            || self.layer.owes;
        if self.transmit_out || !is_due || !self.may_write() {
            Want::Nothing
        } else if self.is_blocked {
            Want::Ready
        } else if self.waits_for_others() {
            Want::Nothing
        } else {
            Want::Now
        }
    }

    /// True if control frames wait to be written: behind a `BYE` none is.
    #[inline]
    pub(super) fn has_ahead(&self) -> bool {
        self.masep.as_ref().is_some_and(|masep| masep.has_ahead()) && self.bye == Bye::Unsaid
    }

    /// The stream took bytes.
    fn note_sent(&mut self, now: Instant) {
        if let Some(masep) = &mut self.masep {
            masep.sent(now);
            if self.is_blocked {
                // The peer has taken something, which is life.
                self.silent_since = self.silent_since.max(Some(now));
            }
        }
    }

    /// Takes back a transmit, and what came of its write.
    #[inline(always)]
    pub fn put_transmit(&mut self, transmit: Transmit, write: Write, now: Instant) {
        self.transmit_out = false;
        if self.is_plain && write == Write::Bytes(transmit.len()) {
            if transmit.upto > self.written + 1 {
                // The time at which the frames that waited were queued is not known.
                self.last_send = Some(now);
            }
            if let Some(masep) = &mut self.masep {
                masep.sent(now);
            }
            self.count_upto(transmit.upto);
            self.is_being_written = !self.outbound.is_empty();
            self.has_changed |= self.is_being_written;
            return;
        }
        self.put_transmit_otherwise(transmit, write, now);
        self.note_change();
    }

    #[inline(never)]
    fn put_transmit_otherwise(&mut self, mut transmit: Transmit, write: Write, now: Instant) {
        if transmit.is_empty() {
            return self.put_flush(write, now);
        }
        if self.phase == Phase::Open && write == Write::Bytes(transmit.len()) {
            if transmit.upto > self.written + 1 {
                self.last_send = Some(now);
            }
            if self.masep.is_some() && !transmit.is_empty() {
                self.note_sent(now);
            }
            self.is_blocked = false;
            self.write_until = None;
            self.count_upto(transmit.upto);
            self.is_being_written = !self.outbound.is_empty() || self.has_ahead();
            return;
        }
        let answer = self.answer.take();
        if !self.may_write() {
            // The connection has ended meanwhile, but the stream took the bytes.
            if let Write::Bytes(written) = write {
                self.count_written(&mut transmit, written);
            }
            match self.phase {
                Phase::HearingOut => self.tell_closed(),
                Phase::Over => self.tell_over(),
                _ => {}
            }
            return;
        }
        if let Some(reason) = answer
            && write != Write::Bytes(transmit.len())
        {
            // The end was no answer to the `BYE`.
            self.conclude(reason, now);
            if !self.may_write() {
                return;
            }
        }
        self.found_written(transmit, write, now);
        self.is_being_written = self.want_to_write() != Want::Nothing;
    }

    /// The outcome of a write, of which all, a part or nothing was taken.
    fn found_written(&mut self, mut transmit: Transmit, write: Write, now: Instant) {
        match write {
            Write::Bytes(written) => {
                if written < transmit.len() {
                    self.count_written(&mut transmit, written);
                }
                transmit.advance(written);
                if written > 0 {
                    self.note_sent(now);
                    self.is_blocked = false;
                    self.write_until = None;
                }
                if transmit.is_empty() {
                    self.transmitted(&transmit, now);
                } else {
                    transmit.own();
                    self.rest = Some(transmit);
                }
            }
            Write::Blocked => {
                transmit.own();
                transmit.shrink();
                self.rest = Some(transmit);
                self.found_no_room(now);
            }
            Write::Failed(kind) => self.fail_write(kind, now),
        }
    }

    /// Takes back the transmit that had the layer below write what it owes.
    fn put_flush(&mut self, write: Write, now: Instant) {
        if !self.may_write() {
            return;
        }
        match write {
            Write::Bytes(_) => {
                self.is_blocked = false;
                self.write_until = None;
            }
            Write::Blocked => self.found_no_room(now),
            Write::Failed(kind) => self.fail_write(kind, now),
        }
        self.is_being_written = self.want_to_write() != Want::Nothing;
    }

    /// Counts the frames of a transmit that was written in part.
    fn count_written(&mut self, transmit: &mut Transmit, written: usize) {
        let left = transmit.frames_behind(written, self.framing());
        if self.is_before_open() {
            // Our hello is no frame that counts, and small.
            return;
        }
        self.count_upto(transmit.upto.saturating_sub(left as u64));
    }

    /// Counts that so many of all accepted frames are written.
    #[inline]
    const fn count_upto(&mut self, frames: u64) {
        if frames > self.written {
            self.written = frames;
            if !self.is_over() {
                self.tell(event::WRITTEN);
            }
        }
    }

    /// True if something may still be written.
    #[inline]
    const fn may_write(&self) -> bool {
        !matches!(
            self.phase,
            Phase::ReadingRest | Phase::HearingOut | Phase::Over
        )
    }

    fn transmitted(&mut self, transmit: &Transmit, now: Instant) {
        self.count_upto(transmit.upto);
        if transmit.ends {
            self.bye = Bye::Written;
            self.said_bye(now);
        } else if self.phase == Phase::Answering {
            let until = self.phase_until;
            self.open(now);
            if matches!(self.outcome, Outcome::Requested(_)) {
                self.drain(now);
                self.phase_until = until;
            }
            self.find_early_end(now);
        }
    }

    fn found_no_room(&mut self, now: Instant) {
        self.find_early_end(now);
        if !self.may_write() {
            return;
        }
        self.is_blocked = true;
        if self.is_hurried {
            self.give_up();
        } else if self.write_until.is_none() {
            self.write_until = now.checked_add(self.config.limits.write_time);
        } else if self.write_until.is_some_and(|until| until <= now) {
            self.time_write_out(now);
        }
    }

    /// Ends the connection of a peer that has taken nothing for too long.
    fn time_write_out(&mut self, now: Instant) {
        self.write_until = None;
        if self.is_before_open() {
            self.fail(HelloFailure::Closed, now);
            self.give_up();
        } else if self.is_settled() {
            self.give_up();
        } else {
            self.conclude(CloseReason::WriteTimeout, now);
        }
    }

    /// Nothing can be written any more. The bytes that the peer sent before are
    /// read, and perhaps there is a `BYE` in them.
    fn fail_write(&mut self, kind: io::ErrorKind, now: Instant) {
        match CloseReason::from_error(kind) {
            _ if self.is_before_open() => self.fail_stream(kind, now),
            _ if self.is_settled() => self.give_up(),
            reason @ CloseReason::WriteTimeout => self.conclude(reason, now),
            reason => self.read_rest(reason, now),
        }
    }
}
