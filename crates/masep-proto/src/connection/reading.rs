//! Reading: what is asked for, the frames in what arrives, and the ends that are found there.

use std::io;
use std::mem;
use std::time::Instant;

use super::inbound::Found;
use super::masep::Demand;
use super::write_pattern::Acknowledgement;
use super::{Connection, HelloFailure, Outcome, Phase, Read, Room, Want, WhenFull, action, event};
use crate::CloseReason;
use crate::framing::Framing;
use crate::tls::TlsFault;

impl Connection {
    /// Room for the next read. `None` if one is out, or nothing is to be read: the queue of frames that wait to
    /// be taken is full, or nothing comes any more.
    #[inline(always)]
    pub fn take_room(&mut self) -> Option<Room> {
        if self.is_plain {
            if self.want_to_read_plainly() == Want::Nothing {
                return None;
            }
            let empty = self.inbound.take_empty_room();
            if empty.is_some() {
                return empty;
            }
        }
        self.take_room_otherwise()
    }

    #[inline(never)]
    fn take_room_otherwise(&mut self) -> Option<Room> {
        if !self.can_read() {
            return None;
        }
        let framing = self.framing();
        let kept = self.masep.as_deref_mut();
        Some(self.inbound.take_room(framing, kept))
    }

    /// Takes back a room, and takes in the bytes that were read into it.
    pub fn put_room(&mut self, room: Room, read: Read, now: Instant) {
        let kept = self.masep.as_deref_mut();
        let bytes = self.inbound.put_room(room, kept);
        self.take_back(bytes, read, now);
        self.note_change();
    }

    /// [`put_room`](Self::put_room) that looks at the clock only if the time matters, which it does not for whole frames of
    /// pymasep's protocol.
    #[inline]
    pub fn put_read(&mut self, room: Room, read: Read, mut clock: impl FnMut() -> Instant) {
        let kept = self.masep.as_deref_mut();
        let bytes = self.inbound.put_room(room, kept);
        if read != Read::Bytes || !self.take_whole_frames(bytes, &mut clock) {
            self.take_back(bytes, read, clock());
            self.note_change();
        }
    }

    /// Takes in frames where nothing else is to be seen to. Returns false if there is more to it.
    #[inline(always)]
    fn take_whole_frames(&mut self, bytes: usize, clock: &mut impl FnMut() -> Instant) -> bool {
        if !self.is_plain || bytes == 0 {
            return false;
        }
        let before = self.inbound.frames();
        let is_all = match &self.masep {
            None => {
                let max = self.config.frame_bytes;
                let all = |_| true;
                let framing = Framing::Pymasep { max };
                self.inbound.walk(framing, None, all).is_none()
            }
            // The memory of a large frame is seen to behind it.
            Some(masep) if !masep.incoming.is_none() => return false,
            Some(masep) => {
                self.silent_since = Some(clock());
                self.inbound.walk_plainly(masep.framing);
                true
            }
        };
        if self.inbound.frames() > before {
            self.tell(event::FRAMES);
        }
        let rest = self.inbound.rest().len();
        let is_plain = match &self.masep {
            None => rest == 0 || self.pattern.is_plain_cut(bytes),
            // Something else than a frame may be there.
            Some(_) => rest == 0,
        };
        if !is_all || !is_plain {
            return false;
        }
        let all = !self.inbound.is_filled();
        self.has_waited |= all;
        self.pattern.note_plain(all);
        true
    }

    #[inline(never)]
    fn take_back(&mut self, bytes: usize, read: Read, now: Instant) {
        self.probes = false;
        self.last_reads = self.last_reads.saturating_sub(1);
        let walks_late = mem::take(&mut self.walks_late);
        if bytes > 0 {
            self.take_in(bytes, now);
        } else if walks_late && !self.is_settled() {
            self.walk(now);
        }
        match read {
            Read::Bytes => {}
            Read::Blocked => self.found_nothing(now),
            Read::End => self.found_end(now),
            Read::Failed(kind) => self.found_failure(kind, now),
            Read::Tls(fault) => self.found_tls(fault, now),
        }
    }

