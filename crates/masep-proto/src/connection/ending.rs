//! The end of a connection: its reason, the last bytes for the peer, and how the stream is closed.
//!
//! A bare close makes an unmodified pymasep peer spin at 100 % of a core, a close before the hello kills its
//! accept thread, and a close with unread bytes is a reset, which can overtake the `BYE`. So this side says
//! `BYE` and reads the bytes that have arrived before it closes a stream. It resets the stream of a peer that does not
//! take even the `BYE`.

use std::mem;
use std::time::{Duration, Instant};

use super::deadlines::earlier;
use super::{Connection, HelloFailure, Outcome, Phase, action, event};
use crate::CloseReason;
use crate::protocol2::Bye;
use crate::tls::TlsFault;

/// The time for delivering the queue and the `BYE`, where this side did not ask for the end.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// The time in which a peer that is sent away takes its last frames.
const LEAVE_TIME: Duration = Duration::from_secs(1);
/// The time from the write of the `BYE` until it is sent.
const SENT_TIME: Duration = Duration::from_secs(1);
/// The time for which the end of the peer's side is awaited.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Reads at most before this side says `BYE`, for what had arrived by then: behind it nothing is heard.
const LAST_READS: u8 = 64;
/// Bytes that are thrown away at most before a stream is closed whose end is not awaited.
const DISCARD_BYTES: u32 = 64 * 1024;

impl Connection {
    /// Ends the connection for this reason: the queued frames go out, and then a `BYE`. Does nothing if it is
    /// being ended already.
    pub fn end(&mut self, reason: CloseReason, now: Instant) {
        match self.phase {
            Phase::Open => {
                self.outcome = Outcome::Requested(reason);
                self.drain(now);
            }
            Phase::Answering if matches!(self.outcome, Outcome::Undecided) => {
                self.outcome = Outcome::Requested(reason);
            }
            Phase::Greeting | Phase::Hearing | Phase::Deciding => {
                self.fail(HelloFailure::Refused, now);
            }
            _ => {}
        }
        self.note_change();
    }

    /// Ends the connection as [`end`](Self::end) does with [`CloseReason::LocalBye`], and tells a peer of protocol 2 this
    /// reason.
    pub fn end_with(&mut self, bye: Bye, now: Instant) {
        if self.is_open()
            && let Some(masep) = &mut self.masep
        {
            masep.words = Some(Box::new(bye));
        }
        self.end(CloseReason::LocalBye, now);
    }

    /// Ends the connection as [`end`](Self::end), for a server whose door sends the peer away: it is
    /// [aborted](Self::abort) if it takes more than a second. That reason counts, also where the connection is being ended
    /// already.
    pub fn send_away(&mut self, reason: CloseReason, now: Instant) {
        self.end(reason.clone(), now);
        if let Phase::Answering | Phase::Draining | Phase::ReadingRest = self.phase {
            if let Outcome::Requested(requested) = &mut self.outcome {
                *requested = reason;
            }
            self.phase_until = earlier(self.phase_until, now.checked_add(LEAVE_TIME));
            self.note_change();
        }
    }

    /// Nobody waits for the end that was asked for: its reason is settled, and what is queued has a second to go out.
    pub fn hasten(&mut self, now: Instant) {
        if let (Phase::Draining | Phase::SendingOut, Outcome::Requested(reason)) =
            (self.phase, &self.outcome)
        {
            self.settle(reason.clone());
            self.phase_until = now.checked_add(DRAIN_TIME);
            self.note_change();
        }
    }

    /// Ends the connection for this reason at once, whatever is queued: the peer gets a `BYE` if the stream takes it
    /// now, and a reset otherwise. Nothing is waited for: the shell makes the calls that are still wanted without
    /// waiting. A shell calls this also when the owner of a connection is dropped.
    ///
    /// Frames that a [handler](Self::set_handler) has not done with are lost by this: that is the reason then, however the
    /// connection has ended meanwhile, as with [`lose`](Self::lose).
    pub fn abort(&mut self, reason: CloseReason, now: Instant) {
        if self.loses_frames() && !self.is_hurried {
            self.lose(reason, now);
        } else {
            self.cut_off(reason, now);
        }
    }

