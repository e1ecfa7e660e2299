//! Calls that wait for the same thing, in the order in which they came.

use std::collections::VecDeque;
use std::task::{Context, Waker};

/// The calls that wait. The first one is served first.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    /// A call that was woken has no waker until it is polled.
    entries: VecDeque<(u64, Option<Waker>)>,
}

impl Waiters {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the last place: its key.
    pub(crate) fn join(&mut self) -> u64 {
        self.next += 1;
        self.entries.push_back((self.next, None));
        self.next
    }

    pub(crate) fn is_first(&self, key: u64) -> bool {
        self.entries.front().is_some_and(|(first, _)| *first == key)
    }

    /// Has the call with this key woken from here on.
    pub(crate) fn set_waker(&mut self, key: u64, context: &Context<'_>) {
        let entry = self.entries.iter_mut().find(|(other, _)| *other == key);
        if let Some((_, waker)) = entry {
            crate::sync::set_waker(waker, context);
        }
    }

    /// Gives a place up. The waker of the call that is the first one then, if it was not before.
    pub(crate) fn leave(&mut self, key: u64) -> Option<Waker> {
        if self.entries.len() == 1 && self.is_first(key) {
            self.entries.clear();
            return None;
        }
        let place = self.entries.iter().position(|(other, _)| *other == key)?;
        self.entries.remove(place);
        if place == 0 { self.wake_first() } else { None }
    }

    /// The waker of the first call, which is to be woken.
    pub(crate) fn wake_first(&mut self) -> Option<Waker> {
        self.entries.front_mut()?.1.take()
    }

    /// The wakers of all, which are to be woken.
    pub(crate) fn wake_all(&mut self) -> impl Iterator<Item = Waker> {
        self.entries
            .iter_mut()
            .filter_map(|(_, waker)| waker.take())
    }
}
