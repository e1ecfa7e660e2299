//! The ids that are in use, and the connections that wait for one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Ticket;
use crate::PeerId;

/// The time for which a hello with an id that is in use waits for the other connection to end: a client that
/// says `BYE` and comes back at once may be faster than its `BYE`.
pub const GRACE: Duration = Duration::from_millis(200);
/// The time by which the door can be late to look at the clock while all others on the machine are on time.
pub(super) const LATE: Duration = Duration::from_millis(50);
/// The time for the end of a connection that is about to end.
const END_TIME: Duration = Duration::from_secs(1);
/// The time for the end of one that is replaced: it is aborted in the middle.
const REPLACE_TIME: Duration = Duration::from_secs(2);

/// The ids of the connections that were taken.
#[derive(Debug, Default)]
pub(super) struct Ids {
    holders: BTreeMap<PeerId, Ticket>,
    /// The clients that wait, in the order in which they came.
    waiting: Vec<Waiting>,
}

/// A connection that waits for an id.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    pub(super) id: PeerId,
    pub(super) step: Step,
    pub(super) until: Instant,
}

/// The thing that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The holder may end by itself.
    Grace,
    /// The holder is about to end, or may be.
    LastMoment,
    /// The holder was told to end.
    Ending,
}

impl Ids {
    pub(super) fn holder(&self, id: &PeerId) -> Option<Ticket> {
        self.holders.get(id).copied()
    }

    pub(super) fn hold(&mut self, id: PeerId, ticket: Ticket) {
        self.holders.insert(id, ticket);
    }

    /// Has a connection wait.
    pub(super) fn wait(&mut self, ticket: Ticket, id: PeerId, step: Step, now: Instant) {
        let time = match step {
            Step::Grace => GRACE,
            Step::LastMoment => END_TIME,
            Step::Ending => REPLACE_TIME,
        };
        self.waiting.push(Waiting {
            ticket,
            id,
            step,
            until: now.checked_add(time).unwrap_or(now),
        });
    }

    pub(super) fn stop_waiting(&mut self, ticket: Ticket) {
        self.waiting.retain(|waiting| waiting.ticket != ticket);
    }

    /// Ends the wait of those that wait for this id, and returns them.
    pub(super) fn stop_waiting_for(&mut self, id: &PeerId) -> Vec<Ticket> {
        let gone = self.waiting.extract_if(.., |waiting| waiting.id == *id);
        gone.map(|waiting| waiting.ticket).collect()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = Ticket> {
        self.waiting.iter().map(|waiting| waiting.ticket)
    }

    /// Gives an id up, if it is this one's: the first that waits for it is to have it.
    pub(super) fn leave(&mut self, id: &PeerId, ticket: Ticket) -> Option<Waiting> {
        if self.holder(id) != Some(ticket) {
            return None;
        }
        self.holders.remove(id);
        let first = self.waiting.iter().position(|waiting| waiting.id == *id)?;
        Some(self.waiting.remove(first))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// One that has waited for long enough.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Waiting> {
        let due = self
            .waiting
            .iter()
            .position(|waiting| waiting.until <= now)?;
        Some(self.waiting.remove(due))
    }
}