    /// The result of [`want_to_read`](Self::want_to_read) where the connection is plain.
    #[inline]
    pub(super) fn want_to_read_plainly(&self) -> Want {
        if self.inbound.is_out() || self.inbound.is_full(&self.config.limits) {
            Want::Nothing
        } else if self.inbound.is_filled() {
            Want::Now
        } else {
            Want::Ready
        }
    }

    #[inline(never)]
    pub(super) fn want_to_read(&self) -> Want {
        if self.phase != Phase::Open {
            return self.want_to_read_otherwise();
        }
        if self.inbound.is_out()
            || self.input_over
            || self.is_starved()
            || self.is_held()
            || (self.inbound.frames() > 0 && !self.has_room_for_frames())
        {
            Want::Nothing
        } else if self.probes || self.inbound.is_filled() || self.layer.more {
            Want::Now
        } else {
            Want::Ready
        }
    }

    /// Before the connection is open, and when it is being ended.
    #[inline(never)]
    fn want_to_read_otherwise(&self) -> Want {
        // In these phases only bytes that have arrived are read.
        let is_last = match self.phase {
            Phase::Draining => self.last_reads > 0,
            Phase::ReadingRest => true,
            Phase::HearingOut => self.phase_until.is_none(),
            _ => false,
        };
        if !self.can_read() {
            Want::Nothing
        } else if self.probes || is_last || self.inbound.is_filled() || self.layer.more {
            Want::Now
        } else {
            Want::Ready
        }
    }

    #[inline(never)]
    fn can_read(&self) -> bool {
        if self.inbound.is_out() || self.input_over || self.is_starved() || self.is_held() {
            return false;
        }
        match self.phase {
            Phase::Greeting
            | Phase::Hearing
            | Phase::Refusing
            | Phase::SendingOut
            | Phase::HearingOut => true,
            Phase::Deciding | Phase::Answering => self.may_read_ahead(),
            Phase::Open | Phase::Draining | Phase::ReadingRest => self.has_room_for_frames(),
            Phase::Over => false,
        }
    }

    /// True if frames that come can be kept, or are thrown away.
    pub(super) fn has_room_for_frames(&self) -> bool {
        self.discards_input()
            || self.config.when_full != WhenFull::Wait
            || !self.inbound.is_full(&self.config.limits)
    }

    /// True if bytes that come are thrown away.
    fn discards_input(&self) -> bool {
        self.ignores_frames
            || self.phase == Phase::SendingOut
            || (self.is_settled() && self.phase != Phase::Refusing)
    }

    /// True if the reads that are due before a `BYE` are made.
    pub(super) fn has_read_the_last(&self) -> bool {
        self.last_reads == 0 || !self.can_read()
    }

    fn take_in(&mut self, bytes: usize, now: Instant) {
        self.silent_since = Some(now);
        if !self.inbound.is_filled() {
            self.has_waited = true;
        }
        match self.phase {
            Phase::Greeting
            | Phase::Hearing
            | Phase::Deciding
            | Phase::Answering
            | Phase::Refusing => self.hear(now),
            Phase::Open | Phase::Draining | Phase::ReadingRest if !self.is_settled() => {
                self.walk(now);
            }
            _ => return self.discard(bytes),
        }
        if self.masep.is_none() && !self.is_settled() {
            let (all, rest) = (!self.inbound.is_filled(), self.inbound.rest().len());
            // The rest of one that waits for a verdict, or for its rate, was not looked at.
            if self.is_held() {
                self.pattern.note_plain(all);
            } else if self.is_in_hello() || matches!(self.phase, Phase::Open | Phase::Draining) {
                let due = self.pattern.note(bytes, all, rest, now);
                self.acknowledge(due);
            }
        }
    }

