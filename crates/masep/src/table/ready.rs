//! The connections of a table that have something for it, and the one who looks after them.
//!
//! Each connection has a waker of its own. So a look at the table costs as much as there is to see, and not as much as
//! there are spectators.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use masep_table::PeerKey;

use crate::connection::now;
use crate::sync::{Mutex, MutexGuard};

/// The key of the door, which no connection has.
pub(super) const DOOR: PeerKey = PeerKey(0);

/// A queue of those that have something.
#[derive(Default)]
pub(super) struct Ready(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// Each once, with the time since which it waits.
    woken: VecDeque<(Arc<PeerWaker>, Instant)>,
    /// The task that looks after the table, while it sleeps.
    driver: Option<Waker>,
}

/// The waker of one connection.
pub(super) struct PeerWaker {
    key: PeerKey,
    is_queued: AtomicBool,
    /// Not kept alive: it holds those that wait in it.
    ready: Weak<Ready>,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A waker for this connection.
    pub(super) fn waker(self: &Arc<Self>, key: PeerKey) -> Arc<PeerWaker> {
        Arc::new(PeerWaker {
            key,
            is_queued: AtomicBool::new(false),
            ready: Arc::downgrade(self),
        })
    }

    /// Has this task woken by what is ready from here on, instead of another.
    pub(super) fn set_driver(&self, context: &Context<'_>) {
        crate::sync::set_waker(&mut self.lock().driver, context);
    }

    /// The connection that has waited for longest, and since when.
    pub(super) fn pop(&self) -> Option<(PeerKey, Instant)> {
        let (waker, since) = self.lock().woken.pop_front()?;
        // All that comes from here on is new.
        waker.is_queued.store(false, Ordering::Release);
        Some((waker.key, since))
    }

    /// As [`pop`](Self::pop), of this connection.
    pub(super) fn pop_this(&self, key: PeerKey) -> Option<Instant> {
        let mut queue = self.lock();
        let place = queue.woken.iter().position(|(waker, _)| waker.key == key)?;
        let (waker, since) = queue.woken.remove(place)?;
        drop(queue);
        waker.is_queued.store(false, Ordering::Release);
        Some(since)
    }

    /// The number of those that have something.
    pub(super) fn len(&self) -> usize {
        self.lock().woken.len()
    }
}

impl Wake for PeerWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(ready) = self.ready.upgrade() else {
            return;
        };
        let mut queue = ready.lock();
        queue.woken.push_back((self.clone(), now()));
        let driver = queue.driver.take();
        drop(queue);
        driver.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Counter(std::sync::atomic::AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_is_there_once_and_the_driver_is_woken_once() {
        let ready = Arc::new(Ready::default());
        let [first, second] = [1, 2].map(|key| ready.waker(PeerKey(key)));
        let counter = Arc::new(Counter::default());
        let driver = Waker::from(counter.clone());
        ready.set_driver(&Context::from_waker(&driver));
        for waker in [&first, &second, &first] {
            waker.wake_by_ref();
        }
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert_eq!(ready.pop().map(|(key, _)| key), Some(PeerKey(1)));
        assert!(ready.pop_this(PeerKey(1)).is_none());
        first.wake_by_ref();
        assert!(ready.pop_this(PeerKey(1)).is_some());
        assert_eq!(ready.pop().map(|(key, _)| key), Some(PeerKey(2)));
        assert!(ready.len() == 0 && ready.pop().is_none());
    }

    #[test]
    fn one_that_waits_does_not_outlive_its_table() {
        let ready = Arc::new(Ready::default());
        let waker = ready.waker(DOOR);
        waker.wake_by_ref();
        let left = (Arc::downgrade(&ready), Arc::downgrade(&waker));
        drop((ready, waker));
        assert_eq!((left.0.strong_count(), left.1.strong_count()), (0, 0));
    }
}
