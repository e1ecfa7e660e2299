//! The threads around a connection: which of them waits for the socket, and what is left for others.

use std::sync::Arc;
use std::time::Duration;

use masep_proto::connection::{Want, Wants};

use crate::blocking::bindings::event_loop::LoopHandle;
use crate::blocking::pipe::Pipe;
use crate::blocking::shared::State;
use crate::blocking::stream::Readiness;
use crate::sync::{self, Instant, thread};

/// A read waits for no shorter time: the system counts in steps of some milliseconds.
const LEAST_READ_TIME: Duration = Duration::from_millis(10);
/// A heartbeat may be late by this part of the time until it is due: the time of reads is not set anew for each of them.
const LATENESS: u32 = 64;

/// The threads around a connection.
#[derive(Debug, Default)]
pub(in crate::blocking) struct Roles {
    /// Those that are taken.
    pub(in crate::blocking) taken: Readiness,
    /// A thread reads until bytes come, and is to be woken at the end.
    pub(in crate::blocking) sleeps: bool,
    /// The threads that wait for the socket, for when its connection is being ended.
    pub(in crate::blocking) sleepers: Vec<Arc<Pipe>>,
    /// The socket was shut for reading, which wakes that thread: from here on an end of the stream is not the peer's.
    pub(in crate::blocking) is_shut: bool,
    /// Threads that wait for those that have them.
    pub(in crate::blocking) waiting: usize,
    /// The socket was asked to tell when all is sent.
    pub(in crate::blocking) asked: bool,
    /// The keeper's.
    pub(in crate::blocking) kept: Readiness,
    /// The keeper has it among those that it looks at, or is about to.
    pub(in crate::blocking) is_watched: bool,
    /// The process of that keeper.
    pub(in crate::blocking) process: u32,
    /// A thread takes a step of it in the keeper's place, or the keeper does.
    pub(in crate::blocking) is_stepped: bool,
    /// That thread is to look again before it leaves, or the keeper when the connection has come to it.
    pub(in crate::blocking) steps_again: bool,
    pub(in crate::blocking) rest: Rest,
    /// The keeper reads until then, though nobody waits.
    pub(in crate::blocking) looks_until: Option<Instant>,
    /// The event loop that drives the connection, in place of the keeper and of every thread that does not wait for it.
    pub(in crate::blocking) event_loop: Option<LoopHandle>,
    /// A read that waits ends after this time, which is the socket's.
    pub(in crate::blocking) read_time: Option<Duration>,
    /// No other time is set.
    pub(in crate::blocking) keeps_read_time: bool,
    /// That is a short time, for others than the one who reads.
    #[cfg(not(masep_model))]
    pub(in crate::blocking) reads_shortly: bool,
    /// The thread that stands aside while others read, to be unparked when it is to read again.
    pub(in crate::blocking) aside: Option<thread::Thread>,
    /// One of these others reads, and sees to what it finds.
    pub(in crate::blocking) is_read_directly: bool,
}

/// A moment in which nobody looks whether the peer has closed its side, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::blocking) enum Rest {
    #[default]
    Due,
    Now,
    Over,
}

impl State {
    /// True if a read that waits is over before this instant, whatever comes.
    pub(in crate::blocking) fn read_ends_before(&self, bound: Instant) -> bool {
        let time = self.roles.read_time;
        time.is_some_and(|time| bound.saturating_duration_since(self.now) >= time)
    }

    /// Sees to it that a read that waits is over when a heartbeat is due, or a little later: a wait for bytes and a read
    /// are two calls of the system. False if it may not wait so long.
    pub(in crate::blocking) fn bound_read(&mut self, heartbeat: Instant) -> bool {
        let left = heartbeat.saturating_duration_since(self.now);
        if left < LEAST_READ_TIME || !self.core.is_plain() {
            return false;
        }
        let is_right = |time: Duration| {
            time <= left + left / LATENESS && (self.roles.keeps_read_time || time >= left / 2)
        };
        if self.roles.read_time.is_some_and(is_right) {
            return true;
        }
        self.set_read_time(left)
    }

    /// Has a read that waits give up after this time. False if it would not.
    fn set_read_time(&mut self, time: Duration) -> bool {
        let is_set = !self.roles.keeps_read_time
            && (self.stream.as_ref()).is_some_and(|stream| stream.0.set_read_time(time).is_ok());
        if is_set {
            self.roles.read_time = Some(time);
        }
        is_set
    }

    /// Has a read that waits give up after this short time. False if it would not.
    #[cfg(not(masep_model))]
    pub(in crate::blocking) fn begin_short_reads(&mut self, time: Duration) -> bool {
        if self.roles.read_time == Some(time) {
            return true;
        }
        let is_set = self.set_read_time(time);
        self.roles.reads_shortly |= is_set;
        is_set
    }

