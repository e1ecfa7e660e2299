//! Those who leave, and the places and ids that are free then.

use std::time::{Duration, Instant};

use super::{Admission, Place, Ticket};

/// Refused peers that have time to read the refusal, at the same time. Those beyond get only as much as their streams
/// take at once.
const MOST_REFUSALS: usize = 64;
/// The time for a handler to be told of an end.
const TELL_TIME: Duration = Duration::from_secs(1);

impl Admission {
    /// A connection has failed before it was open. Its place is free. True if it may still say its farewell;
    /// if not, it is to be aborted.
    pub fn failed(&mut self, ticket: Ticket) -> bool {
        self.dismiss(ticket)
    }

    /// A connection that was taken is about to end: another that waits for its id may wait for that.
    pub fn ending(&mut self, ticket: Ticket) {
        if let Some(client) = self.clients.get_mut(&ticket) {
            client.is_ending = true;
        }
    }

    /// A connection that was taken has ended, and its peer was told: its place is free. Its handler is told now, for which
    /// there is a second until its id is free too, or less if it is [gone](Self::gone) before.
    pub fn closed(&mut self, ticket: Ticket, now: Instant) {
        self.release_place(ticket);
        if let Some(until) = now.checked_add(TELL_TIME) {
            self.told.push_back((until, ticket));
        }
    }

    /// A connection has ended, and its handler was told; or one that was refused is over. Its place and its id are
    /// free.
    pub fn gone(&mut self, ticket: Ticket) {
        self.release(ticket);
        self.clients.remove(&ticket);
        self.told.retain(|(_, told)| *told != ticket);
    }

    /// Takes back the place and the id of a connection, and gives it one of the places for refusals. False if there is none.
    pub(super) fn dismiss(&mut self, ticket: Ticket) -> bool {
        self.release(ticket);
        let has_place = self.refusals < MOST_REFUSALS;
        if let Some(client) = self.clients.get_mut(&ticket)
            && has_place
        {
            self.refusals += 1;
            client.place = Place::Refusal;
        }
        has_place
    }

    fn release_place(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get_mut(&ticket) else {
            return;
        };
        match std::mem::replace(&mut client.place, Place::None) {
            Place::Connection => self.taken -= 1,
            Place::Refusal => self.refusals -= 1,
            Place::None => {}
        }
        self.origins.release(client.network.take());
    }

    pub(super) fn release(&mut self, ticket: Ticket) {
        self.release_place(ticket);
        let Some(client) = self.clients.get_mut(&ticket) else {
            return;
        };
        let id = client.id.take();
        client.is_taken = false;
        client.hello = None;
        self.silent.remove(&ticket);
        self.asked.retain(|(_, asked)| *asked != ticket);
        self.ids.stop_waiting(ticket);
        if let Some(id) = id
            && let Some(next) = self.ids.leave(&id, ticket)
        {
            self.give(next.id, next.ticket);
        }
    }
}
