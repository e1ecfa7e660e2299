//! The one loop in which threads drive a connection.
//!
//! A thread that waits for something does the work that the core wants done, until the awaited thing is
//! there. There are two roles: to wait until the socket is readable, and until it is writable. One thread at a time
//! has each of them; threads without a role wait for the others. The [keeper] does the work that no thread waits for.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use masep_proto::connection::{Action, Read, Room, Transmit, Want, Wants, Write};
use masep_proto::protocol2::Protocol;

use super::TimedOut;
use super::keeper;
use super::shared::{News, Shared, State};
use super::stream::{Readiness, Stream, Wait, Waker, after, earlier, with_waker};
use crate::sync::{self, Instant, MutexGuard};

/// The threads around a connection.
#[derive(Debug, Default)]
pub(super) struct Roles {
    /// Those that are taken.
    taken: Readiness,
    /// A thread reads until bytes come, and is to be woken at the end.
    pub(super) sleeps: bool,
    /// The threads that wait for the socket, for when its connection is being ended.
    pub(super) sleepers: Vec<Waker>,
    /// It was: from here on an end of the stream is none.
    pub(super) is_shut: bool,
    /// Threads that wait for those that have them.
    waiting: usize,
    /// The socket was asked to tell when all is sent.
    asked: bool,
    /// The keeper's.
    kept: Readiness,
    /// The keeper has it among those that it looks at.
    is_watched: bool,
    /// The keeper reads until then, though nobody waits.
    pub(super) looks_until: Option<Instant>,
}

/// The things that the keeper waits for on behalf of a connection.
pub(super) struct Watch {
    pub(super) stream: Arc<Stream>,
    pub(super) wanted: Readiness,
    pub(super) until: Option<Instant>,
}

/// The thing that a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Something that the peer sends.
    Bytes,
    /// Room, because the peer takes something.
    Room,
}

/// The pause of a thread for which the system has no descriptors.
const NO_WAIT: Duration = Duration::from_millis(10);

type Guard<'a> = MutexGuard<'a, State>;