    /// Has reads wait again for as long as they did.
    #[cfg(not(masep_model))]
    pub(in crate::blocking) fn end_short_reads(&mut self) {
        if std::mem::take(&mut self.roles.reads_shortly)
            && let Some(stream) = &self.stream
            && stream.0.set_read_time(None).is_ok()
        {
            self.roles.read_time = None;
        }
    }

    /// True if the socket is to be asked to tell when all is sent.
    pub(in crate::blocking) fn asks_when_sent(&self) -> bool {
        !self.roles.asked && !self.core.is_open() && self.core.wants().sent
    }

    /// True if there is nothing to be done for others.
    pub(in crate::blocking) fn is_at_rest(&self) -> bool {
        self.roles.waiting == 0
            && self.core.is_open()
            && self.core.unsent() == 0
            && self.roles.kept.is_none()
            && self.roles.looks_until.is_none()
            && !self.has_news()
            // Control frames are no user's.
            && self.core.wants_write() == Want::Nothing
    }

    pub(in crate::blocking) fn has_news(&self) -> bool {
        self.core.has_events() || (self.core.has_news() && !self.holds_actions())
    }

    /// True if the core takes its frames out without the time.
    pub(in crate::blocking) fn needs_no_clock(&self) -> bool {
        self.core.is_plain() || !self.needs_clock()
    }

    /// True if the core needs the time, even if nothing is waited for.
    pub(in crate::blocking) fn needs_clock(&self) -> bool {
        !self.core.is_open() || self.core.takes_by_time() || self.core.deadline().is_some()
    }

    /// True if something is to be done by now, at which it looks if that can be.
    pub(in crate::blocking) fn is_due(&mut self) -> bool {
        self.core
            .deadline()
            .is_some_and(|until| until <= self.tick())
    }

    /// Looks at the clock.
    pub(in crate::blocking) fn tick(&mut self) -> Instant {
        self.now = sync::now();
        self.now
    }

    /// The roles that are free and wanted.
    pub(in crate::blocking) fn may_wait(&self, wants: Wants) -> Readiness {
        let Roles { taken, is_shut, .. } = self.roles;
        Readiness {
            reads: wants.read == Want::Ready && !taken.reads && !is_shut,
            writes: (wants.write == Want::Ready || wants.sent) && !taken.writes,
        }
    }

    pub(in crate::blocking) fn take(&mut self, roles: Readiness) {
        self.roles.taken.reads |= roles.reads;
        self.roles.taken.writes |= roles.writes;
    }

    pub(in crate::blocking) fn give_back(&mut self, roles: Readiness) {
        self.roles.taken.reads &= !roles.reads;
        self.roles.taken.writes &= !roles.writes;
    }

    /// True if the keeper has a role that others want by now.
    pub(in crate::blocking) fn is_kept_too_long(&self) -> bool {
        self.roles.kept.reads && self.core.is_open() && self.roles.looks_until.is_none()
    }

    /// True if the keeper still has a connection that is over.
    pub(in crate::blocking) const fn is_kept_in_vain(&self) -> bool {
        self.roles.is_watched && self.core.is_over()
    }

    /// The keeper has it no more, and none of its roles.
    pub(in crate::blocking) fn leave_keeper(&mut self) {
        let kept = std::mem::take(&mut self.roles.kept);
        self.give_back(kept);
        self.roles.is_watched = false;
    }

    /// A thread that waits for room alone, because another one was reading, is to read now that nobody does: the
    /// peer may be waiting for that.
    pub(in crate::blocking) fn offer_reads(&mut self) {
        let Roles { taken, is_shut, .. } = self.roles;
        let is_free = !taken.reads && !is_shut && self.core.wants().read == Want::Ready;
        if is_free && taken.writes && self.core.is_open() {
            let sleepers = self.roles.sleepers.drain(..);
            sleepers.for_each(|sleeper| sleeper.wake());
        }
    }

    /// True if an event loop drives the connection.
    pub(in crate::blocking) const fn has_event_loop(&self) -> bool {
        self.roles.event_loop.is_some()
    }

    /// True if something is to be done that no call waits for.
    pub(in crate::blocking) fn needs_keeper(&self) -> bool {
        if self.has_event_loop() {
            return false;
        }
        if !self.core.is_open() || self.roles.looks_until.is_some() {
            return !self.core.is_over();
        }
        if self.core.is_gathering() {
            return !self.roles.is_watched;
        }
        self.core.wants().write != Want::Nothing && !self.roles.taken.writes
    }
}
