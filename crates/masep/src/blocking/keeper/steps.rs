//! The steps of a connection that no call waits for, which the keeper takes, or the thread that leaves the connection.

use std::sync::Arc;
use std::time::Duration;

use masep_proto::connection::Want;

use super::{Stepping, Watch};
use crate::CloseReason;
use crate::blocking::drive::{Guard, MOST_READS, Rest};
use crate::blocking::shared::{Shared, State};
use crate::blocking::stream::{Readiness, Stream, Wait};
use crate::sync::earlier;

/// The time in which nobody looks whether a peer that was told of the end has closed its side. Most have by then, and many
/// of them are looked at together: a process that opens and ends connections all the time does not wake up for each.
const REST: Duration = Duration::from_millis(5);

impl Shared {
    /// Finds out which thread takes the step that is due. If it is this one, it calls [`step`](Self::step).
    pub(super) fn begin_step(&self) -> Stepping {
        let mut state = self.lock();
        if state.roles.is_stepped {
            state.roles.steps_again = true;
            return Stepping::Another;
        }
        if state.roles.is_watched {
            if state.roles.process == std::process::id() {
                return Stepping::Keeper;
            }
            state.leave_keeper();
        }
        state.roles.is_stepped = true;
        Stepping::This
    }

    /// A step of the keeper, for a connection that needs it. It has the roles from here on that it waits for.
    pub(super) fn step(self: &Arc<Self>, found: Readiness) -> Option<Watch> {
        let mut state = self.begin(found);
        let (mut has_asked, mut reads) = (false, 0);
        let watch = loop {
            state = self.advance(state);
            if reads < MOST_READS && state.looks_now() {
                state = self.read(state, Wait::No);
                reads += 1;
                continue;
            }
            if std::mem::take(&mut state.roles.steps_again) {
                continue;
            }
            if !state.needs_keeper() || (state.core.is_open() && state.roles.waiting > 0) {
                break None;
            }
            let Some(stream) = state.stream.clone() else {
                break None;
            };
            let wants = state.core.wants();
            if has_asked || !wants.sent || !state.may_wait(wants).writes {
                break Some(state.begin_watch(stream));
            }
            // Mostly all is sent by now.
            has_asked = true;
            drop(state);
            let is_sent = stream.is_writable();
            state = self.lock();
            if is_sent {
                state = self.found_by(state, Readiness::WRITES);
            }
        };
        state.roles.is_stepped = false;
        if watch.is_none() {
            self.notify(&state);
        }
        watch
    }

    /// Begins a step with what was found.
    fn begin(self: &Arc<Self>, found: Readiness) -> Guard<'_> {
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
        self.found_by(state, found)
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
        if state.core.is_gathering() {
            state.core.set_gathering(false);
            drop(state);
            state = self.write_now();
        }
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

impl State {
    /// True if something is to be read at once for a call that looks in the background.
    fn looks_now(&self) -> bool {
        self.roles.looks_until.is_some() && self.core.wants().read == Want::Now
    }

    /// The keeper waits from here on for what the connection wants of this stream.
    fn begin_watch(&mut self, stream: Arc<Stream>) -> Watch {
        let may_read = !self.core.is_open() || self.roles.looks_until.is_some();
        let may_wait = self.may_wait(self.core.wants());
        let mut wanted = Readiness {
            reads: may_read && may_wait.reads,
            writes: may_wait.writes,
        };
        let mut until = earlier(self.core.deadline(), self.roles.looks_until);
        if may_read && self.core.wants_read() == Want::Now {
            until = Some(self.tick());
        }
        if wanted == Readiness::READS && self.hearing.is_some() && self.roles.rest == Rest::Due {
            self.roles.rest = Rest::Now;
            wanted = Readiness::default();
            until = earlier(until, self.tick().checked_add(REST));
        }
        self.take(wanted);
        self.roles.kept = wanted;
        self.roles.is_watched = true;
        self.roles.process = std::process::id();
        Watch {
            stream,
            wanted,
            until,
        }
    }
}
