//! The lock of a connection's state. The call that unlocks it then makes the calls of the stream that the connection wants by
//! now, and wakes the tasks for which something has changed.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;

use masep_proto::connection::{Actions, Event};

use super::shared::State;
use crate::sync::MutexGuard;
use crate::transport::{self, Transport};

/// The locked state of a connection. `None` only while it is being unlocked.
pub(crate) struct Locked<'a>(Option<MutexGuard<'a, State>>);

impl Deref for Locked<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        match &self.0 {
            Some(state) => state,
            None => unreachable!("it is let go once"),
        }
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        match &mut self.0 {
            Some(state) => state,
            None => unreachable!("it is let go once"),
        }
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(state) = self.0.take()
            && state.concerns_others()
        {
            settle(state);
        }
    }
}

/// Unlocks, and then does what has to be done for others.
#[cold]
fn settle(mut state: MutexGuard<'_, State>) {
    let effects = state.settle();
    drop(state);
    drop(effects);
}

impl<'a> Locked<'a> {
    #[inline]
    pub(super) const fn new(state: MutexGuard<'a, State>) -> Self {
        Self(Some(state))
    }

    /// As dropping it, but inlined: for what is done for each frame.
    #[inline(always)]
    pub(crate) fn let_go(mut self) {
        let state = self.0.take();
        std::mem::forget(self);
        if let Some(state) = state
            && state.concerns_others()
        {
            settle(state);
        }
    }

    /// Unlocks and does nothing else: where nothing has changed for others, or this call unlocks once more.
    #[inline]
    pub(crate) fn release(mut self) {
        let state = self.0.take();
        std::mem::forget(self);
        drop(state);
    }
}

/// Work that is done without the lock, when it is dropped.
#[derive(Default)]
struct Effects {
    stream: Option<Arc<dyn Transport>>,
    actions: Actions,
    wakers: Vec<Waker>,
}

impl Drop for Effects {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.actions
                .for_each(|action| transport::act(&*stream, action));
        }
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl State {
    /// True if something has happened that others have to know, or to do.
    #[inline]
    fn concerns_others(&self) -> bool {
        self.core.has_news()
            || self.core.has_changed()
            || !self.woken.is_empty()
            || (!self.task.sees_reads && !self.task.is_awake)
    }

    /// Takes the actions and events of the core: the work that is to be done for others.
    fn settle(&mut self) -> Effects {
        let mut effects = Effects::default();
        effects.actions = self.core.take_actions();
        if effects.actions.close() {
            effects.stream = self.stream.take();
            (self.reader, self.writer) = (None, None);
        } else if self.stream.is_some() && effects.actions.count() > 0 {
            effects.stream.clone_from(&self.stream);
        }
        while let Some(event) = self.core.poll_event() {
            self.note(event);
        }
        self.core.take_change();
        if !self.task.is_awake && self.needs_task() {
            self.wake_task();
        }
        effects.wakers = std::mem::take(&mut self.woken);
        effects
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Frames => {
                let first = self.receivers.wake_first();
                return self.wake(first);
            }
            Event::SendRoom => {
                let first = self.senders.wake_first();
                return self.wake(first);
            }
            Event::Ended | Event::Failed => {
                self.woken.extend(self.receivers.wake_all());
                self.woken.extend(self.senders.wake_all());
            }
            Event::Closed => self.wake_end_waiters(),
            // The next steps are seen by what the connection wants, and calls take notices.
            Event::Notice
            | Event::Hello
            | Event::Open
            | Event::Control
            | Event::Over
            | Event::Written(_) => {}
        }
        self.wake_task();
    }
}
