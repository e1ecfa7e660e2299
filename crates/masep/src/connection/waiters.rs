//! Calls that wait for the same thing, in the order in which they came.

use std::collections::VecDeque;
use std::task::{Context, Waker};

/// The calls that wait. The first one is served first.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    last: u64,
    /// Most often there is one.
    first: Option<Waiter>,
    /// Those behind it, if there have been some; none if there is no first one.
    #[expect(clippy::box_collection, reason = "most connections have none")]
    others: Option<Box<VecDeque<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    key: u64,
    /// One that was woken has none until it is polled.
    waker: Option<Waker>,
}

impl Waiters {
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Takes the last place: its key.
    pub(crate) fn join(&mut self) -> u64 {
        self.last += 1;
        let waiter = Waiter {
            key: self.last,
            waker: None,
        };
        match self.first {
            None => self.first = Some(waiter),
            Some(_) => self.others.get_or_insert_default().push_back(waiter),
        }
        self.last
    }

    #[inline]
    pub(crate) fn is_first(&self, key: u64) -> bool {
        self.first.as_ref().is_some_and(|first| first.key == key)
    }

    /// Has the call with this key woken from here on.
    #[inline]
    pub(crate) fn set_waker(&mut self, key: u64, context: &Context<'_>) {
        match &mut self.first {
            Some(first) if first.key == key => {
                crate::sync::set_waker(&mut first.waker, context);
            }
            _ => self.set_waker_of_others(key, context),
        }
    }

    #[inline(never)]
    fn set_waker_of_others(&mut self, key: u64, context: &Context<'_>) {
        let others = self.others.iter_mut().flat_map(|others| others.iter_mut());
        for waiter in others.filter(|waiter| waiter.key == key) {
            crate::sync::set_waker(&mut waiter.waker, context);
        }
    }

    /// Gives a place up. The waker of the call that is the first one then, if it was not before.
    #[inline]
    pub(crate) fn leave(&mut self, key: u64) -> Option<Waker> {
        if self.is_first(key) && self.others.is_none() {
            self.first = None;
            return None;
        }
        self.leave_others(key)
    }

    #[inline(never)]
    fn leave_others(&mut self, key: u64) -> Option<Waker> {
        if self.is_first(key) {
            self.first = self.others.as_mut().and_then(|others| others.pop_front());
            return self.wake_first();
        }
        if let Some(others) = &mut self.others {
            others.retain(|waiter| waiter.key != key);
        }
        None
    }

    /// The waker of the first call, which is to be woken.
    pub(crate) fn wake_first(&mut self) -> Option<Waker> {
        self.first.as_mut()?.waker.take()
    }

    /// The wakers of all, which are to be woken.
    pub(crate) fn wake_all(&mut self) -> impl Iterator<Item = Waker> {
        self.iter_mut().filter_map(|waiter| waiter.waker.take())
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiter> {
        let others = self.others.iter_mut().flat_map(|others| others.iter_mut());
        self.first.iter_mut().chain(others)
    }
}