    /// Asks for acknowledgements as the last sign wants them.
    pub(super) fn acknowledge(&mut self, due: Acknowledgement) {
        let (set, clear) = match due {
            Acknowledgement::AsUsual => return,
            Acknowledgement::Now => (action::QUICK_ACK, action::DELAY_ACK),
            Acknowledgement::Withhold => (action::DELAY_ACK, action::QUICK_ACK),
        };
        self.actions.clear(clear);
        self.actions.set(set);
    }

    /// Finds the frames among the bytes that have arrived, and the end of the connection behind them.
    pub(super) fn walk(&mut self, now: Instant) {
        self.begin_look(now);
        let before = self.inbound.frames();
        let (framing, limits) = (self.framing(), &self.config.limits);
        let rates = &mut self.rates;
        let admits = |bytes| rates.as_mut().is_none_or(|rates| rates.admits(bytes));
        let bounds = (self.config.when_full == WhenFull::Disconnect).then_some(limits);
        let found = match &mut self.masep {
            None => self.inbound.walk(framing, bounds, admits),
            Some(masep) => self
                .inbound
                .walk_with(framing, bounds, admits, |kind, payload| {
                    match masep.hear(kind, payload, now) {
                        Demand::Nothing => {}
                        Demand::Ping => self.events.set(event::CONTROL & !self.silenced),
                        Demand::Notice => {
                            self.handler.has_notice = true;
                            self.events.set(event::NOTICE & !self.silenced);
                        }
                        Demand::End => return true,
                    }
                    false
                }),
        };
        let is_another = self.inbound.frames() > before;
        if is_another {
            self.rejection_until = None;
            if self.ignores_frames {
                self.inbound.discard_frames();
            } else {
                if self.config.when_full == WhenFull::NewestWins {
                    self.inbound.keep_newest(framing, limits);
                }
                self.tell(event::FRAMES);
            }
        }
        match found {
            None => {
                self.see_to_memory(is_another, now);
                self.end_look(now);
            }
            Some(found) => match self.end_by(found) {
                Some(reason) => self.conclude(reason, now),
                None => self.conclude_failed_write(now),
            },
        }
    }

    /// The reason for which the connection ends by what was found among the bytes that have arrived. `None` for that of a
    /// write that has failed: only a `BYE` says more.
    fn end_by(&mut self, found: Found) -> Option<CloseReason> {
        let reads_rest = self.phase == Phase::ReadingRest;
        Some(match found {
            Found::Bye => {
                // In doubt it is a refusal: a client that looked late would otherwise be told of success.
                // A client that ends the connection itself was not refused.
                let is_ending = matches!(self.outcome, Outcome::Requested(_));
                match self.rejection_until {
                    Some(_) if !is_ending => CloseReason::Rejected,
                    _ => CloseReason::PeerBye,
                }
            }
            Found::Ends => {
                let end = self.masep.as_mut().and_then(|masep| masep.take_end());
                return end.filter(|reason| reason.is_peer_bye() || !reads_rest);
            }
            _ if reads_rest => return None,
            Found::TooLarge(limit) => CloseReason::ProtocolError(limit),
            Found::Unsupported(kind) => CloseReason::UnsupportedFrame(kind),
            Found::Reserved => {
                let what = "flags, reserved bytes or padding that are not zero";
                CloseReason::BadFrame(what.into())
            }
            // None that comes behind it may be given: nobody would know of the gap.
            Found::Overflow(limit) => CloseReason::QueueFull(limit),
        })
    }

    fn found_nothing(&mut self, now: Instant) {
        self.last_reads = 0;
        self.has_waited = true;
        self.catch_up(now);
        if self.is_in_hello() {
            let due = self.pattern.found_nothing_of_hello(now);
            self.acknowledge(due);
        }
        if self.rejection_until.is_some_and(|until| until <= now) {
            // It is certain that none came in time.
            self.rejection_until = None;
        }
        match self.phase {
            Phase::Open | Phase::Draining => {
                if let Some(reason) = self.end_by_silence(now) {
                    self.conclude(reason, now);
                }
            }
            // It was to be told at once what became of it, and had said nothing by then.
            Phase::Refusing if self.is_hurried => self.say_refusal(now),
            Phase::ReadingRest => self.conclude_failed_write(now),
            Phase::HearingOut if self.phase_until.is_none() => self.close(),
            _ => {}
        }
    }