    /// Ends the connection now, unless it has ended.
    fn cut_off(&mut self, reason: CloseReason, now: Instant) {
        self.is_hurried = true;
        match self.phase {
            Phase::Open | Phase::Draining if !self.is_settled() => {
                // An end that had begun keeps its reason, unless frames may be lost by this.
                let is_written = self.written == self.outbound.accepted();
                self.settle(match &self.outcome {
                    Outcome::Requested(requested) if is_written => requested.clone(),
                    _ => reason,
                });
                self.drop_queue();
                self.phase = Phase::Draining;
                self.phase_until = now.checked_add(DRAIN_TIME);
            }
            Phase::Draining => self.drop_queue(),
            Phase::ReadingRest => self.conclude_failed_write(now),
            Phase::SendingOut => {
                // The close can become a reset, which drops what the system has not sent.
                if !self.is_settled() {
                    self.settle(reason);
                }
                self.part(now);
            }
            Phase::HearingOut => self.close(),
            Phase::Refusing => self.say_refusal(now),
            Phase::Greeting | Phase::Hearing | Phase::Deciding | Phase::Answering => {
                self.fail(HelloFailure::Refused, now);
            }
            Phase::Open | Phase::Over => {}
        }
        // There may be room again. If there is none, the stream is reset.
        self.is_blocked = false;
        self.note_change();
    }

    /// [Aborts](Self::abort) a connection of which a frame that was taken out is lost. However it has ended meanwhile, that is
    /// the reason: a peer that said `BYE` behind the frame would be told of success otherwise.
    pub fn lose(&mut self, reason: CloseReason, now: Instant) {
        self.cut_off(reason.clone(), now);
        if let Outcome::Ended(ended) = &mut self.outcome {
            *ended = reason;
        }
        self.note_change();
    }

    /// All that was written was sent, or never will be.
    pub fn sent(&mut self, now: Instant) {
        if self.phase == Phase::SendingOut {
            self.part(now);
            self.note_change();
        }
    }

    /// Closes a stream of which only the peer's end is awaited: for a shell that has too many of them.
    pub fn stop_hearing(&mut self) {
        if self.phase == Phase::HearingOut {
            self.close();
            self.note_change();
        }
    }

    /// True if all accepted frames were written, and the `BYE` behind them.
    pub fn has_said_bye(&self) -> bool {
        self.bye == super::Bye::Written && !self.has_lost
    }

    /// True if the peer, whose connection this side ends, got all that it was sent, and the `BYE`; for a report, also of an end
    /// that is under way. `None` if the peer has left by itself, and is owed nothing: with a `BYE`, or by the end of its stream
    /// when it had everything.
    pub fn was_told(&self) -> Option<bool> {
        let is_owed = |reason: &CloseReason| match reason {
            CloseReason::EndOfStream { .. } => {
                self.has_said_bye() || self.outbound.accepted() > self.written
            }
            reason => !reason.is_peers(),
        };
        (self.reason().is_none_or(is_owed)).then(|| self.has_said_bye())
    }

    /// The reason for a call that comes too late: that of the end, settled or under way.
    pub fn end_reason(&self) -> CloseReason {
        match &self.outcome {
            Outcome::Requested(reason) | Outcome::WriteFailed(reason) | Outcome::Ended(reason) => {
                reason.clone()
            }
            Outcome::Undecided | Outcome::Failed(_) => CloseReason::Aborted,
        }
    }

    /// Sends the queue and a `BYE`, and reads on until then.
    pub(super) fn drain(&mut self, now: Instant) {
        self.phase = Phase::Draining;
        self.last_reads = LAST_READS;
        self.wake_senders();
        self.end_rates(now);
    }

    /// Senders that wait for room learn of the end.
    fn wake_senders(&mut self) {
        if mem::take(&mut self.wants_room) {
            self.tell(event::SEND_ROOM);
        }
    }

    /// Settles the reason of the end, once, and begins the steps that follow from it.
    pub(super) fn conclude(&mut self, reason: CloseReason, now: Instant) {
        if self.is_settled() {
            return;
        }
        if self.bye == super::Bye::Taken
            && self.transmit_out
            && matches!(self.outcome, Outcome::Requested(_))
        {
            self.answer.get_or_insert(reason);
            return;
        }
        // One that has broken TLS was told so, which a reset could overtake.
        let is_told = matches!(reason, CloseReason::Tls(fault) if fault != TlsFault::Truncated);
        let peer_said_bye = reason.is_peers();
        let may_read = reason.peer_may_read() && !matches!(self.outcome, Outcome::WriteFailed(_));
        self.settle(reason);
        if peer_said_bye || is_told {
            self.part(now);
        } else if !may_read {
            self.give_up();
        } else {
            self.phase = Phase::Draining;
            self.phase_until = now.checked_add(DRAIN_TIME);
        }
    }

