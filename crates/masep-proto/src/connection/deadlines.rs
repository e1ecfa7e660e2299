//! The deadlines of a connection.

use std::time::{Duration, Instant};

use super::{Connection, HelloFailure, Outcome, Phase};
use crate::CloseReason;

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called, unless something else happens before that
    /// changes it.
    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_plain {
            let deadline = self.heartbeat_deadline();
            debug_assert_eq!(self.earliest(), deadline);
            return deadline;
        }
        self.earliest()
    }

    /// The deadline of a plain connection.
    #[inline]
    fn heartbeat_deadline(&self) -> Option<Instant> {
        let masep = self.masep.as_ref()?;
        let silent = || self.silent_since?.checked_add(masep.life_time()?);
        let is_full = self.inbound.is_full(&self.config.limits);
        let silent_until = if is_full { None } else { silent() };
        earlier(masep.ping_at(), silent_until)
    }

    fn earliest(&self) -> Option<Instant> {
        let probed = if self.probes {
            // A read is wanted, which tells.
            None
        } else {
            earlier(
                self.silent_until(),
                earlier(self.header_until(), self.rejection_until()),
            )
        };
        // A write is wanted, or under way, which tells.
        let blocked = self.write_until.filter(|_| self.is_blocked);
        let others = earlier(earlier(self.phase_until, blocked), self.held_until());
        let others = earlier(others, self.handler_until());
        let others = earlier(others, self.gathered_until());
        match &self.masep {
            None => earlier(others, probed),
            Some(masep) => {
                let others = earlier(others, masep.incoming.look_at());
                earlier(earlier(others, probed), self.ping_at())
            }
        }
    }

    /// [`handle_timeout`](Self::handle_timeout) if the [deadline](Self::deadline) has passed: true if it had.
    #[inline]
    pub fn handle_due(&mut self, now: Instant) -> bool {
        let is_due = passed(self.deadline(), now);
        if is_due {
            self.handle_timeout(now);
        }
        is_due
    }

    /// Ends what has taken too long by now.
    pub fn handle_timeout(&mut self, now: Instant) {
        if passed(self.write_until, now) {
            // A system does not tell of a little room. Bytes that the peer took count, which a write finds out.
            self.is_blocked = false;
        }
        if passed(self.phase_until, now) {
            self.phase_until = None;
            self.end_phase(now);
        }
        if self
            .masep
            .as_ref()
            .is_some_and(|masep| passed(masep.incoming.look_at(), now))
        {
            self.see_to_memory(false, now);
        }
        if passed(self.held_until(), now) {
            self.see_to_rates(now);
        }
        if passed(self.handler_until(), now) {
            self.time_handler_out();
        }
        if passed(self.gathered_until(), now) {
            self.see_to_gathered(now);
        }
        if passed(self.ping_at(), now)
            && let Some(masep) = &mut self.masep
        {
            masep.push_ping();
            masep.release();
        }
        let probed = [
            self.silent_until(),
            self.header_until(),
            self.rejection_until(),
        ];
        if probed.into_iter().any(|until| passed(until, now)) {
            // Bytes that have arrived and were not read count.
            self.probes = true;
        }
        self.note_change();
    }

    fn end_phase(&mut self, now: Instant) {
        match self.phase {
            Phase::Greeting | Phase::Hearing => {
                let time = self.config.limits.hello_time;
                self.fail(HelloFailure::TimedOut(time), now);
            }
            // A fresh stream takes a small frame at once; if it does not, the peer is gone.
            Phase::Answering => {
                self.fail(HelloFailure::Closed, now);
                self.give_up();
            }
            Phase::Refusing => self.say_refusal(now),
            Phase::Draining => match &self.outcome {
                Outcome::Requested(reason) => self.abort(reason.clone(), now),
                _ => self.give_up(),
            },
            Phase::ReadingRest => self.conclude_failed_write(now),
            Phase::SendingOut => self.part(now),
            Phase::HearingOut => self.close(),
            Phase::Deciding | Phase::Open | Phase::Over => {}
        }
    }

    /// The instant at which a header will have been alone for long enough to tell something of the peer.
    fn header_until(&self) -> Option<Instant> {
        self.pattern.hello_deadline().filter(|_| self.is_in_hello())
    }

    /// The instant from which on a server's `BYE` is no refusal any more, if none has come by then.
    fn rejection_until(&self) -> Option<Instant> {
        self.rejection_until
            .filter(|_| self.phase == Phase::Open && self.has_room_for_frames() && !self.is_held())
    }

    /// The instant at which this side will have sent nothing for a heartbeat.
    fn ping_at(&self) -> Option<Instant> {
        let masep = self.masep.as_ref()?;
        masep.ping_at().filter(|_| self.phase == Phase::Open)
    }

    /// The time that the peer may show no sign of life.
    fn life_time(&self) -> Option<Duration> {
        self.masep.as_ref()?.life_time()
    }

    /// The reason for which a connection ends whose peer was silent until now, if it does.
    pub(super) fn end_by_silence(&self, now: Instant) -> Option<CloseReason> {
        if !passed(self.silent_until(), now) {
            return None;
        }
        let idle_time = self.config.limits.idle_time;
        let is_idle = self
            .life_time()
            .is_none_or(|life| idle_time.is_some_and(|idle| idle < life));
        Some(if is_idle {
            CloseReason::IdleTimeout
        } else {
            CloseReason::HeartbeatTimeout
        })
    }

    /// The instant at which the peer will have been silent for too long. Time in which nobody listens does not
    /// count.
    pub(super) fn silent_until(&self) -> Option<Instant> {
        let idle_time = self.config.limits.idle_time;
        let silent_time = match &self.masep {
            None => idle_time?,
            Some(_) => earlier(idle_time, self.life_time())?,
        };
        let listens = matches!(self.phase, Phase::Open | Phase::Draining)
            && !self.is_settled()
            && !self.input_over
            && !self.is_starved()
            && !self.is_held()
            && self.has_room_for_frames();
        self.silent_since
            .filter(|_| listens)?
            .checked_add(silent_time)
    }
}

/// The earlier of two deadlines, where `None` is never, or the shorter of two times.
pub(super) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn passed(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}