    fn found_end(&mut self, now: Instant) {
        self.input_over = true;
        self.last_reads = 0;
        match self.phase {
            Phase::Refusing => self.say_refusal(now),
            _ if self.ends_early() => self.early_end = Some(Read::End),
            _ if self.is_before_open() => self.fail(HelloFailure::Closed, now),
            Phase::ReadingRest => self.conclude_failed_write(now),
            // No bytes come that would make the close a reset.
            Phase::SendingOut => self.part(now),
            Phase::HearingOut => self.close(),
            Phase::Open | Phase::Draining if !self.is_settled() => {
                let mid_frame = !self.inbound.rest().is_empty();
                self.conclude(CloseReason::EndOfStream { mid_frame }, now);
            }
            _ => {}
        }
    }

    fn found_failure(&mut self, kind: io::ErrorKind, now: Instant) {
        self.input_over = true;
        self.last_reads = 0;
        match self.phase {
            Phase::Answering if self.transmit_out => self.early_end = Some(Read::Failed(kind)),
            _ if self.is_before_open() => self.fail_stream(kind, now),
            Phase::ReadingRest => self.conclude_failed_write(now),
            Phase::Open | Phase::Draining if !self.is_settled() => {
                self.conclude(CloseReason::from_error(kind), now);
            }
            Phase::Over => {}
            Phase::HearingOut => self.close(),
            // Bytes that were not sent are lost.
            Phase::SendingOut if !self.is_settled() => {
                self.conclude(CloseReason::from_error(kind), now);
            }
            _ => self.give_up(),
        }
    }

    /// The layer below is of no use any more. It has told the peer why, if it can be told.
    fn found_tls(&mut self, fault: TlsFault, now: Instant) {
        let is_cut = fault == TlsFault::Truncated;
        match self.phase {
            _ if self.ends_early() && (is_cut || self.transmit_out) => {
                self.input_over = is_cut;
                self.early_end = Some(Read::Tls(fault));
            }
            Phase::Open | Phase::Draining if !self.is_settled() => {
                self.last_reads = 0;
                self.input_over = is_cut;
                self.conclude(CloseReason::Tls(fault), now);
            }
            // Where nothing more is expected, a cut is as good as an end.
            _ if is_cut => self.found_end(now),
            _ if self.is_before_open() && !self.is_settled() => {
                self.last_reads = 0;
                self.fail(HelloFailure::Tls(fault), now);
            }
            _ => self.found_failure(io::ErrorKind::InvalidData, now),
        }
    }

    /// True if the end of what the peer sends is to be found when the connection is open: while our hello is being written, it
    /// may have got that and left before the write came back; and frames behind its hello are not to be lost because it says
    /// nothing more.
    fn ends_early(&self) -> bool {
        match self.phase {
            Phase::Answering if self.transmit_out => true,
            Phase::Deciding | Phase::Answering => {
                !self.is_settled() && self.inbound.has_ahead(self.framing())
            }
            _ => false,
        }
    }

    /// Handles an end that was found before the connection was open, behind all that came in front of it.
    pub(super) fn find_early_end(&mut self, now: Instant) {
        if self.is_held() {
            return;
        }
        match self.early_end.take() {
            Some(Read::Failed(kind)) => self.found_failure(kind, now),
            Some(Read::Tls(fault)) => self.found_tls(fault, now),
            Some(Read::End) => self.found_end(now),
            Some(Read::Bytes | Read::Blocked) | None => {}
        }
    }

    fn discard(&mut self, bytes: usize) {
        self.inbound.discard_rest();
        self.discards = self
            .discards
            .saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.discards == 0 && self.phase == Phase::HearingOut && self.phase_until.is_none() {
            self.close();
        }
    }
}