impl Shared {
    /// Drives the connection until this is done, at the latest until the deadline.
    pub(super) fn drive<T>(
        self: &Arc<Self>,
        until: Option<Instant>,
        awaits: Awaits,
        mut done: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, TimedOut> {
        let mut state = self.lock();
        if until.is_some() || state.needs_clock() {
            state.tick();
        }
        let mut has_looked = false;
        loop {
            state = self.settle(state);
            if let Some(result) = done(&mut state) {
                self.leave(state);
                return Ok(result);
            }
            let (now, deadline) = (state.now, state.core.deadline());
            if deadline.is_some_and(|deadline| deadline <= now) {
                state.core.handle_timeout(now);
                continue;
            }
            let wants = state.core.wants();
            if wants.write == Want::Now {
                state = self.write(state);
                continue;
            }
            let may_wait = state.may_wait(wants);
            // The effects of others' writes are told by others, not by the socket.
            let may_read = may_wait.reads && (awaits == Awaits::Bytes || may_wait.writes);
            let bound = earlier(until, deadline);
            // Looks before it waits for a while: waiting takes a system call more.
            if wants.read == Want::Now || (may_read && bound.is_some() && !has_looked) {
                has_looked = true;
                state = self.read(state, Wait::No);
                continue;
            }
            if until.is_some_and(|until| until <= now) {
                self.leave(state);
                return Err(TimedOut);
            }
            state = match (may_read, may_wait.writes) {
                (true, false) if self.spins(&state) => self.spin(state, bound),
                (true, false) if bound.is_none() => self.read(state, Wait::Yes),
                (false, false) => self.wait_for_others(state, bound),
                (reads, writes) => self.wait(state, Readiness { reads, writes }, bound),
            };
        }
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

    /// To be called by each thread that has changed something and does not stay.
    pub(super) fn leave(self: &Arc<Self>, state: Guard<'_>) {
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
        if state.roles.waiting > 0 {
            drop(state);
            self.changed.notify_all();
        } else if state.needs_keeper() || state.is_kept_too_long() || state.is_kept_in_vain() {
            drop(state);
            keeper::watch(self);
        }
    }

    /// Does all the work that needs no wait and is not left to another call.
    fn advance<'a>(self: &'a Arc<Self>, mut state: Guard<'a>) -> Guard<'a> {
        loop {
            state = self.settle(state);
            let wants = state.core.wants();
            if wants.write == Want::Now {
                state = self.write(state);
            } else if wants.read == Want::Now && !state.core.is_open() {
                state = self.read(state, Wait::No);
            } else {
                return state;
            }
        }
    }

    /// A step of the keeper, for a connection that needs it. It has the roles from here on that it waits for.
    pub(super) fn step(self: &Arc<Self>, found: Readiness) -> Option<Watch> {
        let mut state = self.lock();
        let now = state.tick();
        let is_past = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        if is_past(state.roles.looks_until) {
            state.roles.looks_until = None;
        }
        if is_past(state.core.deadline()) {
            state.core.handle_timeout(now);
        }
        state = self.found(state, found);
        loop {
            state = self.advance(state);
            let looks = state.roles.looks_until.is_some();
            if looks && state.core.wants().read == Want::Now {
                state = self.read(state, Wait::No);
                continue;
            }
            if !state.needs_keeper() || (state.core.is_open() && state.roles.waiting > 0) {
                break;
            }
            let reads = !state.core.is_open() || looks;
            let may_wait = state.may_wait(state.core.wants());
            let wanted = Readiness {
                reads: reads && may_wait.reads,
                writes: may_wait.writes,
            };
            let until = earlier(state.core.deadline(), state.roles.looks_until);
            let stream = state.stream.clone()?;
            state.take(wanted);
            state.roles.kept = wanted;
            state.roles.is_watched = true;
            return Some(Watch {
                stream,
                wanted,
                until,
            });
        }
        drop(state);
        self.changed.notify_all();
        None
    }

    /// The keeper has the roles no more.
    pub(super) fn give_back(&self, wanted: Readiness) {
        let mut state = self.lock();
        state.give_back(wanted);
        state.roles.kept = Readiness::default();
        state.roles.is_watched = false;
    }
}

/// Single steps. Each lets go of the lock for its system call.
impl Shared {
    /// Carries out the actions of the core on the stream, and tells its events.
    fn settle<'a>(self: &'a Arc<Self>, mut state: Guard<'a>) -> Guard<'a> {
        while state.has_news() || state.asks_when_sent() {
            let news = self.poll_news(&mut state);
            if news.is_some() || state.has_news() || state.asks_when_sent() {
                state = self.carry_out(state, news);
            }
        }
        state
    }

    #[cold]
    fn carry_out<'a>(self: &'a Arc<Self>, mut state: Guard<'a>, news: Option<News>) -> Guard<'a> {
        self.notify(&state);
        let actions: Vec<Action> = if state.holds_actions() {
            Vec::new()
        } else {
            std::iter::from_fn(|| state.core.poll_action()).collect()
        };
        let asks = state.asks_when_sent();
        state.roles.asked |= asks;
        let is_last = |action: &Action| matches!(action, Action::Close | Action::Reset);
        let stream = state.stream.clone();
        if actions.iter().any(is_last) && !state.keeps_socket() {
            state.stream = None;
        }
        drop(state);
        if let Some(news) = news {
            self.tell(&news);
            if let Some(stream) = news.wake {
                stream.shut_reading();
            }
            news.sleepers.iter().for_each(Waker::wake);
        }
        let mut tells = true;
        if let Some(stream) = stream {
            actions.into_iter().for_each(|action| stream.act(action));
            tells = !asks || stream.tell_when_sent();
        }
        let mut state = self.lock();
        if !tells {
            // It has arrived.
            let now = state.tick();
            state.core.sent(now);
            state.core.stop_hearing();
        }
        state
    }

    fn write<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        match state.core.take_transmit() {
            Some(transmit) => self.transmit(state, transmit),
            None => state,
        }
    }

    pub(super) fn transmit<'a>(&'a self, mut state: Guard<'a>, transmit: Transmit) -> Guard<'a> {
        let stream = state.stream.clone();
        drop(state);
        let outcome = stream.map_or(Write::Failed(std::io::ErrorKind::NotConnected), |stream| {
            stream.write(&transmit)
        });
        state = self.lock();
        let now = match outcome {
            Write::Bytes(_) => state.now,
            _ => state.tick(),
        };
        state.core.put_transmit(transmit, outcome, now);
        self.notify(&state);
        state
    }

    fn read<'a>(&'a self, mut state: Guard<'a>, wait: Wait) -> Guard<'a> {
        let Some(mut room) = state.core.take_room() else {
            return state;
        };
        let stream = state.stream.clone();
        let sleeps = wait == Wait::Yes;
        state.roles.sleeps |= sleeps;
        drop(state);
        let outcome = stream.map_or(Read::End, |stream| stream.read(&mut room, wait));
        state = self.lock();
        state.roles.sleeps &= !sleeps;
        self.put_room(state, room, outcome)
    }

    fn put_room<'a>(&'a self, mut state: Guard<'a>, room: Room, outcome: Read) -> Guard<'a> {
        let outcome = match outcome {
            Read::End if state.roles.is_shut => Read::Blocked,
            outcome => outcome,
        };
        if outcome == Read::Bytes {
            state.core.put_bytes(room, sync::now);
        } else {
            let now = state.tick();
            state.core.put_room(room, outcome, now);
        }
        self.notify(&state);
        state
    }

    /// Wakes the threads that wait for others, if there are any.
    fn notify(&self, state: &State) {
        if state.roles.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits for the socket.
    fn wait<'a>(
        &'a self,
        mut state: Guard<'a>,
        wanted: Readiness,
        until: Option<Instant>,
    ) -> Guard<'a> {
        let Some(stream) = state.stream.clone() else {
            return state;
        };
        let waited = with_waker(move |woken, waker| {
            state.take(wanted);
            state.roles.sleepers.push(waker.clone());
            drop(state);
            let found = stream.wait(wanted, until, woken);
            let mut state = self.lock();
            state.roles.sleepers.retain(|sleeper| !sleeper.is(&waker));
            state.give_back(wanted);
            state.tick();
            self.found(state, found.unwrap_or(wanted))
        });
        waited.unwrap_or_else(|error| {
            tracing::warn!("a thread cannot wait for a connection: {error}");
            std::thread::sleep(NO_WAIT);
            self.lock()
        })
    }

