//! The single steps of the loop. Each lets go of the lock for its system call.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use masep_proto::Frame;
use masep_proto::connection::{Actions, Read, Room, Transmit, Want, Write};
use masep_proto::tls::TlsFault;

use super::Guard;
use crate::blocking::events::News;
use crate::blocking::keeper;
use crate::blocking::shared::{Shared, State};
use crate::blocking::stream::{Readiness, Wait, after, waker};
use crate::sync::thread::Thread;
use crate::sync::{self, Instant, earlier};

impl Shared {
    /// Carries out the actions of the core on the stream, and tells its events.
    pub(super) fn settle<'a>(self: &'a Arc<Self>, mut state: Guard<'a>) -> Guard<'a> {
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
        let mut actions = Actions::default();
        if !state.holds_actions() {
            actions = state.core.take_actions();
        }
        let asks = state.asks_when_sent();
        state.roles.asked |= asks;
        let stream = state.stream.clone();
        if actions.close() && !state.keeps_socket() {
            state.stream = None;
        }
        drop(state);
        if let Some(news) = news {
            self.tell(&news);
            if let Some(stream) = news.wake {
                stream.shut_reading();
            }
            news.sleepers.iter().for_each(|sleeper| sleeper.wake());
            news.aside.iter().for_each(Thread::unpark);
        }
        let mut tells = true;
        if let Some(stream) = stream {
            actions.for_each(|action| stream.act(action));
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

    pub(in crate::blocking) fn write<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        match state.core.take_transmit() {
            Some(transmit) => self.write_out(state, transmit),
            None => state,
        }
    }

    /// Sends the frame that there is, if nobody else is to be seen to: by one write, without the loop. Gives its number if it
    /// was accepted.
    pub(in crate::blocking) fn write_alone<'a>(
        &'a self,
        mut state: Guard<'a>,
        frame: &mut Option<Frame>,
    ) -> (Guard<'a>, Option<u64>) {
        if state.is_at_rest() && !state.is_due() {
            state.note_use();
            if let Some(transmit) = state.core.send_alone(frame) {
                let number = state.core.accepted();
                return (self.write_out(state, transmit), Some(number));
            }
        }
        (state, None)
    }

    pub(in crate::blocking) fn write_out<'a>(
        &'a self,
        mut state: Guard<'a>,
        transmit: Transmit,
    ) -> Guard<'a> {
        let stream = state.stream.clone();
        drop(state);
        let outcome = stream.map_or(Write::Failed(std::io::ErrorKind::NotConnected), |stream| {
            stream.write(&transmit)
        });
        state = self.lock();
        state.note_layer();
        let now = match outcome {
            Write::Bytes(_) => state.now,
            _ => state.tick(),
        };
        state.core.put_transmit(transmit, outcome, now);
        self.notify(&state);
        state
    }

    pub(in crate::blocking) fn read<'a>(&'a self, mut state: Guard<'a>, wait: Wait) -> Guard<'a> {
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
        state.note_layer();
        let outcome = match outcome {
            Read::End | Read::Tls(TlsFault::Truncated) if state.roles.is_shut => Read::Blocked,
            outcome => outcome,
        };
        let State { core, now, .. } = &mut *state;
        core.put_read(room, outcome, || {
            *now = sync::now();
            *now
        });
        self.notify(&state);
        state
    }

    /// Wakes those that wait for others, if there are any.
    pub(in crate::blocking) fn notify(&self, state: &State) {
        if state.roles.waiting > 0 {
            self.changed.notify_all();
        }
        if let Some(event_loop) = &state.roles.event_loop {
            event_loop.wake();
        }
        if let Some(aside) = &state.roles.aside
            && state.has_frames()
            && !state.roles.is_read_directly
        {
            aside.unpark();
        }
    }

    /// Waits for the socket.
    pub(super) fn wait<'a>(
        &'a self,
        mut state: Guard<'a>,
        wanted: Readiness,
        until: Option<Instant>,
    ) -> Guard<'a> {
        let Some(stream) = state.stream.clone() else {
            return state;
        };
        let waker = waker();
        state.take(wanted);
        state.roles.sleepers.extend(waker.clone());
        drop(state);
        let found = stream.wait(wanted, until, waker.as_deref());
        state = self.lock();
        if let Some(waker) = waker {
            let sleepers = &mut state.roles.sleepers;
            sleepers.retain(|sleeper| !Arc::ptr_eq(sleeper, &waker));
        }
        state.give_back(wanted);
        state.tick();
        self.found(state, found.unwrap_or(wanted))
    }

    /// Does what is due by now, and what the socket is ready for.
    pub(in crate::blocking) fn found_by<'a>(
        &'a self,
        mut state: Guard<'a>,
        found: Readiness,
    ) -> Guard<'a> {
        let now = state.now;
        state.core.handle_due(now);
        self.found(state, found)
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

    pub(in crate::blocking) fn wait_for_others<'a>(
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

    /// True if this thread may read until bytes come, and nobody else is to be seen to.
    pub(in crate::blocking) fn reads_alone(&self, state: &mut State) -> bool {
        let wants = state.core.wants();
        let is_alone = state.is_at_rest()
            && state.needs_no_clock()
            && self.busy_poll.is_zero()
            && wants.read == Want::Ready
            && state.may_wait(wants).reads;
        is_alone
            && state.core.deadline().is_none_or(|heartbeat| {
                state.tick();
                state.bound_read(heartbeat)
            })
    }

    /// Looks for bytes without letting the thread sleep, for as long as
    /// [`SocketOptions::busy_poll`](crate::SocketOptions::busy_poll) allows, and then waits.
    /// Tells whether there was something.
    pub(super) fn spin<'a>(
        &'a self,
        mut state: Guard<'a>,
        until: Option<Instant>,
    ) -> (Guard<'a>, bool) {
        let (Some(mut room), Some(stream)) = (state.core.take_room(), state.stream.clone()) else {
            return (state, false);
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
        let found = outcome != Read::Blocked;
        (self.put_room(state, room, outcome), found)
    }
}
