//! The one loop in which threads drive a connection.
//!
//! A thread that waits for something does the work that the core wants done, until the awaited thing is
//! there. There are two roles: to wait until the socket is readable, and until it is writable. One thread at a time
//! has each of them; threads without a role wait for the others. The [keeper] does the work that no thread waits for.

mod roles;
mod steps;

use std::sync::Arc;

use masep_proto::connection::Want;

use super::TimedOut;
use super::keeper;
use super::shared::{Shared, State};
use super::stream::{Readiness, Wait};
use crate::sync::{Instant, MutexGuard, earlier};

pub(super) use roles::{Rest, Roles};

/// Reads of a connection in a row, after which others have their turn: its peer may send without pause.
pub(super) const MOST_READS: usize = 16;

/// The thing that a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Something that the peer sends.
    Bytes,
    /// Room, because the peer takes something.
    Room,
}

/// A call that drives the connection.
struct Call {
    until: Option<Instant>,
    awaits: Awaits,
    /// It has looked for bytes without a wait.
    has_looked: bool,
    /// It has polled busily, and found nothing.
    has_spun: bool,
}

pub(super) type Guard<'a> = MutexGuard<'a, State>;

impl Shared {
    /// Drives the connection until this is done, at the latest until the deadline.
    pub(super) fn drive<T>(
        self: &Arc<Self>,
        until: Option<Instant>,
        awaits: Awaits,
        mut done: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, TimedOut> {
        let mut state = self.lock();
        if awaits == Awaits::Bytes {
            // The peer may be waiting for them.
            state.core.stop_gathering();
        }
        if until.is_some() || state.needs_clock() {
            state.tick();
        }
        let mut call = Call {
            until,
            awaits,
            has_looked: false,
            has_spun: false,
        };
        loop {
            state = self.settle(state);
            if let Some(result) = done(&mut state) {
                self.unlock(state);
                return Ok(result);
            }
            let now = state.now;
            if state.core.handle_due(now) {
                continue;
            }
            if state.core.wants_write() == Want::Now {
                state = self.write(state);
            } else {
                state = self.await_once(state, &mut call)?;
            }
        }
    }

    /// One read, or one wait for the socket or for other threads.
    fn await_once<'a>(
        self: &'a Arc<Self>,
        mut state: Guard<'a>,
        call: &mut Call,
    ) -> Result<Guard<'a>, TimedOut> {
        let (until, deadline, wants) = (call.until, state.core.deadline(), state.core.wants());
        let may_wait = state.may_wait(wants);
        // The effects of others' writes are told by others, not by the socket.
        let may_read = may_wait.reads && (call.awaits == Awaits::Bytes || may_wait.writes);
        let bound = earlier(until, deadline);
        let read_waits = match (until, bound) {
            (_, None) => true,
            (None, Some(heartbeat)) => state.bound_read(heartbeat),
            (Some(_), Some(bound)) => state.read_ends_before(bound),
        };
        // Looks before it waits for a while: waiting takes a system call more.
        if wants.read == Want::Now || (may_read && !read_waits && !call.has_looked) {
            call.has_looked = true;
            return Ok(self.read(state, Wait::No));
        }
        if until.is_some_and(|until| until <= state.now) {
            self.unlock(state);
            return Err(TimedOut);
        }
        let spins = !self.busy_poll.is_zero() && !call.has_spun && state.core.is_open();
        Ok(match (may_read, may_wait.writes) {
            (true, false) if spins => {
                let (state, found) = self.spin(state, bound);
                call.has_spun = !found;
                state
            }
            (true, false) if read_waits => self.read(state, Wait::Yes),
            (false, false) => self.wait_for_others(state, bound),
            (reads, writes) => self.wait(state, Readiness { reads, writes }, bound),
        })
    }

    /// Writes what the socket takes now.
    pub(super) fn write_now(self: &Arc<Self>) -> Guard<'_> {
        let mut state = self.lock();
        state.tick();
        state = self.settle(state);
        while state.core.wants().write == Want::Now {
            state = self.write(state);
            state = self.settle(state);
        }
        state
    }

    /// Lets go of the lock, in a thread that has changed something and does not stay: does the work that needs no wait, and
    /// wakes those who do the rest.
    pub(super) fn unlock(self: &Arc<Self>, state: Guard<'_>) {
        if state.is_at_rest() {
            return;
        }
        let mut state = self.advance(state);
        if !state.core.is_open() {
            state
                .roles
                .sleepers
                .drain(..)
                .for_each(|sleeper| sleeper.wake());
        }
        state.offer_reads();
        if let Some(event_loop) = &state.roles.event_loop {
            event_loop.wake();
        }
        if state.roles.waiting > 0 {
            drop(state);
            self.changed.notify_all();
        } else if state.needs_keeper() || state.is_kept_too_long() || state.is_kept_in_vain() {
            drop(state);
            keeper::watch(self);
        }
    }

    /// [Unlocks](Self::unlock) if the frame with this number is written, or gathered: what others have left to the one who was
    /// writing is to be done. Otherwise gives the number, for the caller to see to the rest.
    pub(super) fn unlock_if_written(
        self: &Arc<Self>,
        state: Guard<'_>,
        number: u64,
    ) -> Option<u64> {
        if state.core.written() < number && !state.core.has_gathering_room() {
            return Some(number);
        }
        self.unlock(state);
        None
    }

    /// Does all the work that needs no wait and is not left to another call. Of a connection that is being ended, more may be
    /// left to read after this.
    pub(super) fn advance<'a>(self: &'a Arc<Self>, mut state: Guard<'a>) -> Guard<'a> {
        let mut reads = 0;
        loop {
            state = self.settle(state);
            let wants = state.core.wants();
            if wants.write == Want::Now {
                state = self.write(state);
            } else if wants.read == Want::Now && !state.core.is_open() && reads < MOST_READS {
                state = self.read(state, Wait::No);
                reads += 1;
            } else {
                return state;
            }
        }
    }
}