    /// The socket is ready for this.
    fn found<'a>(&'a self, mut state: Guard<'a>, found: Readiness) -> Guard<'a> {
        if found.writes {
            if state.core.wants().sent {
                // A stream that was reset has nothing unsent either: a read tells.
                state = self.read(state, Wait::No);
                let now = state.tick();
                state.core.sent(now);
            } else {
                state = self.write(state);
            }
        }
        if found.reads {
            state = self.read(state, Wait::No);
        }
        state
    }

    pub(super) fn wait_for_others<'a>(
        self: &'a Arc<Self>,
        mut state: Guard<'a>,
        until: Option<Instant>,
    ) -> Guard<'a> {
        state.offer_reads();
        state.roles.waiting += 1;
        if state.core.is_open() && !state.roles.kept.is_none() {
            // A thread that waits does it better than the keeper: it reads too.
            drop(state);
            keeper::watch(self);
            state = self.lock();
            if state.roles.kept.is_none() {
                state.roles.waiting -= 1;
                return state;
            }
        }
        let time = until.map_or(Duration::MAX, |until| {
            until.saturating_duration_since(sync::now())
        });
        let waited = self.changed.wait_timeout(state, time);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.roles.waiting -= 1;
        state.tick();
        state
    }

    fn spins(&self, state: &State) -> bool {
        !self.busy_poll.is_zero() && state.core.is_open()
    }

    /// Looks for bytes without letting the thread sleep, for as long as
    /// [`SocketOptions::busy_poll`](crate::SocketOptions::busy_poll) allows, and then waits.
    fn spin<'a>(&'a self, mut state: Guard<'a>, until: Option<Instant>) -> Guard<'a> {
        let (Some(mut room), Some(stream)) = (state.core.take_room(), state.stream.clone()) else {
            return state;
        };
        let end = earlier(until, after(self.busy_poll));
        state.roles.sleeps = true;
        drop(state);
        let mut outcome = Read::Blocked;
        while outcome == Read::Blocked && end.is_none_or(|end| sync::now() < end) {
            outcome = stream.read(&mut room, Wait::No);
            std::hint::spin_loop();
        }
        if outcome == Read::Blocked && until.is_none() {
            outcome = stream.read(&mut room, Wait::Yes);
        }
        state = self.lock();
        state.roles.sleeps = false;
        self.put_room(state, room, outcome)
    }
}

