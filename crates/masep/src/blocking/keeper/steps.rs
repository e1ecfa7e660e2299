//! The steps of a connection that no call waits for, which the keeper takes, or the thread that leaves the connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use masep_proto::connection::Want;

use super::{GENERATION, Stepping, Watch};
use crate::CloseReason;
use crate::blocking::drive::Rest;
use crate::blocking::shared::Shared;
use crate::blocking::stream::{Readiness, Wait};
use crate::sync::earlier;

/// The time in which nobody looks whether a peer that was told of the end has closed its side. Most have by then, and many
/// of them are looked at together: a process that opens and ends connections all the time does not wake up for each.
const REST: Duration = Duration::from_millis(5);

/// Reads of a connection in a row, after which others have their turn: its peer may send without pause.
const MOST_READS: usize = 16;

impl Shared {
    /// Finds out which thread takes the step that is due. If it is this one, it calls [`step`](Self::step).
    pub(super) fn begin_step(&self) -> Stepping {
        let mut state = self.lock();
        if state.roles.is_stepped {
            state.roles.steps_again = true;
            return Stepping::Another;
        }
        if state.roles.is_watched {
            if state.roles.generation == GENERATION.load(Ordering::Relaxed) {
                return Stepping::Keeper;
            }
            state.leave_keeper();
        }
        state.roles.is_stepped = true;
        Stepping::This
    }

    /// A step of the keeper, for a connection that needs it. It has the roles from here on that it waits for.
    pub(super) fn step(self: &Arc<Self>, found: Readiness) -> Option<Watch> {
        let mut state = self.lock();
        let now = state.tick();
        state.roles.looks_until.take_if(|until| *until <= now);
        let found = match state.roles.rest {
            Rest::Now => {
                state.roles.rest = Rest::Over;
                Readiness::READS
            }
            Rest::Due | Rest::Over => found,
        };
        state = self.found_by(state, found);
        let (mut has_asked, mut reads) = (false, 0);
        loop {
            state = self.advance(state);
            let looks = state.roles.looks_until.is_some();
            if looks && reads < MOST_READS && state.core.wants().read == Want::Now {
                state = self.read(state, Wait::No);
                reads += 1;
                continue;
            }
            if std::mem::take(&mut state.roles.steps_again) {
                continue;
            }
            if !state.needs_keeper() || (state.core.is_open() && state.roles.waiting > 0) {
                break;
            }
            let may_read = !state.core.is_open() || looks;
            let may_wait = state.may_wait(state.core.wants());
            let mut wanted = Readiness {
                reads: may_read && may_wait.reads,
                writes: may_wait.writes,
            };
            let mut until = earlier(state.core.deadline(), state.roles.looks_until);
            if looks && state.core.wants().read == Want::Now {
                until = Some(state.tick());
            }
            let Some(stream) = state.stream.clone() else {
                break;
            };
            if wanted.writes && state.core.wants().sent && !has_asked {
                // Mostly all is sent by now.
                has_asked = true;
                drop(state);
                let is_sent = stream.is_writable();
                state = self.lock();
                if is_sent {
                    state = self.found_by(state, Readiness::WRITES);
                }
                continue;
            }
            if wanted == Readiness::READS
                && state.hearing.is_some()
                && state.roles.rest == Rest::Due
            {
                state.roles.rest = Rest::Now;
                wanted = Readiness::default();
                until = earlier(until, state.tick().checked_add(REST));
            }
            state.take(wanted);
            state.roles.kept = wanted;
            state.roles.is_watched = true;
            state.roles.generation = GENERATION.load(Ordering::Relaxed);
            state.roles.is_stepped = false;
            return Some(Watch {
                stream,
                wanted,
                until,
            });
        }
        state.roles.is_stepped = false;
        self.notify(&state);
        None
    }

    /// The keeper has the roles no more. `steps`: it takes a step.
    pub(super) fn give_back(&self, steps: bool) {
        let mut state = self.lock();
        state.leave_keeper();
        state.roles.is_stepped = steps;
        if !steps {
            self.notify(&state);
        }
    }

    /// There is no thread that could wait for this connection: if it has an end, or no beginning yet, it is over with this
    /// call. So is one of which frames are left that no call writes: their sender was told that they would be. The peer is told
    /// what its stream takes now.
    pub(super) fn leave_at_once(self: &Arc<Self>) {
        let mut state = self.lock();
        let is_written = state.core.unsent() == 0 || state.roles.taken.writes;
        if state.core.is_open() && (is_written || state.roles.waiting > 0) {
            return;
        }
        // The first time tells the peer and awaits its end, the second does not. A thread that is writing sees to the rest.
        for _ in 0..2 {
            if state.core.is_over() {
                return;
            }
            state.note_own_end();
            let now = state.tick();
            state.core.abort(CloseReason::Aborted, now);
            drop(state);
            state = self.write_now();
        }
    }
}
