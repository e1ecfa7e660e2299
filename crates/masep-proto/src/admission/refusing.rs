//! Refusals, and how many of them are told.

use std::time::Instant;

use super::{Admission, DoorEvent, Refusal, RejectReason, Ticket};
use crate::{Limit, LimitExceeded};

/// Calls that tell a handler of refusals and have not returned.
const MOST_TELLING: usize = 1024;

impl Admission {
    pub(super) fn refuse(&mut self, ticket: Ticket, reason: RejectReason) {
        let at_once = !self.dismiss(ticket);
        self.tell_refusal(ticket, reason, at_once);
    }

    pub(super) fn tell_refusal(&mut self, ticket: Ticket, reason: RejectReason, at_once: bool) {
        let refusal = Refusal { reason, at_once };
        self.events.push_back(DoorEvent::Refuse(ticket, refusal));
    }

    /// Counts a refusal for the log. Some refusals are logged as information, and for these this is the number of
    /// those that were not since the last; the others are for debugging.
    pub fn log_refusal(&mut self, now: Instant) -> Option<u64> {
        self.refusal_log.take(now)
    }

    /// Returns true if a handler may be told of a refusal, and [`told`](Self::told) is to be called when it was. There
    /// is a bound, because a handler may be slow, or never return.
    pub const fn tell(&mut self) -> bool {
        let may_tell = self.telling < MOST_TELLING;
        if may_tell {
            self.telling += 1;
        }
        may_tell
    }

    /// A handler was told of a refusal.
    pub const fn told(&mut self) {
        self.telling = self.telling.saturating_sub(1);
    }
}

pub(super) fn too_many(allowed: usize) -> RejectReason {
    RejectReason::TooManyConnections(LimitExceeded {
        limit: Limit::Connections,
        actual: allowed + 1,
        allowed,
    })
}