    /// Drops the frames that are not on their way yet.
    fn drop_queue(&mut self) {
        self.has_lost |= self.outbound.has_frames();
        if self.outbound.has_frames() {
            self.outbound.clear();
        }
    }

    fn settle(&mut self, reason: CloseReason) {
        debug_assert!(!self.is_settled());
        self.outcome = Outcome::Ended(reason);
        self.last_reads = 0;
        self.probes = false;
        self.inbound.discard_rest();
        self.rates = None;
        self.release_memory();
        self.wake_senders();
        self.tell(event::ENDED);
    }

    /// Nothing can be written any more: reads what has arrived.
    pub(super) fn read_rest(&mut self, reason: CloseReason, now: Instant) {
        self.outcome = Outcome::WriteFailed(reason);
        self.outbound.clear();
        self.rest = None;
        self.write_until = None;
        self.wake_senders();
        self.phase = Phase::ReadingRest;
        self.phase_until = now.checked_add(self.config.limits.write_time);
        self.write_failed_at = Some(now);
        if self.input_over {
            self.conclude_failed_write(now);
        }
    }

    /// The peer did not say `BYE` before nothing could be written any more.
    pub(super) fn conclude_failed_write(&mut self, now: Instant) {
        if let Outcome::WriteFailed(reason) = &self.outcome {
            self.conclude(reason.clone(), now);
        }
    }

    /// The `BYE` was written.
    pub(super) fn said_bye(&mut self, now: Instant) {
        if matches!(self.outcome, Outcome::Requested(_)) {
            self.phase_until = now.checked_add(SENT_TIME);
        }
        // A connection that is replaced makes room at once. A peer that has closed, or is silent, sends nothing more, so
        // that the close cannot become a reset.
        let is_settled = self.input_over
            || matches!(
                self.end_reason(),
                CloseReason::Replaced | CloseReason::IdleTimeout
            );
        if self.is_hurried || is_settled {
            self.part(now);
        } else {
            self.phase = Phase::SendingOut;
        }
    }

    /// Leaves the stream: the peer was told, or reads nothing any more.
    pub(super) fn part(&mut self, now: Instant) {
        if let Outcome::Requested(reason) = &self.outcome {
            self.settle(reason.clone());
        }
        let is_ours = matches!(
            self.reason(),
            Some(CloseReason::LocalBye | CloseReason::Shutdown)
        );
        // Other ends may be the peer's doing, and a peer shall not keep our streams open.
        let lingers = is_ours && self.bye == super::Bye::Written && !self.is_hurried;
        self.outbound.clear();
        self.rest = None;
        self.tell_closed();
        if self.input_over || (self.inbound.is_out() && self.is_hurried) {
            self.close();
            return;
        }
        self.actions.set(action::HALF_CLOSE);
        self.phase = Phase::HearingOut;
        self.write_until = None;
        self.discards = DISCARD_BYTES;
        self.phase_until = if lingers {
            now.checked_add(LINGER_TIME)
        } else {
            None
        };
    }

    /// Tells of the end, unless a write is under way: what that took is not known yet, and is counted first.
    pub(super) fn tell_closed(&mut self) {
        if self.reason().is_some() && !self.is_closed && !self.transmit_out {
            self.is_closed = true;
            self.tell(event::CLOSED);
        }
    }

    /// Closes the stream in order.
    pub(super) fn close(&mut self) {
        self.finish(action::CLOSE);
    }

    /// Resets the stream of a peer that takes nothing any more: it must not find a bare end instead of a `BYE`.
    pub(super) fn give_up(&mut self) {
        self.finish(action::RESET);
    }

    fn finish(&mut self, action: u16) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        self.outbound.clear();
        self.rest = None;
        (self.phase_until, self.write_until) = (None, None);
        self.inbound.discard_rest();
        self.actions.set(action);
        self.tell_over();
    }

    /// The last that is told; after a write that is under way.
    pub(super) fn tell_over(&mut self) {
        self.tell_closed();
        if !self.transmit_out {
            self.tell(event::OVER);
        }
    }
}