impl State {
    /// True if the socket is to be asked to tell when all is sent.
    fn asks_when_sent(&self) -> bool {
        !self.roles.asked && !self.core.is_open() && self.core.wants().sent
    }

    /// True if there is nothing to be done for others.
    fn is_at_rest(&self) -> bool {
        self.roles.waiting == 0
            && self.core.is_open()
            && self.core.written() == self.core.accepted()
            && self.roles.kept.is_none()
            && self.roles.looks_until.is_none()
            && !self.has_news()
            // Control frames are no user's.
            && (self.core.protocol() == Protocol::Pymasep
                || self.core.wants().write == Want::Nothing)
    }

    /// True if the connection has ended and nobody has used it: it is closed when its user knows of the end.
    fn holds_actions(&self) -> bool {
        !self.is_used && !self.end_is_seen() && self.core.reason().is_some()
    }

    fn has_news(&self) -> bool {
        self.core.has_events() || (self.core.has_news() && !self.holds_actions())
    }

    /// True if the core needs the time, even if nothing is waited for.
    fn needs_clock(&self) -> bool {
        let idle_time = self.core.config().limits().idle_time;
        !self.core.is_open() || idle_time.is_some() || self.core.deadline().is_some()
    }

    /// Looks at the clock.
    pub(super) fn tick(&mut self) -> Instant {
        self.now = sync::now();
        self.now
    }

    /// The roles that are free and wanted.
    fn may_wait(&self, wants: Wants) -> Readiness {
        let Roles { taken, is_shut, .. } = self.roles;
        Readiness {
            reads: wants.read == Want::Ready && !taken.reads && !is_shut,
            writes: (wants.write == Want::Ready || wants.sent) && !taken.writes,
        }
    }

    fn take(&mut self, roles: Readiness) {
        self.roles.taken.reads |= roles.reads;
        self.roles.taken.writes |= roles.writes;
    }

    fn give_back(&mut self, roles: Readiness) {
        self.roles.taken.reads &= !roles.reads;
        self.roles.taken.writes &= !roles.writes;
    }

    /// True if the keeper has a role that others want by now.
    fn is_kept_too_long(&self) -> bool {
        self.roles.kept.reads && self.core.is_open() && self.roles.looks_until.is_none()
    }

    /// True if the keeper still has a connection that is over.
    const fn is_kept_in_vain(&self) -> bool {
        self.roles.is_watched && self.core.is_over()
    }

    /// A thread that waits for room alone, because another one was reading, is to read now that nobody does: the
    /// peer may be waiting for that.
    fn offer_reads(&mut self) {
        let Roles { taken, is_shut, .. } = self.roles;
        let is_free = !taken.reads && !is_shut && self.core.wants().read == Want::Ready;
        if is_free && taken.writes && self.core.is_open() {
            let sleepers = self.roles.sleepers.drain(..);
            sleepers.for_each(|sleeper| sleeper.wake());
        }
    }

    /// True if something is to be done that no call waits for.
    fn needs_keeper(&self) -> bool {
        if !self.core.is_open() || self.roles.looks_until.is_some() {
            return !self.core.is_over();
        }
        self.core.wants().write != Want::Nothing && !self.roles.taken.writes
    }
}
